import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { type ByteSource, isPointer } from "./bytes.ts";
import { fileSource } from "./disk.ts";
import type { Listed } from "./dtype.ts";
import { readJson } from "./folder.ts";
import { clip } from "./header.ts";
import { readSafetensors } from "./safetensors.ts";

const INDEX_LIMIT = 100_000_000;

/** Files of one model: more than any has. */
const FILE_LIMIT = 4096;

/** Headers that are read at a time: servers take a while to answer. */
const TOGETHER = 4;

/** Where the files of a model lie: a folder, or a server. */
export interface Shelf {
  readonly name: string;
  readonly files: ReadonlySet<string>;
  /** A file's JSON, of at most so many bytes. */
  readIndex(file: string, limit: number): Promise<unknown>;
  open(file: string): Promise<ByteSource>;
}

/** What the headers of a model's safetensors files say. */
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

/** The tensors of a folder: see `listShelf`. */
export async function listFolder(dir: string): Promise<Listing | undefined> {
  return listShelf({
    name: dir,
    files: new Set(await readdir(dir)),
    readIndex: (file, limit) => readJson(join(dir, file), limit, z.unknown()),
    open: (file) => fileSource(join(dir, file)),
  });
}

/**
 * The tensors of a model from the headers of its files alone, in the order in which the hub's loaders look for them:
 * model.safetensors, what the index names, or parts by their names. Undefined where it has no safetensors files.
 *
 * Errors: FormatError naming the file for one that is damaged, for a tensor in two, and for an index that points elsewhere.
 */
export async function listShelf(shelf: Shelf): Promise<Listing | undefined> {
  const index = "model.safetensors.index.json";
  if (shelf.files.has("model.safetensors")) return listFiles(shelf, ["model.safetensors"]);
  if (shelf.files.has(index)) {
    const found = indexSchema.safeParse(await shelf.readIndex(index, INDEX_LIMIT));
    if (!found.success) {
      const [issue] = found.error.issues;
      throw new FormatError(
        `${shelf.name}/${index}: ${clip(issue?.path.join(".") || "top level")}: ${issue?.message}; fetch or correct the file`,
      );
    }
    const { weight_map, metadata } = found.data;
    const files = [...new Set(Object.values(weight_map))];
    const stray = files.find((file) => !/^[^/\\\0]+\.safetensors$/.test(file));
    if (stray !== undefined)
      throw new FormatError(
        `${shelf.name}/${index}: weight_map: got ${clip(stray)}, expected a .safetensors file in the same folder; do not trust this checkpoint`,
      );
    const { total_size } = metadata ?? {};
    return { ...(await listFiles(shelf, files)), ...(total_size && { total: total_size }) };
  }
  const parts = [...shelf.files].filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
  return parts.length ? listFiles(shelf, parts.sort()) : undefined;
}

async function listFiles(shelf: Shelf, files: readonly string[]): Promise<Listing> {
  if (files.length > FILE_LIMIT)
    throw new FormatError(
      `${shelf.name}: got ${files.length} files of tensors, expected at most ${FILE_LIMIT}; name a smaller model`,
    );
  const tensors = new Map<string, { type: Listed; elements: number; bytes: number }>();
  const missing: string[] = [];
  for (let at = 0; at < files.length; at += TOGETHER) {
    const some = files.slice(at, at + TOGETHER);
    const readers = await Promise.all(some.map((file) => readHeader(shelf, file)));
    for (const [n, reader] of readers.entries()) {
      if (!reader) {
        missing.push(some[n]!);
        continue;
      }
      for (const name of reader.names) {
        if (tensors.has(name))
          throw new FormatError(
            `${reader.file}: got the tensor ${clip(name)}, expected it in one file only; fetch the files again`,
          );
        const { dtype, elements, begin, end } = reader.entry(name);
        tensors.set(name, { type: dtype, elements, bytes: end - begin });
      }
    }
  }
  return { tensors, missing };
}

/** A file's header; undefined where it is not there, or is what Git LFS leaves where it was told not to fetch. */
async function readHeader(shelf: Shelf, file: string) {
  if (!shelf.files.has(file)) return undefined;
  const source = await shelf.open(file);
  return (await isPointer(source)) ? undefined : readSafetensors(source);
}
