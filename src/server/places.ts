import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { FormatError } from "../tensor/error.ts";
import type { Place } from "./registry.ts";

/** Models that a folder of models may hold: more than anyone has. */
const PLACES_LIMIT = 1000;
const nothing: { files: string[] | undefined; size: number } = { files: [], size: 0 };

/**
 * A GGUF file or a folder of safetensors as a place; its name is that of the file, without .gguf, or of the folder.
 *
 * Errors: FormatError naming a path where nothing is.
 */
export async function placeOf(path: string): Promise<Place> {
  const full = resolve(path);
  const { size, files } = await look(full).catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(`${path}: got ${error.code ?? error.message}, expected a model; check the path`, {
      cause: error,
    });
  });
  const name = files ? basename(full) : basename(full).replace(/\.gguf$/i, "");
  return { name, path, bytes: size, created: await written(full) };
}

/** The models in a folder: its GGUF files, and its folders that have a config.json and weights. Throws FormatError where there is none. */
export async function placesIn(folder: string): Promise<Place[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    throw new FormatError(
      `${folder}: got ${error.code ?? error.message}, expected a folder of models; check the path`,
      { cause: error },
    );
  });
  const found: Place[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)).slice(0, PLACES_LIMIT)) {
    const path = join(folder, entry.name);
    const { files, size } = await look(path).catch(() => nothing);
    const isModel = files ? files.includes("config.json") && size > 0 : /\.gguf$/i.test(entry.name);
    if (isModel) found.push(await placeOf(path));
  }
  if (!found.length)
    throw new FormatError(
      `${folder}: got no model, expected GGUF files, or folders with a config.json and safetensors`,
    );
  return found;
}

/** Throws FormatError where two models have one name. */
export function checkNames(places: readonly Place[]): void {
  for (const [i, { name, path }] of places.entries()) {
    const other = places.slice(0, i).find((before) => before.name === name);
    if (other)
      throw new FormatError(
        `${path}: got the name ${name}, expected another than that of ${other.path}; rename one of them`,
      );
  }
}

/** The bytes of a file, or of a folder's weights and the names of its files. */
async function look(path: string): Promise<{ files: string[] | undefined; size: number }> {
  const found = await stat(path);
  if (!found.isDirectory()) return { files: undefined, size: found.size };
  const files = await readdir(path);
  const weights = files.filter((file) => file.endsWith(".safetensors"));
  const sizes = await Promise.all(weights.map(async (file) => (await stat(join(path, file))).size));
  return { files, size: sizes.reduce((sum, size) => sum + size, 0) };
}

async function written(path: string): Promise<number> {
  return Math.floor((await stat(path)).mtimeMs / 1000);
}
