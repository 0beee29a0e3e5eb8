import { z } from "zod";
import { FormatError } from "../tensor/error.ts";
import { parseJson } from "../tensor/json.ts";
import { stat } from "../tensor/node.ts";
import { recoverFolder } from "./atomic.ts";
import { type ByteSource, readWhole } from "./bytes.ts";
import { diskFiles, fileSource } from "./disk.ts";
import type { Files } from "./files.ts";
import { clip } from "./header.ts";
import { missingTensor, readSafetensors, type TensorReader } from "./safetensors.ts";

const CONFIG_LIMIT = 16_000_000;
const INDEX_LIMIT = 100_000_000;

/** A checkpoint folder as the Hugging Face hub lays it out. */
export interface Folder {
  readonly dir: string;
  /** config.json as it stands: what is in it is for the model family to check. */
  readonly config: Readonly<Record<string, unknown>>;
  /** All tensors, whichever file they are in. */
  readonly tensors: TensorReader;
}

/**
 * Opens a checkpoint folder: config.json, and model.safetensors or the shards that model.safetensors.index.json names. A save
 * that a crash interrupted is finished first.
 *
 * Errors: FormatError naming the file for anything missing, damaged or at odds, and for an index that points out of the folder.
 */
export async function openFolder(dir: string): Promise<Folder> {
  return readFolder(await folderFiles(dir));
}

/** The files of a folder on a disk. A save that a crash interrupted is finished first. Throws FormatError for what is no folder. */
export async function folderFiles(dir: string): Promise<Files> {
  await recoverFolder(dir);
  const there = await stat(dir).catch(() => undefined);
  if (!there?.isDirectory())
    throw new FormatError(
      `${dir}: got ${there ? "a file" : "no such folder"}, expected a folder with config.json and model.safetensors; check the path`,
    );
  return diskFiles(dir);
}

/** The same of files wherever they are. */
export async function readFolder(files: Files): Promise<Folder> {
  const { name: dir, names } = files;
  const config = await readJson(await files.open("config.json"), CONFIG_LIMIT, z.record(z.string(), z.unknown()));
  // In this order the hub's own loaders look.
  if (names.has("model.safetensors"))
    return { dir, config, tensors: await readSafetensors(await files.open("model.safetensors")) };
  if (names.has("model.safetensors.index.json")) return { dir, config, tensors: await openShards(files) };
  const other = [...names].find((name) => /\.(bin|pt|pth|gguf|safetensors)$/.test(name));
  throw new FormatError(
    `${dir}: got no model.safetensors and no model.safetensors.index.json${other ? ` (only ${clip(other)})` : ""}, expected one of them; save the checkpoint as safetensors`,
  );
}

/**
 * A JSON file, by its path or open already, of at most `limit` bytes, checked by `schema`.
 *
 * Errors: FormatError naming the file, and the place in it that is wrong.
 */
export async function readJson<T>(file: string | ByteSource, limit: number, schema: z.ZodType<T>): Promise<T> {
  const source = typeof file === "string" ? await fileSource(file) : file;
  const path = source.name;
  const bytes = await readWhole(source, limit);
  let value: unknown;
  try {
    value = parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = clip(error instanceof Error ? error.message : String(error));
    throw new FormatError(`${path}: got no valid JSON (${reason}), expected JSON in UTF-8; fetch the file again`, {
      cause: error,
    });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new FormatError(
    `${path}: ${clip(issue?.path.join(".") || "top level")}: ${issue?.message}; fetch or correct the file`,
  );
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

async function openShards(files: Files): Promise<TensorReader> {
  const index = await files.open("model.safetensors.index.json");
  const path = index.name;
  // A Map, since an object would take names such as __proto__ for something else.
  const map = new Map(Object.entries((await readJson(index, INDEX_LIMIT, indexSchema)).weight_map));
  if (map.size === 0)
    throw new FormatError(`${path}: got an empty weight_map, expected tensor names; fetch the file again`);
  const shards = new Map<string, TensorReader>();
  for (const [name, shard] of map) {
    if (!/^[^/\\\0]+\.safetensors$/.test(shard))
      throw new FormatError(
        `${path}: weight_map of ${clip(name)}: got ${clip(shard)}, expected a .safetensors file in the same folder; do not trust this checkpoint`,
      );
    let reader = shards.get(shard);
    if (!reader) {
      reader = await readSafetensors(await files.open(shard));
      shards.set(shard, reader);
    }
    if (!reader.has(name))
      throw new FormatError(
        `${path}: weight_map of ${clip(name)}: got ${clip(shard)}, which has no such tensor; fetch both files again`,
      );
  }
  const reader = (name: string): TensorReader => {
    const found = shards.get(map.get(name) ?? "");
    if (!found) throw missingTensor(path, name, map.keys());
    return found;
  };
  return {
    file: path,
    metadata: Object.assign({}, ...[...shards.values()].map((shard) => shard.metadata)),
    names: [...map.keys()],
    has: (name) => map.has(name),
    entry: (name) => reader(name).entry(name),
    read: async (name) => reader(name).read(name),
    readBytes: async (name, offset, into) => reader(name).readBytes(name, offset, into),
  };
}
