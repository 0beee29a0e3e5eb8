import { FormatError, ShapeError } from "../tensor/error.ts";
import { readFile, stat } from "../tensor/node.ts";
import { byteTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Batch, fillBatch, type Source, stepRandom } from "./source.ts";

/** What a text source is made from. */
export interface TextSettings {
  readonly seed: number;
  /** The longest row wanted, in tokens: decides how much text is needed. */
  readonly length: number;
  /** Bytes by default. */
  readonly tokenizer?: Tokenizer | undefined;
  /** The share of each file, at its end, that is held out: 0.1 by default, at most 0.5. */
  readonly heldOutShare?: number;
}

/** A text in memory; the name stands in errors. */
export interface NamedText {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Texts are held in memory, with 4 bytes per token beside them. */
const LIMIT = 1_000_000_000;

/**
 * Text files as a source: rows are windows at random places of the first 90 % of each; the rest is held out and read in order.
 * In bytes, or in a tokenizer's tokens.
 *
 * Errors: FormatError for a file that cannot be read, is above 1 GB, empty or not UTF-8, and where all are too short for one row.
 */
export async function openText(paths: readonly string[], settings: TextSettings): Promise<Source> {
  return textSource(await readTexts(paths), settings);
}

/** Text files in memory. Throws FormatError for one that cannot be read, and where all are above 1 GB. */
export async function readTexts(paths: readonly string[]): Promise<NamedText[]> {
  if (paths.length === 0) throw new FormatError("text: got no files, expected at least one; name a text file");
  const files: NamedText[] = [];
  let total = 0;
  for (const path of paths) {
    const bytes = await readWhole(path);
    total += bytes.length;
    if (total > LIMIT)
      throw new FormatError(`${path}: got ${total} bytes of text so far, expected at most ${LIMIT}; use a part of it`);
    files.push({ name: path, bytes });
  }
  return files;
}

/**
 * Texts as a source: rows are windows at random places of the first 90 % of each text (joined); the last 10 % of each is
 * held out and read in order. In bytes, or in a tokenizer's tokens. From a small text more is held out, up to half, so that
 * it makes one whole row.
 *
 * Errors: FormatError where a text is empty, not UTF-8 (with a tokenizer only), or all are too short for one row of
 * `length` tokens on both sides, saying how many bytes are needed.
 */
export function textSource(files: readonly NamedText[], settings: TextSettings): Source {
  const { seed, length: most, tokenizer, heldOutShare = 0.1 } = settings;
  if (!Number.isSafeInteger(most) || most < 1)
    throw new ShapeError(`text: got rows of ${most} tokens, expected at least 1`);
  if (!(heldOutShare > 0 && heldOutShare <= 0.5))
    throw new ShapeError(`text: got a held-out share of ${heldOutShare}, expected above 0 and at most 0.5`);
  const shares = [heldOutShare, 0.2, 0.3, 0.4, 0.5].filter((share) => share >= heldOutShare);
  let parts = split(files, heldOutShare, tokenizer);
  for (const share of shares) if (parts.held.length <= most) parts = split(files, share, tokenizer);
  const { train, held, heldBytes, bytes } = parts;
  if (Math.min(train.length, held.length) <= most) {
    const needed = Math.ceil((bytes / (train.length + held.length)) * 2 * (most + 1));
    throw new FormatError(
      `${files.map((file) => file.name).join(", ")}: got ${bytes} bytes of text, expected at least ${Math.max(needed, bytes + 1)} for rows of ${most} tokens; give more text or a shorter context`,
    );
  }

  const check = (length: number): void => {
    if (length > most) throw new ShapeError(`text: got rows of ${length} tokens, expected at most ${most}`);
  };
  return {
    name: files.map((file) => file.name.replace(/^.*[\\/]/, "")).join(" + "),
    vocabulary: tokenizer?.vocabulary ?? byteTokenizer.vocabulary,
    bytesPerToken: heldBytes / held.length,
    tokens: train,
    lengths: { least: 1, most },
    batch(step, count, length) {
      check(length);
      const random = stepRandom(seed, "train", step);
      return fillBatch(count, length, (ids, targets) =>
        window(train, random.integer(train.length - length), ids, targets),
      );
    },
    heldOut(batches, count, length) {
      check(length);
      return heldOutBatches(held, batches, count, length);
    },
    decode: (tokenizer ?? byteTokenizer).decode,
  };
}

/** Both parts of all texts as tokens: the last `share` of each text is held out. */
function split(files: readonly NamedText[], share: number, tokenizer: Tokenizer | undefined) {
  const train: Int32Array[] = [];
  const held: Int32Array[] = [];
  let bytes = 0;
  let heldBytes = 0;
  for (const file of files) {
    if (file.bytes.length === 0)
      throw new FormatError(`${file.name}: got an empty file, expected text; name another file`);
    const cut = boundary(file.bytes, Math.floor(file.bytes.length * (1 - share)));
    train.push(tokens(file.name, file.bytes.subarray(0, cut), tokenizer));
    held.push(tokens(file.name, file.bytes.subarray(cut), tokenizer));
    bytes += file.bytes.length;
    heldBytes += file.bytes.length - cut;
  }
  return { train: join(train), held: join(held), bytes, heldBytes };
}

/** Windows that do not overlap, spread evenly over the text where there are more than are wanted. */
function heldOutBatches(held: Int32Array, batches: number, count: number, length: number): Batch[] {
  const windows = Math.ceil((held.length - 1) / length);
  const wanted = Math.min(windows, batches * count);
  return Array.from({ length: Math.ceil(wanted / count) }, (_, batch) =>
    fillBatch(count, length, (ids, targets, row) => {
      const index = batch * count + row;
      if (index < wanted) window(held, Math.floor((index * windows) / wanted) * length, ids, targets);
    }),
  );
}

function window(text: Int32Array, at: number, ids: Int32Array, targets: Int32Array): void {
  const scored = Math.min(ids.length, text.length - 1 - at);
  ids.set(text.subarray(at, at + scored));
  targets.set(text.subarray(at + 1, at + 1 + scored));
}

function tokens(name: string, bytes: Uint8Array, tokenizer: Tokenizer | undefined): Int32Array {
  if (!tokenizer) return Int32Array.from(bytes);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(
      `${name}: got bytes that are no UTF-8, expected text for the tokenizer; convert it or train on bytes`,
      {
        cause: error,
      },
    );
  }
  return join(pieces(text).map((piece) => tokenizer.encode(piece)));
}

/** Cut before line starts: a tokenizer's working memory grows with the text, and merges rarely cross a line's end. */
function pieces(text: string): string[] {
  const result: string[] = [];
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf("\n", from + 50_000);
    const to = newline < 0 ? text.length : newline + 1;
    result.push(text.slice(from, to));
    from = to;
  }
  return result;
}

/** The start of the UTF-8 character at or before `at`. */
function boundary(bytes: Uint8Array, at: number): number {
  let cut = at;
  while (cut > at - 4 && cut > 0 && (bytes[cut] ?? 0) >> 6 === 2) cut--;
  return cut;
}

function join(parts: readonly Int32Array[]): Int32Array {
  const joined = new Int32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > LIMIT) throw new FormatError(`${path}: got ${size} bytes, expected at most ${LIMIT}; use a part of it`);
    return await readFile(path);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    const reason = error instanceof Error && "code" in error ? error.code : error;
    throw new FormatError(`${path}: got ${reason}, expected a readable text file; check the path`, { cause: error });
  }
}
