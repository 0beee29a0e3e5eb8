import { FormatError, ShapeError } from "../tensor/error.ts";
import { blocks, isQuant } from "../tensor/quant.ts";
import { isQuantised, quantise } from "../tensor/quantise.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { writeAtomic } from "./atomic.ts";
import { encode, storedBytes, type Values } from "./dtype.ts";
import { alignmentOf, type GgufType, MAGIC, RANK, typeCodes } from "./gguf.ts";
import { clip } from "./header.ts";
import { ARRAY, type Metadata, type Scalar, scalars, type Value } from "./metadata.ts";
import { piecesOf } from "./safetensors.ts";
import { NAME_BYTES } from "./scanner.ts";

/** One tensor of a GGUF file to be written. Shape row-major; the innermost size a multiple of the block's elements. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: GgufType;
  /**
   * The numbers, or a function called when their turn comes, so that one tensor at a time is in memory, or less: pieces of whole rows
   * that follow each other. Under `bytes`: the tensor's bytes as they are to lie in the file.
   */
  readonly data: Data | (() => Data | Promise<Data> | AsyncIterable<Data>);
}

type Data = Values | { readonly bytes: Uint8Array };

/**
 * Writes a GGUF file of version 3, atomically, one tensor at a time, in the order given. The same metadata and tensors give
 * the same bytes. `general.alignment` is obeyed where it is among the metadata.
 *
 * Errors: ShapeError where numbers and shape differ or a row is no whole number of blocks, FormatError for names, values or
 * numbers that cannot be stored, DeviceError where the disk refuses (the old file stays).
 */
export async function writeGguf(path: string, metadata: Metadata, tensors: readonly GgufTensor[]): Promise<void> {
  await writeAtomic(path, ggufChunks(path, metadata, tensors));
}

/** The bytes of a GGUF file piece by piece. Errors: as `writeGguf`; `file` stands in them. */
export async function* ggufChunks(
  file: string,
  metadata: Metadata,
  tensors: readonly GgufTensor[],
): AsyncGenerator<Uint8Array> {
  const alignment = alignmentOf(file, metadata);
  const out = new Writer(file);
  out.u32(MAGIC);
  out.u32(3);
  out.u64(tensors.length);
  out.u64(metadata.size);
  for (const [key, value] of metadata) {
    out.name(key);
    writeValue(out, key, value);
  }
  const seen = new Set<string>();
  let offset = 0;
  for (const { name, shape, dtype } of tensors) {
    const subject = `${file}: ${clip(name)}`;
    if (seen.has(name)) throw new FormatError(`${subject}: got the name twice, expected each name once`);
    seen.add(name);
    checkShape(subject, shape, dtype);
    out.name(name);
    out.u32(shape.length);
    for (const n of shape.toReversed()) out.u64(n);
    out.u32(typeCodes[dtype]);
    out.u64(offset);
    offset = roundUp(offset + storedBytes(dtype, sizeOf(shape)), alignment);
  }
  yield* out.pieces();
  yield new Uint8Array(roundUp(out.length, alignment) - out.length);
  for (const { name, shape, dtype, data } of tensors) {
    const subject = `${file}: ${clip(name)}`;
    const [all, size] = [sizeOf(shape), storedBytes(dtype, sizeOf(shape))];
    let [numbers, written] = [0, 0];
    for await (const piece of piecesOf(data)) {
      if ("bytes" in piece) written += piece.bytes.length;
      else numbers += piece.length;
      if (written > size || numbers > all) break;
      yield bytesOf(subject, dtype, piece);
    }
    if (written ? written !== size : numbers !== all)
      throw new ShapeError(
        `${subject}: got ${written ? `${written} bytes` : `${numbers} numbers`}, expected ${written ? size : all} for ${dtype} [${shape}]`,
      );
    yield new Uint8Array(roundUp(size, alignment) - size);
  }
}

function bytesOf(subject: string, dtype: GgufType, data: Data): Uint8Array {
  if ("bytes" in data) return data.bytes;
  if (!isQuant(dtype)) return encode(dtype, data, subject);
  if (isQuantised(dtype)) return quantise(dtype, data, subject);
  throw new FormatError(`${subject}: got numbers for ${dtype}, expected its bytes or another type: it is only read`);
}

function checkShape(subject: string, shape: readonly number[], dtype: GgufType): void {
  const row = isQuant(dtype) ? blocks[dtype].elements : 1;
  if (shape.length > RANK || !shape.every((n) => Number.isSafeInteger(n) && n >= 0) || (shape.at(-1) ?? 1) % row)
    throw new ShapeError(
      `${subject}: got [${shape}], expected at most ${RANK} whole sizes, the last a multiple of ${row} for ${dtype}`,
    );
}

function writeValue(out: Writer, key: string, { type, value }: Value): void {
  const subject = `${out.file}: ${clip(key)}`;
  const array = type.endsWith("[]");
  const scalar = (array ? type.slice(0, -2) : type) as Scalar;
  const { code, dtype } = scalars[scalar];
  const all = (array ? value : [value]) as ArrayLike<number | boolean | string>;
  if (array) {
    out.u32(ARRAY);
    out.u32(code);
    out.u64(all.length);
  } else out.u32(code);
  if (dtype) out.bytes(encode(dtype, Float64Array.from(all as ArrayLike<number>, Number), subject));
  else for (let i = 0; i < all.length; i++) out.text(String(all[i]), subject);
}

/** Collects a header. */
class Writer {
  readonly file: string;
  readonly #full: Uint8Array[] = [];
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;
  #before = 0;

  constructor(file: string) {
    this.file = file;
  }

  get length(): number {
    return this.#before + this.#at;
  }

  u32(x: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, x, true);
    this.#at += 4;
  }

  u64(x: number): void {
    this.#room(8);
    this.#view.setBigUint64(this.#at, BigInt(x), true);
    this.#at += 8;
  }

  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A string with its length. */
  text(text: string, subject = this.file): void {
    if (!text.isWellFormed())
      throw new FormatError(`${subject}: got the text ${clip(text)}, expected well-formed text`);
    // UTF-8 takes at most three bytes for each unit of UTF-16.
    this.#room(8 + 3 * text.length);
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.#at + 8));
    this.u64(written);
    this.#at += written;
  }

  /** A key or a tensor's name. */
  name(name: string): void {
    const before = this.length;
    this.text(name);
    if (this.length - before - 8 > NAME_BYTES)
      throw new FormatError(`${this.file}: got the name ${clip(name)}, expected at most ${NAME_BYTES} bytes`);
  }

  *pieces(): Generator<Uint8Array> {
    yield* this.#full;
    yield this.#bytes.subarray(0, this.#at);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    this.#full.push(this.#bytes.subarray(0, this.#at));
    this.#before += this.#at;
    this.#bytes = new Uint8Array(Math.max(bytes, this.#bytes.length));
    this.#view = new DataView(this.#bytes.buffer);
    this.#at = 0;
  }
}

const encoder = new TextEncoder();

const roundUp = (bytes: number, alignment: number) => Math.ceil(bytes / alignment) * alignment;
