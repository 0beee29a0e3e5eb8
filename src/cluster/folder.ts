import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { writeAtomic } from "../file/atomic.ts";
import { DeviceError } from "../tensor/error.ts";
import { randomBytes } from "../tensor/node.ts";
import type { Store } from "./store.ts";

/** A folder as a store; on a cluster, one that all machines see. Nothing in it is ever half written. */
export function folderStore(dir: string): Store {
  const path = (name: string) => join(dir, ...name.split("/"));
  return {
    where: dir,
    read: (name) => absent(path(name), () => readFile(path(name))),
    async write(name, text) {
      await mkdir(dirname(path(name)), { recursive: true });
      await writeAtomic(path(name), [text]);
    },
    async create(name, text) {
      await mkdir(dirname(path(name)), { recursive: true });
      // A link appears with its whole content or not at all, over networks too; opening exclusively would show an empty file first.
      const whole = join(dir, `.${randomBytes(6).toString("hex")}.tmp`);
      try {
        await writeFile(whole, text, { flag: "wx" });
        await link(whole, path(name));
        return true;
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        throw refused(path(name), error);
      } finally {
        await rm(whole, { force: true });
      }
    },
    async list(prefix) {
      const cut = prefix.lastIndexOf("/") + 1;
      const folder = path(prefix.slice(0, cut));
      const found = (await absent(folder, () => readdir(folder, { recursive: cut > 0 }))) ?? [];
      return found
        .map((name) => prefix.slice(0, cut) + name.replaceAll(sep, "/"))
        .filter((name) => name.startsWith(prefix));
    },
    async openFolder(name) {
      await mkdir(dirname(path(name)), { recursive: true });
      return path(name);
    },
    // It lies where it has to already.
    keepFolder: async () => {},
    dropFolder: (name) => rm(path(name), { recursive: true, force: true }),
  };
}

/** What a call gives, or undefined where the file is not there. */
async function absent<T>(path: string, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw refused(path, error);
  }
}

const codeOf = (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : undefined);

function refused(path: string, error: unknown): DeviceError {
  return new DeviceError(
    `${path}: got ${codeOf(error) ?? error}, expected a folder to read and write; check its rights and its disk`,
    {
      cause: error,
    },
  );
}
