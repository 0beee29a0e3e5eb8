import { FormatError, ShapeError } from "../tensor/error.ts";
import { dequantise, isQuant } from "../tensor/quant.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { allocateBytes, type ByteSource, memorySource, refusePointer } from "./bytes.ts";
import {
  type Dtype,
  decode,
  dtypeBytes,
  dtypeOf,
  encode,
  isUnread,
  type Listed,
  type Stored,
  storedBytes,
  type unreadBits,
  type Values,
} from "./dtype.ts";
import { clip, type Entry, HEADER_LIMIT, headerBytes, parseHeader } from "./header.ts";

/** Named tensors in one file or several. Only the header is in memory; each `read` fetches that tensor's bytes alone. */
export interface TensorReader<D extends Stored = Stored> {
  /** What errors call it: the path. */
  readonly file: string;
  /** The text pairs of a safetensors header; a GGUF file's typed metadata is its own field (`Gguf`). */
  readonly metadata: Readonly<Record<string, string>>;
  readonly names: readonly string[];
  has(name: string): boolean;
  /** Throws FormatError for a name that is not there. */
  entry(name: string): Entry<D>;
  /**
   * The tensor's numbers, row-major: F64 as float64; F32, F16, BF16, 8-bit floats and quantised blocks as float32; I64 and U64
   * as float64 (checked to be exact); other integers in their own type. Throws FormatError for the types that are not read.
   */
  read(name: string): Promise<Values>;
  /**
   * The tensor's bytes as they lie in the file, from `offset` bytes after its first on, straight into `into` (which may lie on
   * a SharedArrayBuffer, such as a device's memory). Throws FormatError where the tensor has fewer.
   */
  readBytes(name: string, offset: number, into: Uint8Array): Promise<void>;
}

/** One tensor to be written. */
export interface TensorToWrite {
  readonly name: string;
  readonly shape: readonly number[];
  /** By default the type of `data`, or F32 where data is a function. */
  readonly dtype?: Dtype;
  /**
   * The numbers, or a function called when their turn comes, so that one tensor at a time is in memory, or less: pieces that follow each
   * other.
   */
  readonly data: Values | (() => Values | Promise<Values> | AsyncIterable<Values>);
}

/** A tensor whose numbers are in memory. */
export type TensorInMemory = TensorToWrite & { readonly data: Values };

/** A safetensors file that is in memory, `name` for errors. Errors: FormatError naming byte and limit for anything that is not one. */
export function decodeSafetensors(bytes: Uint8Array, name = "safetensors"): Promise<TensorReader<Listed>> {
  return readSafetensors(memorySource(name, bytes));
}

/** Opens safetensors over any source of bytes. Errors: FormatError naming file, byte and limit for anything that is not one. */
export async function readSafetensors(source: ByteSource): Promise<TensorReader<Listed>> {
  await refusePointer(source);
  const file = source.name;
  const first = new Uint8Array(Math.min(8, source.size));
  await source.read(0, first);
  const bytes = new Uint8Array(allocateBytes(file, headerBytes(first, source.size, file)));
  await source.read(0, bytes);
  const { metadata, entries } = parseHeader(bytes, source.size, file);
  return tensorReader(source, entries, metadata);
}

/** Reads the tensors that a header lists. */
export function tensorReader<D extends Stored>(
  source: ByteSource,
  entries: ReadonlyMap<string, Entry<D>>,
  metadata: Readonly<Record<string, string>> = {},
): TensorReader<D> {
  const file = source.name;
  const entry = (name: string): Entry<D> => {
    const found = entries.get(name);
    if (!found) throw missingTensor(file, name, entries.keys());
    return found;
  };
  return {
    file,
    metadata,
    names: [...entries.keys()],
    has: (name) => entries.has(name),
    entry,
    async read(name) {
      const { dtype, elements, begin, end } = entry(name);
      const subject = subjectOf(file, { name });
      checkRead(dtype, subject);
      const buffer = allocateBytes(subject, end - begin);
      if (end > begin) await source.read(begin, new Uint8Array(buffer));
      return numbersFrom(dtype, buffer, elements, subject);
    },
    async readBytes(name, offset, into) {
      const { begin, end } = entry(name);
      if (!(Number.isSafeInteger(offset) && offset >= 0 && offset + into.length <= end - begin))
        throw new FormatError(
          `${file}: ${clip(name)}: got a request for bytes ${offset} to ${offset + into.length}, expected them within its ${end - begin}`,
        );
      if (into.length) await source.read(begin + offset, into);
    },
  };
}

/** The error for a tensor that a file should have and has not. */
export function missingTensor(file: string, name: string, names: Iterable<string>): FormatError {
  const some = [...names].slice(0, 4).map(clip).join(", ");
  return new FormatError(
    `${file}: got no tensor ${clip(name)}, expected it beside ${some || "none"}; is this the right checkpoint?`,
  );
}

/**
 * The bytes of a safetensors file, one tensor at a time. The same tensors give the same bytes whatever their order: wider
 * element types first, then by name, so every tensor is aligned; the header is padded to 8 bytes. Loaders that read the
 * metadata expect `{ format: "pt" }`.
 *
 * Errors: ShapeError where numbers and shape differ, FormatError for names or numbers that cannot be stored; `file` stands in
 * them.
 */
export async function* safetensorsChunks(
  file: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): AsyncGenerator<Uint8Array> {
  const { header, parts } = layout(file, tensors, metadata);
  yield header;
  for (const { tensor, dtype } of parts) {
    const subject = subjectOf(file, tensor);
    let count = 0;
    for await (const values of piecesOf(tensor.data)) {
      count += values.length;
      yield encode(dtype, values, subject);
    }
    checkCount(subject, tensor, count);
  }
}

/** Numbers that are to be written as they come: all at once, or piece by piece. */
export async function* piecesOf<T extends object>(
  data: T | (() => T | Promise<T> | AsyncIterable<T>),
): AsyncGenerator<T> {
  const found = typeof data === "function" ? await data() : data;
  if (Symbol.asyncIterator in found) yield* found as AsyncIterable<T>;
  else yield found;
}

/** Rows `first` to `first + count` of a tensor's leading axis, as `read` gives all of them. Throws as `read` and `readBytes`. */
export async function readRows(reader: TensorReader, name: string, first: number, count: number): Promise<Values> {
  const { dtype, shape, elements } = reader.entry(name);
  const own = (elements / shape[0]!) * count;
  const subject = subjectOf(reader.file, { name });
  const bytes = storedBytes(dtype, own);
  const buffer = allocateBytes(subject, bytes);
  await reader.readBytes(name, (bytes / count) * first, new Uint8Array(buffer));
  return numbersFrom(dtype, buffer, own, subject);
}

/** A safetensors file in memory. Errors: ShapeError where numbers and shape differ, FormatError for what cannot be stored. */
export function encodeSafetensors(
  tensors: readonly TensorInMemory[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const file = "safetensors";
  const { header, parts, size } = layout(file, tensors, metadata);
  const bytes = new Uint8Array(allocateBytes(file, size));
  bytes.set(header);
  let at = header.length;
  for (const { tensor, dtype } of parts) {
    const subject = subjectOf(file, tensor);
    checkCount(subject, tensor, tensor.data.length);
    const data = encode(dtype, tensor.data, subject);
    bytes.set(data, at);
    at += data.length;
  }
  return bytes;
}

const subjectOf = (file: string, { name }: { readonly name: string }) => `${file}: ${clip(name)}`;

function checkRead(dtype: Stored, subject: string): asserts dtype is Exclude<Stored, keyof typeof unreadBits> {
  if (isUnread(dtype))
    throw new FormatError(
      `${subject}: got ${dtype}, expected a type that is read (${Object.keys(dtypeBytes).join(" ")}); convert the tensor`,
    );
}

/** A tensor's bytes, or those of some of its rows, as `read` gives them. */
function numbersFrom(dtype: Stored, buffer: ArrayBuffer, elements: number, subject: string): Values {
  checkRead(dtype, subject);
  if (!isQuant(dtype)) return decode(dtype, buffer, subject);
  const values = new Float32Array(allocateBytes(subject, elements * 4));
  dequantise(dtype, new Uint8Array(buffer), values);
  return values;
}

function checkCount(subject: string, { shape }: TensorToWrite, count: number): void {
  if (count !== sizeOf(shape))
    throw new ShapeError(`${subject}: got ${count} numbers, expected ${sizeOf(shape)} for [${shape}]`);
}

function layout<T extends TensorToWrite>(
  file: string,
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>>,
) {
  const parts = tensors.map((tensor) => {
    const dtype = tensor.dtype ?? (typeof tensor.data === "function" ? "F32" : dtypeOf(tensor.data));
    if (!tensor.shape.every((n) => Number.isSafeInteger(n) && n >= 0))
      throw new ShapeError(
        `${file}: ${clip(tensor.name)}: got [${tensor.shape}], expected whole sizes that are not negative`,
      );
    return { tensor, dtype, bytes: sizeOf(tensor.shape) * dtypeBytes[dtype] };
  });
  parts.sort((a, b) => dtypeBytes[b.dtype] - dtypeBytes[a.dtype] || (a.tensor.name < b.tensor.name ? -1 : 1));
  const seen = new Set<string>();
  // By hand: an object would put names that look like numbers first.
  const members: string[] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  if (pairs.length) {
    for (const [key, value] of pairs) checkText(file, key, value);
    members.push(`"__metadata__":{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join()}}`);
  }
  let offset = 0;
  for (const { tensor, dtype, bytes } of parts) {
    const { name, shape } = tensor;
    checkText(file, name);
    if (seen.has(name) || name === "__metadata__")
      throw new FormatError(
        `${file}: got the tensor name ${clip(name)} ${seen.has(name) ? "twice" : "(reserved)"}, expected each name once`,
      );
    seen.add(name);
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${offset},${offset + bytes}]}`,
    );
    offset += bytes;
  }
  const text = new TextEncoder().encode(`{${members.join()}}`);
  const length = Math.ceil(text.length / 8) * 8;
  if (length > HEADER_LIMIT)
    throw new FormatError(
      `${file}: got a header of ${length} bytes, expected at most ${HEADER_LIMIT}; write several files`,
    );
  if (!Number.isSafeInteger(8 + length + offset))
    throw new ShapeError(`${file}: got tensors of ${offset} bytes, expected fewer than 2^53`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(text, 8);
  return { header, parts, size: header.length + offset };
}

function checkText(file: string, ...texts: string[]): void {
  for (const text of texts)
    if (typeof text !== "string" || !text.isWellFormed())
      throw new FormatError(`${file}: got the name or metadata ${clip(String(text))}, expected well-formed text`);
}
