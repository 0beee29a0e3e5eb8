import { FormatError } from "../tensor/error.ts";
import type { Gguf } from "./gguf.ts";
import { clip } from "./header.ts";
import { type Metadata, unusable } from "./metadata.ts";
import type { Listed, Outline } from "./outline.ts";
import { missingTensor, type TensorReader } from "./safetensors.ts";

/** More parts than any model is cut into. */
const PART_LIMIT = 1024;

/**
 * The whole of which `first` is part 1, by its `split.count` and its name (`NAME-00001-of-00003.gguf`), as llama.cpp cuts large
 * models. The metadata is the first part's, without what it says of parts. A file that is no part is given back.
 *
 * Errors: FormatError for a part that is not the first, that is missing or belongs to another whole, and for a tensor in two.
 */
export async function joinParts(first: Gguf, read: (path: string) => Promise<Gguf>): Promise<Gguf> {
  const parts = await readParts(first, read);
  if (!parts) return first;
  const places = new Map<string, TensorReader>();
  for (const { file, tensors } of parts)
    for (const tensor of tensors.names) {
      const other = places.get(tensor);
      if (other) throw twice(file, tensor, other.file);
      places.set(tensor, tensors);
    }
  const placeOf = (tensor: string): TensorReader => {
    const found = places.get(tensor);
    if (!found) throw missingTensor(first.file, tensor, places.keys());
    return found;
  };
  return {
    ...first,
    metadata: withoutSplit(first.metadata),
    tensors: {
      file: first.file,
      metadata: {},
      names: [...places.keys()],
      has: (tensor) => places.has(tensor),
      entry: (tensor) => placeOf(tensor).entry(tensor),
      read: async (tensor) => placeOf(tensor).read(tensor),
      readBytes: async (tensor, offset, into) => placeOf(tensor).readBytes(tensor, offset, into),
    },
  };
}

/**
 * The same of outlines. Where `first` is not the first by its name, or `read` has not all of the others, it is given back as it
 * is: keys alone are enough to plan. Errors: as `joinParts`.
 */
export async function joinOutlines(
  first: Outline,
  read: (path: string) => Promise<Outline | undefined>,
): Promise<Outline> {
  const parts = isFirst(first) ? await readParts(first, read) : undefined;
  if (!parts) return first;
  const all = new Map<string, Listed>();
  const places = new Map<string, string>();
  for (const { file, tensors } of parts)
    for (const [tensor, listed] of tensors) {
      const other = places.get(tensor);
      if (other !== undefined) throw twice(file, tensor, other);
      places.set(tensor, file);
      all.set(tensor, listed);
    }
  return { file: first.file, metadata: withoutSplit(first.metadata), tensors: all };
}

/** What every part says of itself. */
interface Part {
  readonly file: string;
  readonly metadata: Metadata;
}

/** How a whole of so many parts ends the name of one of them. */
const ending = (part: number, count: number) =>
  `-${String(part).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`;

/** Whether a part is the first, by its name too: the others are found by that. */
const isFirst = (part: Part) =>
  partKey(part, "split.no", 0) === 0 && part.file.endsWith(ending(1, partKey(part, "split.count", 1)));

/** All parts in their order; undefined where `first` is no part, or `read` has not all of them. */
async function readParts<P extends Part>(
  first: P,
  read: (path: string) => Promise<P | undefined>,
): Promise<P[] | undefined> {
  const count = partKey(first, "split.count", 1);
  if (count <= 1) return undefined;
  if (count > PART_LIMIT)
    unusable(first.file, "split.count", first.metadata.get("split.count"), `at most ${PART_LIMIT} parts`);
  if (!isFirst(first))
    throw new FormatError(
      `${first.file}: got part ${partKey(first, "split.no", 0) + 1} of ${count}, expected the first, named ...${ending(1, count)}; open that one`,
    );
  const parts = [first];
  for (let part = 2; part <= count; part++) {
    const other = await read(first.file.slice(0, -ending(1, count).length) + ending(part, count));
    if (!other) return undefined;
    if (partKey(other, "split.no", 0) !== part - 1 || partKey(other, "split.count", 1) !== count)
      throw new FormatError(
        `${other.file}: got part ${partKey(other, "split.no", 0) + 1} of ${partKey(other, "split.count", 1)}, ` +
          `expected ${part} of ${count}; fetch the parts again`,
      );
    parts.push(other);
  }
  return parts;
}

function twice(file: string, tensor: string, other: string): FormatError {
  return new FormatError(
    `${file}: got the tensor ${clip(tensor)}, expected it only in ${other}; fetch the parts again`,
  );
}

/** The whole is no part of anything. */
function withoutSplit<V>(metadata: ReadonlyMap<string, V>): Map<string, V> {
  return new Map([...metadata].filter(([key]) => !key.startsWith("split.")));
}

function partKey({ file, metadata }: Part, key: string, fallback: number): number {
  const found = metadata.get(key);
  if (!found) return fallback;
  if (typeof found.value !== "number" || !Number.isSafeInteger(found.value) || found.value < 0)
    unusable(file, key, found, "a whole number");
  return found.value;
}
