import { aroundText, type End } from "./around.ts";
import { buildTokenizer } from "./build.ts";
import { Keys, type Metadata } from "./keys.ts";
import { piecesMerges } from "./pieces.ts";
import { type Split, splits } from "./split.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A tokenizer in the form of the hub's two files, and what is not in them. */
export interface Described {
  /** As tokenizer.json. */
  readonly tokenizer: object;
  /** As tokenizer_config.json: names of special tokens, and the chat template. */
  readonly config: Readonly<Record<string, string>>;
  /** Tokens in all; ids are below. */
  readonly size: number;
  /** Tokens after which nothing follows: the end of the text, of a turn, of a message. */
  readonly end: readonly number[];
}

/** More tokens than any vocabulary has (262,144). */
const TOKEN_LIMIT = 4_000_000;

/** `tokenizer.ggml.token_type`. */
const kinds = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 } as const;

/** What files that name no end of a turn call it. */
const ends = [
  "<|eot_id|>",
  "<|eom_id|>",
  "<|im_end|>",
  "<|end|>",
  "<|endoftext|>",
  "<|end_of_text|>",
  "<end_of_turn>",
  "<|user|>",
  "<\uff5cend\u2581of\u2581sentence\uff5c>",
];

/** The tokenizer of a GGUF file. Errors: as `describeTokenizer`. */
export function ggufTokenizer(file: string, metadata: Metadata): Tokenizer {
  return describedTokenizer(file, describeTokenizer(file, metadata));
}

/** The tokenizer that `describeTokenizer` has described. Errors: as `buildTokenizer`. */
export function describedTokenizer(file: string, { tokenizer, config, size }: Described): Tokenizer {
  return buildTokenizer(`${file} (its tokenizer)`, tokenizer, config, size);
}

/**
 * Reads `tokenizer.ggml.*`: byte-level BPE ("gpt2") and SentencePiece's BPE ("llama").
 *
 * Errors: FormatError naming file, byte and key for a kind that is not known, a key that is missing or does not fit the
 * vocabulary, a token that is there twice or that calls itself a byte and names none.
 */
export function describeTokenizer(file: string, metadata: Metadata): Described {
  const keys: Keys = new Keys(file, metadata);
  const kind = keys.text("model");
  if (kind !== "gpt2" && kind !== "llama")
    keys.fail("model", `${kind}`, "gpt2 or llama; other tokenizers are not supported");
  const tokens = keys.texts("tokens").map((token, id) => token || `[EMPTY_${id}]`);
  if (!tokens.length || tokens.length > TOKEN_LIMIT)
    keys.fail("tokens", `${tokens.length} tokens`, `1 to ${TOKEN_LIMIT}`);
  const vocab = new Map(tokens.map((token, id) => [token, id]));
  if (vocab.size < tokens.length) {
    const twice = tokens.findIndex((token, id) => vocab.get(token) !== id);
    keys.fail("tokens", `token ${twice} (${JSON.stringify(tokens[twice]).slice(0, 80)}) twice`, "each token once");
  }
  const types = keys.numbers("token_type", tokens.length);
  const special = readSpecials(keys, kind, vocab, types);
  const added = tokens.flatMap((content, id) => {
    const type = types?.[id];
    if (type !== kinds.unknown && type !== kinds.control && type !== kinds.user) return [];
    return {
      id,
      content,
      special: type !== kinds.user,
      normalized: false,
      lstrip: false,
      rstrip: false,
      single_word: false,
    };
  });
  const parts =
    kind === "gpt2" ? describeBytes(keys, vocab, special) : describePieces(keys, tokens, vocab, types, special);
  return {
    tokenizer: {
      version: "1.0",
      added_tokens: added,
      post_processor: around(keys, special, tokens),
      ...parts,
    },
    config: configOf(keys, special, tokens),
    size: tokens.length,
    end: special.end,
  };
}

/** Ids of tokens with a role, and which of them go around a text. */
interface Special {
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly unk: number | undefined;
  readonly pad: number | undefined;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly end: readonly number[];
  readonly split: Split | undefined;
}

function readSpecials(
  keys: Keys,
  kind: "gpt2" | "llama",
  vocab: ReadonlyMap<string, number>,
  types: ArrayLike<number> | undefined,
): Special {
  const name = kind === "gpt2" ? (keys.has("pre") ? keys.text("pre") : "default") : undefined;
  const split = name === undefined ? undefined : splits.get(name);
  if (name !== undefined && !split)
    keys.fail(
      "pre",
      JSON.stringify(name).slice(0, 80),
      `one of ${[...splits.keys()].join(", ")}; this kind is not known`,
    );
  // SentencePiece models begin with these three.
  const usual = (id: number) => (kind === "llama" && id < vocab.size ? id : undefined);
  const bos = keys.id("bos_token_id", vocab.size) ?? usual(1);
  const eos = keys.id("eos_token_id", vocab.size) ?? usual(2);
  const turn = ["eot_token_id", "eom_token_id"].map((key) => keys.id(key, vocab.size));
  const named = ends.map((text) => vocab.get(text)).filter((id) => id !== undefined && types?.[id] === kinds.control);
  return {
    bos,
    eos,
    unk: keys.id("unknown_token_id", vocab.size) ?? usual(0),
    pad: keys.id("padding_token_id", vocab.size),
    addBos: keys.flag("add_bos_token") ?? (kind === "llama" || split?.begin === true),
    addEos: keys.flag("add_eos_token") ?? false,
    end: [...new Set([eos, ...turn, ...named])].filter((id) => id !== undefined),
    split,
  };
}

function configOf(keys: Keys, { bos, eos, unk, pad }: Special, tokens: readonly string[]): Record<string, string> {
  const config: Record<string, string> = {};
  for (const [name, id] of Object.entries({ bos_token: bos, eos_token: eos, unk_token: unk, pad_token: pad }))
    if (id !== undefined) config[name] = tokens[id]!;
  const template = keys.template();
  if (template !== undefined) config.chat_template = template;
  return config;
}

/** Begin and end around a text, where they are to be added. */
function around(keys: Keys, { bos, eos, addBos, addEos }: Special, tokens: readonly string[]): object {
  const token = (id: number | undefined, key: string): End =>
    id === undefined
      ? keys.fail(key, "no such key", "an id, since the token is to be added to texts")
      : { text: tokens[id]!, id };
  return aroundText(addBos ? token(bos, "bos_token_id") : undefined, addEos ? token(eos, "eos_token_id") : undefined);
}

function describeBytes(keys: Keys, vocab: ReadonlyMap<string, number>, { split }: Special): object {
  const merges = keys.texts("merges");
  const wrong = merges.findIndex((merge) => merge.indexOf(" ", 1) < 0);
  if (wrong >= 0)
    keys.fail("merges", `${JSON.stringify(merges[wrong]).slice(0, 80)} at ${wrong}`, "two tokens with a blank between");
  // A first token of one blank is one all the same; merges of what is no token are never made.
  const pairs = merges.map((merge) => {
    const blank = merge.indexOf(" ", 1);
    return [merge.slice(0, blank), merge.slice(blank + 1)] as const;
  });
  return {
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        ...split!.patterns.map((pattern) => ({
          type: "Split",
          pattern: { Regex: pattern },
          behavior: "Isolated",
          invert: false,
        })),
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(vocab),
      merges: pairs.filter(([left, right]) => vocab.has(left) && vocab.has(right) && vocab.has(left + right)),
      ignore_merges: split!.whole === true,
    },
  };
}

/** As the hub writes Llama 2's: a mark for each blank and one in front, bytes for what no token has. */
function describePieces(
  keys: Keys,
  tokens: readonly string[],
  vocab: ReadonlyMap<string, number>,
  types: ArrayLike<number> | undefined,
  { unk }: Special,
): object {
  const scores = keys.numbers("scores", tokens.length);
  if (!scores) return keys.fail("scores", "no such key", "a number for each token");
  const wrong = tokens.findIndex((token, id) => types?.[id] === kinds.byte && !/^<0x[0-9A-F]{2}>$/.test(token));
  if (wrong >= 0)
    keys.fail("tokens", `${JSON.stringify(tokens[wrong]).slice(0, 80)} as a byte`, "bytes as <0x00> to <0xFF>");
  const prefix = keys.flag("add_space_prefix") ?? true;
  // Tokens with a role are found before anything is merged, and never made by merging.
  const made = (id: number) => {
    const type = types?.[id] ?? kinds.normal;
    return type !== kinds.control && type !== kinds.unknown && type !== kinds.byte;
  };
  const merges = piecesMerges(tokens, scores, made);
  if (!merges) return keys.fail("tokens", "tokens of such lengths", "short ones; this is no vocabulary");
  const blank = { type: "Replace", pattern: { String: " " }, content: "\u2581" };
  return {
    normalizer: {
      type: "Sequence",
      normalizers: [...(prefix ? [{ type: "Prepend", prepend: "\u2581" }] : []), blank],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "\u2581" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(prefix ? [{ type: "Strip", content: " ", start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(vocab),
      merges,
      byte_fallback: true,
      fuse_unk: true,
      ...(unk === undefined ? {} : { unk_token: tokens[unk] }),
    },
  };
}
