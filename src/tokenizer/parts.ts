import { z } from "zod";
import { FormatError } from "../tensor/error.ts";

// The parts of a tokenizer.json as tokenizers 0.23.2 reads them. A key that is not here is refused by its name: it may change ids.

const pattern = z.union([z.strictObject({ String: z.string() }), z.strictObject({ Regex: z.string() })]);
const behavior = z.enum(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]);
const one = z.string().refine((text) => [...text].length === 1, { error: "expected one character" });
const bare = <Name extends string>(name: Name) => z.strictObject({ type: z.literal(name) });
const replace = z.strictObject({ type: z.literal("Replace"), pattern, content: z.string() });
const byteLevel = z.strictObject({
  type: z.literal("ByteLevel"),
  add_prefix_space: z.boolean(),
  trim_offsets: z.boolean(),
  use_regex: z.boolean().default(true),
});
const metaspace = z
  .strictObject({
    type: z.literal("Metaspace"),
    replacement: one,
    add_prefix_space: z.boolean().nullish(),
    prepend_scheme: z.enum(["first", "never", "always"]).default("always"),
    split: z
      .boolean()
      .nullish()
      .transform((split) => split ?? true),
    str_rep: z.string().nullish(),
  })
  .refine((space) => space.add_prefix_space !== false || space.prepend_scheme === "never", {
    error: "add_prefix_space is false, and prepend_scheme is not never",
    path: ["add_prefix_space"],
  });

/** More steps in a sequence, or sequences in each other, than any file has. */
const steps = <Step extends z.ZodType>(step: Step) => z.array(step).max(100);

const normalizer = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("BertNormalizer"),
    clean_text: z.boolean(),
    handle_chinese_chars: z.boolean(),
    strip_accents: z.boolean().nullish(),
    lowercase: z.boolean(),
  }),
  z.strictObject({ type: z.literal("Strip"), strip_left: z.boolean(), strip_right: z.boolean() }),
  ...(["StripAccents", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "ByteLevel"] as const).map(bare),
  z.strictObject({ type: z.literal("Precompiled"), precompiled_charsmap: z.string() }),
  replace,
  z.strictObject({ type: z.literal("Prepend"), prepend: z.string().min(1) }),
  z.strictObject({
    type: z.literal("Sequence"),
    get normalizers(): z.ZodType<Normalizer[]> {
      return steps(normalizer) as unknown as z.ZodType<Normalizer[]>;
    },
  }),
]);

export type Normalizer =
  | { type: "Sequence"; normalizers: Normalizer[] }
  | {
      type: "BertNormalizer";
      clean_text: boolean;
      handle_chinese_chars: boolean;
      strip_accents?: boolean | null | undefined;
      lowercase: boolean;
    }
  | { type: "Strip"; strip_left: boolean; strip_right: boolean }
  | { type: "StripAccents" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "Nmt" | "ByteLevel" }
  | { type: "Precompiled"; precompiled_charsmap: string }
  | z.output<typeof replace>
  | { type: "Prepend"; prepend: string };

const preTokenizer = z.discriminatedUnion("type", [
  byteLevel,
  metaspace,
  ...(["BertPreTokenizer", "Whitespace", "WhitespaceSplit"] as const).map(bare),
  z.strictObject({ type: z.literal("CharDelimiterSplit"), delimiter: one }),
  z.strictObject({ type: z.literal("Split"), pattern, behavior, invert: z.boolean() }),
  z.strictObject({ type: z.literal("Punctuation"), behavior: behavior.default("Isolated") }),
  z.strictObject({ type: z.literal("Digits"), individual_digits: z.boolean() }),
  z.strictObject({ type: z.literal("FixedLength"), length: z.int().min(1).default(5) }),
  z.strictObject({
    type: z.literal("Sequence"),
    get pretokenizers(): z.ZodType<PreTokenizer[]> {
      return steps(preTokenizer) as unknown as z.ZodType<PreTokenizer[]>;
    },
  }),
]);

export type Behavior = z.output<typeof behavior>;
export type Pattern = z.output<typeof pattern>;
export type PreTokenizer =
  | { type: "Sequence"; pretokenizers: PreTokenizer[] }
  | z.output<typeof byteLevel>
  | z.output<typeof metaspace>
  | { type: "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" }
  | { type: "CharDelimiterSplit"; delimiter: string }
  | { type: "Split"; pattern: Pattern; behavior: Behavior; invert: boolean }
  | { type: "Punctuation"; behavior: Behavior }
  | { type: "Digits"; individual_digits: boolean }
  | { type: "FixedLength"; length: number };

const count = z.int().min(0).max(1_000_000);
const decoder = z.discriminatedUnion("type", [
  byteLevel,
  metaspace,
  replace,
  bare("ByteFallback"),
  bare("Fuse"),
  z.strictObject({ type: z.literal("Strip"), content: one, start: count, stop: count }),
  z.strictObject({ type: z.literal("WordPiece"), prefix: z.string(), cleanup: z.boolean() }),
  z.strictObject({ type: z.literal("BPEDecoder"), suffix: z.string() }),
  z.strictObject({
    type: z.literal("CTC"),
    pad_token: z.string(),
    word_delimiter_token: z.string(),
    cleanup: z.boolean(),
  }),
  z.strictObject({
    type: z.literal("Sequence"),
    get decoders(): z.ZodType<Decoder[]> {
      return steps(decoder) as unknown as z.ZodType<Decoder[]>;
    },
  }),
]);

export type Decoder =
  | { type: "Sequence"; decoders: Decoder[] }
  | z.output<typeof byteLevel>
  | z.output<typeof metaspace>
  | z.output<typeof replace>
  | { type: "ByteFallback" | "Fuse" }
  | { type: "Strip"; content: string; start: number; stop: number }
  | { type: "WordPiece"; prefix: string; cleanup: boolean }
  | { type: "BPEDecoder"; suffix: string }
  | { type: "CTC"; pad_token: string; word_delimiter_token: string; cleanup: boolean };

const id = z.int().min(0).max(0xffffffff);
const named = z.tuple([z.string(), id]);
const piece = z.union([
  z.strictObject({ SpecialToken: z.strictObject({ id: z.string(), type_id: id }) }),
  z.strictObject({ Sequence: z.strictObject({ id: z.enum(["A", "B"]), type_id: id }) }),
]);
const processor = z.discriminatedUnion("type", [
  byteLevel,
  z.strictObject({ type: z.literal("BertProcessing"), sep: named, cls: named }),
  z.strictObject({
    type: z.literal("RobertaProcessing"),
    sep: named,
    cls: named,
    trim_offsets: z.boolean(),
    add_prefix_space: z.boolean(),
  }),
  z.strictObject({
    type: z.literal("TemplateProcessing"),
    single: steps(piece),
    pair: steps(piece),
    special_tokens: z.record(
      z.string(),
      z.strictObject({ id: z.string(), ids: z.array(id).max(1000), tokens: z.array(z.string()) }),
    ),
  }),
  z.strictObject({
    type: z.literal("Sequence"),
    get processors(): z.ZodType<Processor[]> {
      return steps(processor) as unknown as z.ZodType<Processor[]>;
    },
  }),
]);

export type Template = z.output<typeof piece>[];
export type Processor =
  | { type: "Sequence"; processors: Processor[] }
  | z.output<typeof byteLevel>
  | { type: "BertProcessing" | "RobertaProcessing"; sep: [string, number]; cls: [string, number] }
  | {
      type: "TemplateProcessing";
      single: Template;
      pair: Template;
      special_tokens: Record<string, { id: string; ids: number[]; tokens: string[] }>;
    };

const added = z.strictObject({
  id,
  content: z.string(),
  single_word: z.boolean(),
  lstrip: z.boolean(),
  rstrip: z.boolean(),
  normalized: z.boolean(),
  special: z.boolean(),
});
export type AddedToken = z.output<typeof added>;

const text = z.string().nullish();
const flag = z.boolean().nullish();
/** What a model has beside its vocabulary and merges, which are too large for a schema. */
const models = {
  BPE: z.strictObject({
    // Merges are left out at random: no two runs give the same ids.
    dropout: z.literal(0).nullish(),
    unk_token: text,
    continuing_subword_prefix: text,
    end_of_word_suffix: text,
    fuse_unk: flag,
    byte_fallback: flag,
    ignore_merges: flag,
  }),
  Unigram: z.strictObject({ unk_id: id.nullish(), byte_fallback: z.boolean().default(false) }),
  WordPiece: z.strictObject({
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.int().min(0),
  }),
  WordLevel: z.strictObject({ unk_token: z.string() }),
};
export type Model = {
  [Kind in keyof typeof models]: { type: Kind } & z.output<(typeof models)[Kind]>;
}[keyof typeof models];

const tokenizer = z.strictObject({
  version: z.literal("1.0").optional(),
  // Python's encode cuts and fills texts by these; transformers sets both aside when it loads the file.
  truncation: z.null().optional(),
  padding: z.looseObject({ strategy: z.literal("BatchLongest"), pad_to_multiple_of: z.null().optional() }).nullish(),
  added_tokens: z.array(added).max(4_000_000).default([]),
  normalizer: normalizer.nullish(),
  pre_tokenizer: preTokenizer.nullish(),
  post_processor: processor.nullish(),
  decoder: decoder.nullish(),
  model: z.unknown(),
});

/** The parts of a tokenizer.json but its model. */
export interface Parts {
  readonly added: readonly AddedToken[];
  readonly normalizer: Normalizer | undefined;
  readonly preTokenizer: PreTokenizer | undefined;
  readonly processor: Processor | undefined;
  readonly decoder: Decoder | undefined;
}

/** Reads all of a tokenizer.json but its model. Errors: FormatError naming the key that is not known or does not fit. */
export function readParts(file: string, value: object): Parts {
  const read = check(file, "", tokenizer, value);
  return {
    added: read.added_tokens,
    normalizer: (read.normalizer ?? undefined) as Normalizer | undefined,
    preTokenizer: (read.pre_tokenizer ?? undefined) as PreTokenizer | undefined,
    processor: (read.post_processor ?? undefined) as Processor | undefined,
    decoder: (read.decoder ?? undefined) as Decoder | undefined,
  };
}

/** Reads a model's settings: all but `type`, `vocab` and `merges`. Errors: as `readParts`. */
export function readModel(file: string, kind: Model["type"], settings: object): Model {
  return { type: kind, ...check(file, "model", models[kind], settings) } as Model;
}

function check<T>(file: string, at: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  let issue = result.error.issues[0]!;
  const path = at ? [at] : [];
  for (;;) {
    path.push(...issue.path.map(String));
    // Of several forms that a value may have, the one that comes nearest tells what is wrong.
    if (issue.code !== "invalid_union" || !issue.errors.length) break;
    const nearest = issue.errors.toSorted((a, b) => depth(b[0]) - depth(a[0]))[0]?.[0];
    if (!nearest) break;
    issue = nearest;
  }
  if (issue.code === "unrecognized_keys") path.push(issue.keys[0]!);
  const got = issue.code === "unrecognized_keys" ? "a key that is not known" : shorten(issue.input);
  throw new FormatError(
    `${file}: ${path.join(".") || "tokenizer"}: got ${got}, expected a tokenizer.json as tokenizers 0.23 reads it (${issue.message.slice(0, 120)}); nothing of it is passed over`,
  );
}

const depth = (issue: { readonly path: readonly unknown[]; readonly code?: string } | undefined) =>
  issue ? issue.path.length + (issue.code === "unrecognized_keys" ? 1 : 0) : -1;

function shorten(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, 60);
}
