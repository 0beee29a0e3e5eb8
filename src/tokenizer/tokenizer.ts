import { FormatError, ShapeError } from "../tensor/error.ts";
import { parseJson } from "../tensor/json.ts";
import { dirname, join, readFile, stat } from "../tensor/node.ts";
import { buildTokenizer } from "./build.ts";
import type { TokenKind } from "./piece.ts";

/** Text to token ids and back. */
export interface Tokenizer {
  /** Ids are below this. */
  readonly vocabulary: number;
  /** The text's ids; no special tokens are added. */
  encode(text: string): Int32Array;
  /** As `encode`, with the special tokens that the tokenizer's own rule puts around a text (usually one in front). */
  prompt(text: string): Int32Array;
  /** The ids' text, special tokens included. Throws ShapeError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
  /** Tokens that steer and are no text, such as the end of a sequence. */
  readonly special: ReadonlySet<number>;
  /** The id of a token by its name, special ones included. */
  id(token: string): number | undefined;
  /** How the vocabulary writes its tokens. */
  readonly kind: TokenKind;
  /**
   * The bytes that a token adds to a text which goes before it, perhaps a part of a character; none for an id below `vocabulary`
   * that no token has. Special tokens are their names. Throws ShapeError for an id outside the vocabulary.
   */
  piece(id: number): Uint8Array;
}

/** One token per byte of UTF-8: needs no file, knows every text. Ids cut inside a character decode to U+FFFD. */
export const byteTokenizer: Tokenizer = {
  vocabulary: 256,
  encode: bytesOf,
  prompt: bytesOf,
  decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(checkIds(ids, 256))),
  special: new Set(),
  id: () => undefined,
  kind: "plain",
  piece: (id) => Uint8Array.from(checkIds([id], 256)),
};

function bytesOf(text: string): Int32Array {
  return Int32Array.from(new TextEncoder().encode(text));
}

/** Bytes of a tokenizer's file, wherever one is read: more than any in use (about 35 MB for 262,144 tokens). */
export const TOKENIZER_LIMIT = 256_000_000;

/**
 * Loads a Hugging Face tokenizer.json, with the tokenizer_config.json beside it where there is one: its special tokens, and for the
 * classes that know them `add_bos_token` and `add_eos_token`.
 *
 * Errors: FormatError naming the file where it is missing, damaged or of a kind that is not known.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const text = await readText(path);
  const config = await readText(join(dirname(path), "tokenizer_config.json")).catch((error: FormatError) => {
    if (error.message.includes("got ENOENT")) return "{}";
    throw error;
  });
  return parseTokenizer(path, text, config);
}

/** As `loadTokenizer`, from the files' texts; `file` stands in errors. */
export function parseTokenizer(file: string, text: string, config = "{}"): Tokenizer {
  const settings = parseObject(`${file} (its tokenizer_config.json)`, config);
  return buildTokenizer(file, parseObject(file, text), settings as Record<string, unknown>, text.length);
}

/** The ids one by one. Throws ShapeError for one outside the vocabulary. */
export function* checkIds(ids: ArrayLike<number>, vocabulary: number): Generator<number> {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary))
      throw new ShapeError(`token ids: got the id ${id} at ${i}, expected a whole number in [0, ${vocabulary})`);
    yield id;
  }
}

function parseObject(file: string, text: string): object {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new FormatError(
      `${file}: got no valid JSON (${String(error).slice(0, 120)}), expected a tokenizer; fetch it again`,
      {
        cause: error,
      },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new FormatError(`${file}: got JSON that is no object, expected a tokenizer; fetch it again`);
  return value;
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > TOKENIZER_LIMIT)
      throw new FormatError(
        `${path}: got ${size} bytes, expected at most ${TOKENIZER_LIMIT}; this is no tokenizer.json`,
      );
    const bytes = await readFile(path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    const reason = error instanceof Error && "syscall" in error ? Reflect.get(error, "code") : "no UTF-8 text";
    throw new FormatError(`${path}: got ${reason}, expected a readable tokenizer.json; check the path`, {
      cause: error,
    });
  }
}
