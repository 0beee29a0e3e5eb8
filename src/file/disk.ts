import { DeviceError, FormatError } from "../tensor/error.ts";
import { closeSync, constants, fstatSync, join, openSync, readdir, read as readInto, stat } from "../tensor/node.ts";
import { writeAtomic } from "./atomic.ts";
import { type ByteSource, readWhole, tooShort } from "./bytes.ts";
import type { Listed } from "./dtype.ts";
import type { Files } from "./files.ts";
import { type Gguf, readGguf } from "./gguf.ts";
import { joinParts } from "./parts.ts";
import { readSafetensors, safetensorsChunks, type TensorReader, type TensorToWrite } from "./safetensors.ts";

/**
 * Opens a GGUF file. Where it is the first of several parts, the others beside it are opened too, and all tensors are together.
 *
 * Errors: FormatError naming file, byte, what was got and expected for a file that is missing, changed or not one; DeviceError
 * where the disk itself fails.
 */
export async function openGguf(path: string): Promise<Gguf> {
  const read = async (file: string) => readGguf(await fileSource(file));
  return joinParts(await read(path), read);
}

/**
 * Opens a safetensors file; only its header is read until a tensor is.
 *
 * Errors: FormatError naming file, byte and limit for a file that is missing, changed or not one; DeviceError where the disk
 * itself fails.
 */
export async function openSafetensors(path: string): Promise<TensorReader<Listed>> {
  return readSafetensors(await fileSource(path));
}

/**
 * Writes a safetensors file, atomically: the same tensors and metadata give the same bytes.
 *
 * Errors: ShapeError where numbers and shape differ, FormatError for names or numbers that cannot be stored, DeviceError where
 * the disk refuses (the old file stays).
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeAtomic(path, safetensorsChunks(path, tensors, metadata));
}

/**
 * A regular file. It is opened for each read, so there is nothing to close; a file that was replaced or changed since is
 * refused rather than read by the old header.
 *
 * Errors: FormatError for a missing, unreadable or changed file, DeviceError where the disk itself fails.
 */
export async function fileSource(path: string): Promise<ByteSource> {
  // Looked at before it is opened: opening a pipe would wait for ever.
  const first = await explain(path, () => stat(path));
  if (!first.isFile())
    throw new FormatError(`${path}: got ${kindOf(first)}, expected a regular file; name the file itself`);
  return {
    name: path,
    size: first.size,
    async read(offset, into) {
      // Waiting for these would take longer than reading a MiB. A pipe that has taken the file's place opens at once, too.
      const file = explainSync(path, () => openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)));
      try {
        const now = explainSync(path, () => fstatSync(file));
        if (now.size !== first.size || now.mtimeMs !== first.mtimeMs || now.ino !== first.ino)
          throw new FormatError(`${path}: got a file that changed while it was being read; open it again`);
        await fill(path, file, offset, into, first.size);
      } finally {
        closeSync(file);
      }
    },
  };
}

/**
 * The whole of a file that must be small (a configuration, an index).
 *
 * Errors: as `fileSource`, and FormatError where it has more than `limit` bytes.
 */
export async function readSmall(path: string, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  return readWhole(await fileSource(path), limit);
}

/** The files of a folder. Throws FormatError for one that cannot be read. */
export async function diskFiles(dir: string): Promise<Files> {
  const names = new Set(await explain(dir, () => readdir(dir)));
  return { name: dir, names, open: (name) => fileSource(join(dir, name)) };
}

async function fill(path: string, file: number, offset: number, into: Uint8Array, size: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const length = Math.min(into.length - done, 1 << 28);
    const got = await explain(
      path,
      () =>
        new Promise<number>((resolve, reject) => {
          readInto(file, into, done, length, offset + done, (error, bytes) => (error ? reject(error) : resolve(bytes)));
        }),
    );
    if (got === 0) throw tooShort(path, offset, into.length, Math.min(size, offset + done));
    done += got;
  }
}

function kindOf(entry: { isDirectory(): boolean }): string {
  return entry.isDirectory() ? "a folder" : "a device or a pipe";
}

const refusals: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "no right to read it",
  EPERM: "no right to read it",
  EISDIR: "a folder",
  ENOTDIR: "a path through a file",
  ELOOP: "a circle of links",
  ENAMETOOLONG: "a name that is too long",
  ERR_INVALID_ARG_VALUE: "a name with a zero byte",
};

async function explain<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw explained(path, error);
  }
}

function explainSync<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw explained(path, error);
  }
}

function explained(path: string, error: unknown): unknown {
  if (!(error instanceof Error && "code" in error)) return error;
  const refusal = refusals[String(error.code)];
  if (refusal)
    return new FormatError(`${path}: got ${refusal}, expected a readable file; check the path`, { cause: error });
  return new DeviceError(`${path}: got ${error.code} while reading; check the disk`, { cause: error });
}
