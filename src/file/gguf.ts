import { blocks, isQuant } from "../tensor/quant.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type ByteSource, memorySource, refusePointer } from "./bytes.ts";
import { type Stored, storedBytes } from "./dtype.ts";
import { clip, type Entry } from "./header.ts";
import { type Found, type Metadata, readMetadata, unusable, type Value } from "./metadata.ts";
import { type TensorReader, tensorReader } from "./safetensors.ts";
import { Scanner } from "./scanner.ts";

/** A GGUF file: typed metadata and named tensors. Only its header is in memory. */
export interface Gguf {
  /** What errors call it: the path. */
  readonly file: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, Found>;
  /** Shapes are row-major: GGUF's own order of sizes, whose first is the contiguous one, reversed. */
  readonly tensors: TensorReader;
}

export const MAGIC = 0x46554747;

/** Tensors begin at multiples of this, unless `general.alignment` says otherwise. */
const ALIGNMENT = 32;

/** A page of the largest kind in use. */
const ALIGNMENT_LIMIT = 1 << 21;

/** Axes of a tensor in ggml. */
export const RANK = 4;

/** More than any model's, so that memory stays bounded. */
const TENSOR_LIMIT = 250_000;

/** The type codes of tensors that this reader knows, by their names. */
export const typeCodes = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  IQ4_NL: 20,
  IQ4_XS: 23,
  I8: 24,
  I16: 25,
  I32: 26,
  I64: 27,
  F64: 28,
  BF16: 30,
  TQ1_0: 34,
  TQ2_0: 35,
  MXFP4: 39,
  NVFP4: 40,
  Q1_0: 41,
  Q2_0: 42,
} as const satisfies Partial<Record<Stored, number>>;

/** The element types of GGUF that can be read. */
export type GgufType = keyof typeof typeCodes;

const typeOf = new Map<number, GgufType>(Object.entries(typeCodes).map(([name, code]) => [code, name as GgufType]));

/** Types that are known and not read, by code: their names, and elements and bytes of a block (ggml-common.h). */
export const others: Readonly<Record<number, readonly [name: string, elements: number, bytes: number]>> = {
  9: ["Q8_1", 32, 36],
  15: ["Q8_K", 256, 292],
  16: ["IQ2_XXS", 256, 66],
  17: ["IQ2_XS", 256, 74],
  18: ["IQ3_XXS", 256, 98],
  19: ["IQ1_S", 256, 50],
  21: ["IQ3_S", 256, 110],
  22: ["IQ2_S", 256, 82],
  29: ["IQ1_M", 256, 56],
};

/** A GGUF file that is in memory, `name` for errors. Errors: FormatError naming byte, what was got and expected for anything else. */
export function decodeGguf(bytes: Uint8Array, name = "gguf"): Promise<Gguf> {
  return readGguf(memorySource(name, bytes));
}

/**
 * Opens GGUF of version 2 or 3 over any source of bytes.
 *
 * Errors: FormatError naming file, byte, what was got and expected for anything that is not one, before anything large is
 * allocated.
 */
export async function readGguf(source: ByteSource): Promise<Gguf> {
  const { scan, version, metadata, places, start } = await walkHeader(source);
  const entries = new Map(places.map((place) => [place.name, entryOf(scan, place, start, source.size)]));
  checkApart(scan, places, entries);
  return { file: source.name, version, metadata, tensors: tensorReader(source, entries) };
}

/** What the header says, checked as far as it goes by itself: tensors may have any type and end anywhere. Throws FormatError. */
export async function walkHeader(source: ByteSource) {
  await refusePointer(source);
  const scan = new Scanner(source);
  const magic = await scan.u32("the magic");
  if (magic !== MAGIC) scan.fail(`0x${magic.toString(16)}`, "the letters GGUF", 0);
  const version = await scan.u32("the version");
  if (version !== 2 && version !== 3)
    scan.fail(
      `version ${version}${version & 0xffff ? "" : " (a big-endian file)"}`,
      "version 2 or 3, little-endian",
      4,
    );
  // A tensor takes at least its name's length, the number of axes, type and offset; a key its length, type and a byte.
  const tensors = await scan.count(24, "tensors");
  if (tensors > TENSOR_LIMIT) scan.fail(`${tensors} tensors`, `at most ${TENSOR_LIMIT}`, 8);
  const metadata = await readMetadata(scan, await scan.count(13, "keys"));
  const alignment = alignmentOf(source.name, metadata);
  const places: Place[] = [];
  const seen = new Set<string>();
  for (let i = 0; i < tensors; i++) {
    const place = await readPlace(scan, seen, alignment);
    seen.add(place.name);
    places.push(place);
  }
  return { scan, version, metadata, places, start: Math.ceil(scan.at / alignment) * alignment };
}

/** Where tensors begin: at multiples of this. Throws FormatError where `general.alignment` cannot be one. */
export function alignmentOf(file: string, metadata: Metadata): number {
  const found: (Value & { readonly at?: number }) | undefined = metadata.get("general.alignment");
  if (!found) return ALIGNMENT;
  const value = found.type === "u32" ? found.value : 0;
  if (value < 1 || value > ALIGNMENT_LIMIT || value & (value - 1))
    unusable(file, "general.alignment", found, `a u32 that is a power of two up to ${ALIGNMENT_LIMIT}`);
  return value;
}

/** What the header says of a tensor. */
export interface Place {
  readonly name: string;
  /** The code of its type, and where that stands. */
  readonly code: number;
  readonly codeAt: number;
  readonly shape: readonly number[];
  readonly offset: number;
  /** Where the header says it. */
  readonly at: number;
}

async function readPlace(scan: Scanner, seen: ReadonlySet<string>, alignment: number): Promise<Place> {
  const at = scan.at;
  const name = await scan.name("a tensor's name");
  const subject = `the tensor ${clip(name)}`;
  if (seen.has(name)) scan.fail(`${subject} twice`, "each name once", at);
  const rank = await scan.u32(`axes of ${subject}`);
  if (rank > RANK) scan.fail(`${rank} axes of ${subject}`, `at most ${RANK}`, scan.at - 4);
  const shape: number[] = [];
  for (let i = 0; i < rank; i++) shape.unshift(await scan.u64(`a size of ${subject}`));
  const code = await scan.u32(`the type of ${subject}`);
  const codeAt = scan.at - 4;
  const offset = await scan.u64(`the offset of ${subject}`);
  if (offset % alignment)
    scan.fail(`the offset ${offset} of ${subject}`, `a multiple of the alignment, ${alignment}`, scan.at - 8);
  return { name, code, codeAt, shape, offset, at };
}

function entryOf(scan: Scanner, place: Place, start: number, size: number): Entry {
  const { name, code, shape, offset, at } = place;
  const dtype = typeOf.get(code);
  if (!dtype)
    scan.fail(
      `the type ${others[code]?.[0] ?? "unknown"} (${code}) of the tensor ${clip(name)}`,
      `one of ${Object.keys(typeCodes).join(" ")}`,
      place.codeAt,
    );
  // Without the zeros, which would hide an overflow.
  let bound = 1;
  for (const n of shape) {
    bound *= n || 1;
    if (bound > Number.MAX_SAFE_INTEGER / 8)
      scan.fail(`[${shape}] as the shape of ${clip(name)}`, "fewer than 2^50 elements", at);
  }
  const elements = sizeOf(shape);
  if (isQuant(dtype) && (shape.at(-1) ?? 1) % blocks[dtype].elements)
    scan.fail(
      `rows of ${shape.at(-1) ?? 1} elements in ${clip(name)}`,
      `a multiple of ${blocks[dtype].elements}, as ${dtype} has in a block`,
      at,
    );
  const begin = start + offset;
  const end = begin + storedBytes(dtype, elements);
  if (end > size && end > begin)
    scan.fail(`${clip(name)} in bytes ${begin} to ${end}`, `an end within the ${size} bytes of the file`, at);
  return { name, dtype, shape, elements, begin, end };
}

/** No byte belongs to two tensors. Between them there may be padding. */
function checkApart(scan: Scanner, places: readonly Place[], entries: ReadonlyMap<string, Entry>): void {
  const inOrder = places
    .map((place) => ({ ...entries.get(place.name)!, at: place.at }))
    .filter(({ begin, end }) => end > begin)
    .sort((a, b) => a.begin - b.begin);
  for (const [i, next] of inOrder.entries()) {
    const before = inOrder[i - 1];
    if (before && next.begin < before.end)
      scan.fail(
        `${clip(next.name)} from byte ${next.begin} on`,
        `it after ${clip(before.name)}, which ends at byte ${before.end} (overlap)` +
          // Nothing else in the file tells the two.
          (before.dtype === "Q2_0"
            ? "; blocks of 128, as a fork of ggml has under the code of Q2_0, are not read"
            : ""),
        next.at,
      );
  }
}
