import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { parseJson } from "../tensor/json.ts";
import { withEnds } from "./around.ts";
import { readPieces, type TokenKind } from "./piece.ts";

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

/** More than any tokenizer.json in use (about 35 MB for 262,144 tokens). */
const FILE_LIMIT = 256_000_000;

/**
 * Loads a Hugging Face tokenizer.json, with the tokenizer_config.json beside it where there is one: its special tokens, and for the
 * classes that know them `add_bos_token` and `add_eos_token`.
 *
 * Errors: FormatError naming the file where it is missing, damaged or of a kind the library does not know.
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
  const tokenizer = withEnds(file, parseObject(file, text), settings as Record<string, unknown>);
  return buildTokenizer(file, tokenizer, settings, text.length);
}

/** As `parseTokenizer`, from what the texts hold, whose vocabulary is emptied once it is read. Ids must be below `limit`. */
export function buildTokenizer(file: string, tokenizer: object, config: object, limit: number): Tokenizer {
  const ids = idsOf(file, tokenizer);
  let vocabulary = 0;
  for (const id of ids) {
    // An id sizes tables here and in the library, so it may not exceed what the file can list.
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0 || id >= limit)
      throw new FormatError(
        `${file}: got the token id ${typeof id === "object" ? "of no number" : String(id).slice(0, 40)}, expected a whole number in [0, ${limit}); ${again}`,
      );
    vocabulary = Math.max(vocabulary, id + 1);
  }
  const { kind, piece } = readPieces((tokenizer as { decoder?: unknown }).decoder);
  let hub: HubTokenizer;
  try {
    hub = buildHub(tokenizer as HubFile, config);
    hub.encode("a", { add_special_tokens: false });
  } catch (error) {
    if (error instanceof FormatError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(
      `${file}: got a tokenizer that cannot be built (${reason.slice(0, 120)}), expected a tokenizer.json of the tokenizers library; ${again}`,
      { cause: error },
    );
  }
  const encode = (plain: string, special: { readonly around: boolean }) => {
    // The library leaves a hole where its model has no token for unknown text.
    const found: readonly (number | undefined)[] = hub.encode(plain, { add_special_tokens: special.around }).ids;
    return Int32Array.from(found, (id) => {
      if (id === undefined)
        throw new FormatError(
          `${file}: got text with no token for it, expected a tokenizer with an unknown token; use bytes`,
        );
      return id;
    });
  };
  const special = [...hub.get_added_tokens_decoder().values()].filter((token) => token.special);
  return {
    vocabulary,
    encode: (plain) => (plain === "" ? new Int32Array() : encode(plain, { around: false })),
    prompt: (plain) => encode(plain, { around: true }),
    special: new Set(special.map(({ id }) => id)),
    id: (token) => hub.token_to_id(token),
    kind,
    piece(id) {
      const [known] = checkIds([id], vocabulary);
      const token = hub.id_to_token(known!);
      return token === undefined ? new Uint8Array() : piece(token);
    },
    decode(ids) {
      // The library's decoders stumble over an id that no token has.
      const list = [...checkIds(ids, vocabulary)].filter((id) => hub.id_to_token(id) !== undefined);
      return list.length ? hub.decode(list, { skip_special_tokens: false, clean_up_tokenization_spaces: false }) : "";
    },
  };
}

/** What is large in a tokenizer.json; what the merges are, the library checks. */
interface HubFile {
  readonly model: { vocab: unknown; merges?: unknown };
}

/**
 * The library's tokenizer. It makes tables of its own from vocabulary and merges and then keeps what it was given, which is half of
 * all that it holds: those are emptied here. Merges as pairs it takes as they are; of those in one text it would make other ones.
 */
function buildHub(tokenizer: HubFile, config: object): HubTokenizer {
  const { model } = tokenizer;
  const merges = Array.isArray(model.merges)
    ? model.merges.map((merge) => (typeof merge === "string" ? merge.split(" ", 2) : merge))
    : undefined;
  if (merges) model.merges = merges;
  const hub = new HubTokenizer(tokenizer, config);
  model.vocab = {};
  if (merges) merges.length = 0;
  return hub;
}

const again = "fetch the file again";

const kinds = ["BPE", "WordPiece", "Unigram"];

/** All token ids that the file lists, unchecked: of the model (a record of ids, or a list whose places are the ids) and added. */
function idsOf(file: string, tokenizer: object): Iterable<unknown> {
  const { model, added_tokens: added } = tokenizer as {
    model?: { vocab?: unknown; type?: unknown } | null;
    added_tokens?: unknown;
  };
  const vocab = model?.vocab;
  if (typeof vocab !== "object" || vocab === null)
    throw new FormatError(`${file}: got no model with a vocab, expected a tokenizer.json; check the path`);
  // The library would take other kinds for a list of words.
  const type = model?.type ?? "BPE";
  if (typeof type !== "string" || !kinds.includes(type))
    throw new FormatError(
      `${file}: got a model of type ${typeof type === "string" ? type.slice(0, 40) : typeof type}, expected ${kinds.join(", ")}`,
    );
  const own: unknown[] = Array.isArray(vocab) ? [...vocab.keys()] : Object.values(vocab);
  if (own.length === 0) throw new FormatError(`${file}: got an empty vocabulary, expected tokens; ${again}`);
  const extra = Array.isArray(added) ? added.map((token) => token?.id) : [];
  return [...own, ...extra];
}

function* checkIds(ids: ArrayLike<number>, vocabulary: number): Generator<number> {
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
    if (size > FILE_LIMIT)
      throw new FormatError(`${path}: got ${size} bytes, expected at most ${FILE_LIMIT}; this is no tokenizer.json`);
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
