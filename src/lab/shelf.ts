import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeAtomic } from "../file/atomic.ts";

/**
 * Where a comparison keeps finished runs and the checkpoint of the one in progress, so that it goes on after an interruption.
 * The folder's name is a hash of the settings: the same command finds its own shelf, another never does.
 */
export class Shelf<T> {
  readonly dir: string;

  constructor(root: string, settings: unknown) {
    this.dir = join(root, `compare-${hash(JSON.stringify(settings))}`);
  }

  /** The record kept under `name`, if there is one that can be read. */
  async get(name: string): Promise<T | undefined> {
    try {
      return JSON.parse(await readFile(this.#file(name), "utf8")) as T;
    } catch {
      return undefined;
    }
  }

  /** Keeps a record, atomically, and drops the checkpoint it replaces. */
  async put(name: string, record: T): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    await writeAtomic(this.#file(name), [JSON.stringify(record)]);
    await rm(this.folder(name), { recursive: true, force: true });
  }

  /** A folder for the checkpoint of the run of this name. */
  folder(name: string): string {
    return join(this.dir, hash(name));
  }

  /** Forgets all of it, once the comparison is done. */
  async clear(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.dir, `${hash(name)}.json`);
  }
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
