import { FormatError } from "../tensor/error.ts";
import type { Gguf } from "./gguf.ts";
import { clip } from "./header.ts";
import { unusable } from "./metadata.ts";
import { missing, type TensorReader } from "./safetensors.ts";

/** More parts than any model is cut into. */
const PART_LIMIT = 1024;

/**
 * The whole of which `first` is part 1, by its `split.count` and its name (`NAME-00001-of-00003.gguf`), as llama.cpp cuts large
 * models. The metadata is the first part's. A file that is no part is given back.
 *
 * Errors: FormatError for a part that is not the first, that is missing or belongs to another whole, and for a tensor in two.
 */
export async function joinParts(first: Gguf, read: (path: string) => Promise<Gguf>): Promise<Gguf> {
  const count = partKey(first, "split.count", 1);
  if (count <= 1) return first;
  if (count > PART_LIMIT)
    unusable(first.file, "split.count", first.metadata.get("split.count"), `at most ${PART_LIMIT} parts`);
  const name = (part: number) => `-${String(part).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`;
  if (partKey(first, "split.no", 0) !== 0 || !first.file.endsWith(name(1)))
    throw new FormatError(
      `${first.file}: got part ${partKey(first, "split.no", 0) + 1} of ${count}, expected the first, named ...${name(1)}; open that one`,
    );
  const parts: TensorReader[] = [first.tensors];
  for (let part = 2; part <= count; part++) {
    const other = await read(first.file.slice(0, -name(1).length) + name(part));
    if (partKey(other, "split.no", 0) !== part - 1 || partKey(other, "split.count", 1) !== count)
      throw new FormatError(
        `${other.file}: got part ${partKey(other, "split.no", 0) + 1} of ${partKey(other, "split.count", 1)}, ` +
          `expected ${part} of ${count}; fetch the parts again`,
      );
    parts.push(other.tensors);
  }
  const places = new Map<string, TensorReader>();
  for (const part of parts)
    for (const tensor of part.names) {
      if (places.has(tensor))
        throw new FormatError(
          `${part.file}: got the tensor ${clip(tensor)}, expected it only in ${places.get(tensor)!.file}; fetch the parts again`,
        );
      places.set(tensor, part);
    }
  const placeOf = (tensor: string): TensorReader => {
    const found = places.get(tensor);
    if (!found) throw missing(first.file, tensor, places.keys());
    return found;
  };
  return {
    ...first,
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

function partKey({ file, metadata }: Gguf, key: string, fallback: number): number {
  const found = metadata.get(key);
  if (!found) return fallback;
  if (typeof found.value !== "number" || !Number.isSafeInteger(found.value) || found.value < 0)
    unusable(file, key, found, "a whole number");
  return found.value;
}
