import type { Metadata, Value } from "../file/metadata.ts";
import { ShapeError } from "../tensor/error.ts";

/** A byte-level BPE vocabulary made up for models with random weights: it knows every text. */
export interface Vocabulary {
  /** By id; the last are the special ones. */
  readonly tokens: readonly string[];
  /** Pairs that become one token, the first first. */
  readonly merges: readonly string[];
  readonly special: readonly string[];
  readonly begin: number;
  readonly end: number;
  readonly template: string;
}

const special = ["<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"];

/** A turn is its role's token, its text and the end; the answer begins after the assistant's. */
const template =
  "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

/**
 * A vocabulary of `size` tokens: all bytes, then letters joined to pairs, pairs to letters and to pairs, then special tokens.
 * Throws ShapeError where there is no room for the bytes and the special ones, or more than can be joined.
 */
export function inventVocabulary(size: number): Vocabulary {
  const tokens = byteLetters();
  const merges: string[] = [];
  const room = size - special.length;
  if (room < tokens.length)
    throw new ShapeError(`vocabulary: got ${size}, expected at least ${tokens.length + special.length}`);
  const join = (firsts: readonly string[], seconds: readonly string[]) => {
    const joined: string[] = [];
    for (const a of firsts)
      for (const b of seconds) {
        if (tokens.length === room) return joined;
        tokens.push(a + b);
        merges.push(`${a} ${b}`);
        joined.push(a + b);
      }
    return joined;
  };
  const letters = Array.from("etaoinshrdlucmfwypvbgkjqxz");
  const spaced = join(["Ġ"], letters);
  const pairs = join(letters, letters);
  join(spaced, letters);
  join(pairs, letters);
  join(pairs, pairs);
  if (tokens.length < room)
    throw new ShapeError(`vocabulary: got ${size}, expected at most ${tokens.length + special.length}`);
  return {
    tokens: [...tokens, ...special],
    merges,
    special,
    begin: room,
    end: room + 1,
    template,
  };
}

const isPrintable = (byte: number) =>
  (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);

/** GPT-2's letter for each byte: printable ones stand for themselves, all others for letters from 256 on. */
export function lettersOfBytes(): string[] {
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : others++));
}

/** The same in the order of GPT-2's vocabulary, printable ones first. */
function byteLetters(): string[] {
  const letters = lettersOfBytes();
  const rest = (printable: boolean) => letters.filter((_, byte) => isPrintable(byte) === printable);
  return [...rest(true), ...rest(false)];
}

/** The files that a folder has beside its config for this vocabulary, as text. */
export function tokenizerFiles({ tokens, merges, special, begin, end, template }: Vocabulary) {
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const first = tokens.length - special.length;
  const added = special.map((content, i) => ({
    id: first + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  const tokenizer = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: level,
    post_processor: null,
    decoder: level,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    chat_template: template,
    bos_token: tokens[begin],
    eos_token: tokens[end],
    add_bos_token: false,
  };
  return [
    { name: "tokenizer.json", text: JSON.stringify(tokenizer) },
    { name: "tokenizer_config.json", text: JSON.stringify(config) },
  ];
}

/** What a GGUF file says of this vocabulary. */
export function tokenizerMetadata({ tokens, merges, special, begin, end, template }: Vocabulary): Metadata {
  // Normal tokens and, at the end, control tokens.
  const kinds = tokens.map((_, id) => (id < tokens.length - special.length ? 1 : 3));
  return new Map<string, Value>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "string[]", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "i32[]", value: kinds }],
    ["tokenizer.ggml.merges", { type: "string[]", value: merges }],
    ["tokenizer.ggml.bos_token_id", { type: "u32", value: begin }],
    ["tokenizer.ggml.eos_token_id", { type: "u32", value: end }],
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
    ["tokenizer.chat_template", { type: "string", value: template }],
  ]);
}
