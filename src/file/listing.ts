import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { fileSource, openSafetensors } from "./disk.ts";
import type { Listed } from "./dtype.ts";
import { readJson } from "./folder.ts";
import { clip } from "./header.ts";

const INDEX_LIMIT = 100_000_000;

/** Files of one model: more than any has. */
const FILE_LIMIT = 4096;

/** What the headers of a folder's safetensors files say. */
export interface Listing {
  readonly tensors: ReadonlyMap<string, { readonly type: Listed; readonly elements: number; readonly bytes: number }>;
  /** Files that there should be and are not, or of which only Git LFS's pointer is there. */
  readonly missing: readonly string[];
  /** Bytes of all tensors by the index. */
  readonly total?: number | undefined;
}

const indexSchema = z.object({
  weight_map: z.record(z.string(), z.string()),
  metadata: z.object({ total_size: z.number().min(0).max(Number.MAX_SAFE_INTEGER).nullish() }).nullish(),
});

/**
 * The tensors of a folder from their headers alone, in the order in which the hub's loaders look for them: model.safetensors, what
 * the index names, or parts by their names. Undefined where the folder has no safetensors files.
 *
 * Errors: FormatError naming the file for one that is damaged, for a tensor in two, and for an index that points out of the folder.
 */
export async function listFolder(dir: string): Promise<Listing | undefined> {
  const there = new Set(await readdir(dir));
  const index = "model.safetensors.index.json";
  if (there.has("model.safetensors")) return listFiles(dir, ["model.safetensors"], there);
  if (there.has(index)) {
    const { weight_map, metadata } = await readJson(join(dir, index), INDEX_LIMIT, indexSchema);
    const files = [...new Set(Object.values(weight_map))];
    const stray = files.find((file) => !/^[^/\\\0]+\.safetensors$/.test(file));
    if (stray !== undefined)
      throw new FormatError(
        `${join(dir, index)}: weight_map: got ${clip(stray)}, expected a .safetensors file in the same folder; do not trust this checkpoint`,
      );
    const { total_size } = metadata ?? {};
    return { ...(await listFiles(dir, files, there)), ...(total_size && { total: total_size }) };
  }
  const parts = [...there].filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
  return parts.length ? listFiles(dir, parts.sort(), there) : undefined;
}

async function listFiles(dir: string, files: readonly string[], there: ReadonlySet<string>): Promise<Listing> {
  if (files.length > FILE_LIMIT)
    throw new FormatError(
      `${dir}: got ${files.length} files of tensors, expected at most ${FILE_LIMIT}; name a smaller model`,
    );
  const tensors = new Map<string, { type: Listed; elements: number; bytes: number }>();
  const missing: string[] = [];
  for (const file of files) {
    const path = join(dir, file);
    if (!there.has(file) || (await isPointer(path))) {
      missing.push(file);
      continue;
    }
    const reader = await openSafetensors(path);
    for (const name of reader.names) {
      if (tensors.has(name))
        throw new FormatError(
          `${path}: got the tensor ${clip(name)}, expected it in one file only; fetch the files again`,
        );
      const { dtype, elements, begin, end } = reader.entry(name);
      tensors.set(name, { type: dtype, elements, bytes: end - begin });
    }
  }
  return { tensors, missing };
}

/** Whether a file is what Git LFS leaves where it was told not to fetch. */
async function isPointer(path: string): Promise<boolean> {
  const source = await fileSource(path);
  if (source.size > 1024) return false;
  const bytes = new Uint8Array(source.size);
  await source.read(0, bytes);
  return new TextDecoder().decode(bytes).startsWith("version https://git-lfs");
}
