import type { Metadata, Value } from "../file/metadata.ts";
import { FormatError } from "../tensor/error.ts";
import { ggufTokenizer } from "../tokenizer/ggml.ts";
import { splits } from "../tokenizer/split.ts";
import { parseTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { lettersOfBytes } from "./vocabulary.ts";

/** A folder's two files of a tokenizer, as texts. */
export interface TokenizerTexts {
  readonly file: string;
  readonly tokenizer: string;
  readonly config: string | undefined;
  /** A chat template of its own file, which goes before the config's. */
  readonly template: string | undefined;
}

/** As much of a tokenizer.json as a GGUF file says again. Everything has been checked by `parseTokenizer` before. */
interface Said {
  readonly added_tokens?: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
  readonly normalizer?: Step | null;
  readonly pre_tokenizer?: Step | null;
  readonly model: {
    readonly type?: string;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges?: readonly (string | readonly [string, string])[];
    readonly byte_fallback?: boolean;
    readonly ignore_merges?: boolean;
  };
}

/** A step before the merges. */
interface Step {
  readonly type: string;
  readonly pretokenizers?: readonly Step[];
  readonly pattern?: { readonly Regex?: string };
  readonly behavior?: string;
  readonly individual_digits?: boolean;
  readonly add_prefix_space?: boolean;
  readonly use_regex?: boolean;
}

/** Numbers of `tokenizer.ggml.token_type`. */
const kinds = { normal: 1, control: 3, user: 4, unused: 5, byte: 6 } as const;

/** What tokenizers are told apart by: contractions, capitals, digits, blanks, lines, signs, letters of many scripts, marks, bytes. */
const probes = [
  "The quick brown fox, isn't it? I'LL say 'tis.",
  "  two  blanks\n\n\tand lines \r\n end ",
  "12345 67.8e-9 x2y 100,000",
  "naïve ÉCOLE Straße São ÅNGSTRÖM",
  "Привет мир 你好世界 こんにちは 안녕하세요 שלום नमस्ते",
  "👩‍💻🙂 e\u0301 \u00a0 \u2028 ½ ² №",
  "def f(x):\n    return {'a': [x**2, \"b\"]}  # !!",
  "a",
];

/**
 * What a GGUF file says of a folder's tokenizer: byte-level BPE, or SentencePiece's. It is read again and compared with the original
 * on texts that tell tokenizers apart, so that a file never has another one. `size` is the embedding's rows.
 *
 * Errors: FormatError for a kind that such files have no words for, or that comes back as another.
 */
export function tokenizerEntries(texts: TokenizerTexts, size: number): Metadata {
  const { file, tokenizer: text, config: settings, template } = texts;
  const original = parseTokenizer(file, text, settings);
  const said = JSON.parse(text) as Said;
  const config = JSON.parse(settings ?? "{}") as Readonly<Record<string, unknown>>;
  const metadata = describe(
    file,
    said,
    { ...config, ...(template !== undefined && { chat_template: template }) },
    size,
    original,
  );
  const again = ggufTokenizer(file, metadata);
  const odd = probes.find((probe) => `${again.encode(probe)}` !== `${original.encode(probe)}`);
  if (odd !== undefined)
    throw new FormatError(
      `${file}: got a tokenizer that cuts ${JSON.stringify(odd.slice(0, 30))} otherwise than a GGUF file can say, expected one of a known kind; write a folder`,
    );
  return metadata;
}

function describe(
  file: string,
  { added_tokens: added = [], normalizer, pre_tokenizer, model }: Said,
  config: Readonly<Record<string, unknown>>,
  size: number,
  original: Tokenizer,
): Map<string, Value> {
  const pieces = model.byte_fallback === true;
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(size).fill(kinds.unused);
  const place = (token: string, id: number, kind: number) => {
    tokens[id] = token;
    types[id] = kind;
  };
  for (const [token, id] of Object.entries(model.vocab))
    place(token, id, pieces && /^<0x[0-9A-F]{2}>$/.test(token) ? kinds.byte : kinds.normal);
  for (const { id, content, special } of added) place(content, id, special ? kinds.control : kinds.user);
  const text = (value: string): Value => ({ type: "string", value });
  const entries = new Map<string, Value>();
  const put = (key: string, value: Value) => entries.set(`tokenizer.ggml.${key}`, value);
  put("model", text(pieces ? "llama" : "gpt2"));
  if (!pieces) put("pre", text(nameSplit(file, pre_tokenizer, model.ignore_merges === true)));
  put("tokens", { type: "string[]", value: tokens });
  put("token_type", { type: "i32[]", value: types });
  const merges = (model.merges ?? []).map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
  if (pieces) {
    put("scores", { type: "f32[]", value: scoresOf(tokens, merges) });
    put("add_space_prefix", {
      type: "bool",
      value: JSON.stringify(normalizer ?? pre_tokenizer ?? "").includes("repend"),
    });
  } else put("merges", { type: "string[]", value: merges });
  const named = (key: string) => {
    const value = config[key] as string | { content?: string } | null | undefined;
    const content = typeof value === "string" ? value : value?.content;
    return content === undefined ? undefined : original.id(content);
  };
  const roles = {
    bos: named("bos_token"),
    eos: named("eos_token"),
    unknown: named("unk_token"),
    padding: named("pad_token"),
  };
  for (const [role, id] of Object.entries(roles))
    if (id !== undefined) put(`${role}_token_id`, { type: "u32", value: id });
  const ids = original.prompt("a");
  put("add_bos_token", { type: "bool", value: roles.bos !== undefined && ids.length > 1 && ids[0] === roles.bos });
  put("add_eos_token", { type: "bool", value: roles.eos !== undefined && ids.length > 1 && ids.at(-1) === roles.eos });
  if (typeof config.chat_template === "string") entries.set("tokenizer.chat_template", text(config.chat_template));
  return entries;
}

/** Later merges are worth less, and what none makes least. */
function scoresOf(tokens: readonly string[], merges: readonly string[]): number[] {
  const rank = new Map<string, number>();
  for (const [i, merge] of merges.entries()) {
    const made = merge.replace(" ", "");
    if (!rank.has(made)) rank.set(made, i);
  }
  return tokens.map((token) => -(rank.get(token) ?? merges.length));
}

/** As Llama 3's and its relatives' files write contractions, and as ours do. */
const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const ours = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])";

/** The name of a way to cut text. Throws FormatError where none of the known ones is this. */
function nameSplit(file: string, step: Step | null | undefined, whole: boolean): string {
  const gpt2 = splits.get("gpt-2")!.patterns[0]!;
  const patterns: string[] = [];
  let known = true;
  const walk = (one: Step) => {
    if (one.type === "Sequence") for (const inner of one.pretokenizers ?? []) walk(inner);
    else if (one.type === "Split" && one.pattern?.Regex !== undefined && one.behavior === "Isolated")
      patterns.push(one.pattern.Regex.replace(contractions, ours));
    else if (one.type === "Digits" && one.individual_digits) patterns.push("\\p{N}");
    else if (one.type === "ByteLevel" && !one.add_prefix_space)
      patterns.push(...(one.use_regex === false ? [] : [gpt2]));
    else known = false;
  };
  if (step) walk(step);
  const found = [...splits].find(
    ([, split]) => `${split.patterns}` === `${patterns}` && (split.whole === true) === whole,
  );
  if (known && found) return found[0];
  throw new FormatError(
    `${file}: pre_tokenizer: got a way to cut text that GGUF files have no name for, expected one of ${[...splits.keys()].slice(0, 8).join(", ")} and so on; write a folder`,
  );
}

/** The files of a tokenizer whose ids are the bytes of UTF-8, as models are trained on without one. */
export function byteFiles(path: string): TokenizerTexts {
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: true };
  const model = {
    type: "BPE",
    vocab: Object.fromEntries(lettersOfBytes().map((letter, id) => [letter, id])),
    merges: [],
  };
  return {
    file: `${path}/tokenizer.json`,
    tokenizer: JSON.stringify({ version: "1.0", added_tokens: [], pre_tokenizer: level, decoder: level, model }),
    config: JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast", clean_up_tokenization_spaces: false }),
    template: undefined,
  };
}
