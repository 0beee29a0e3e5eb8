import { type FileHandle, open, stat } from "node:fs/promises";
import { DeviceError, FormatError } from "../tensor/error.ts";

/** Random access to bytes: a file, a piece of memory, later a Blob or a ranged request. */
export interface ByteSource {
  /** What errors call it: the path of a file. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** Fills `into` with the bytes from `offset` on. Throws FormatError where there are fewer. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/** Bytes that are already in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, into) {
      if (offset + into.length > bytes.length) throw tooShort(name, offset, into.length, bytes.length);
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}

/**
 * A regular file. It is opened for each read, so there is nothing to close; a file that was replaced or changed since is
 * refused rather than read by the old header.
 *
 * Errors: FormatError for a missing, unreadable or changed file, DeviceError where the disk itself fails.
 */
export async function fileSource(path: string): Promise<ByteSource> {
  // Looked at before it is opened: opening a pipe would wait for ever.
  const first = await refusing(path, () => stat(path));
  if (!first.isFile())
    throw new FormatError(`${path}: got ${kind(first)}, expected a regular file; name the file itself`);
  return {
    name: path,
    size: first.size,
    async read(offset, into) {
      const file = await refusing(path, () => open(path, "r"));
      try {
        const now = await file.stat();
        if (now.size !== first.size || now.mtimeMs !== first.mtimeMs || now.ino !== first.ino)
          throw new FormatError(`${path}: got a file that changed while it was being read; open it again`);
        await fill(path, file, offset, into, first.size);
      } finally {
        await file.close();
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
  const source = await fileSource(path);
  if (source.size > limit)
    throw new FormatError(
      `${path}: got ${source.size} bytes, expected at most ${limit}; this is not the file it should be`,
    );
  const bytes = new Uint8Array(source.size);
  await source.read(0, bytes);
  return bytes;
}

/** Memory for `bytes` bytes; DeviceError where there is not that much. */
export function allocateBytes(subject: string, bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (error) {
    throw new DeviceError(
      `${subject}: got ${bytes} bytes, expected memory for them; use a smaller model or more memory`,
      {
        cause: error,
      },
    );
  }
}

async function fill(path: string, file: FileHandle, offset: number, into: Uint8Array, size: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const length = Math.min(into.length - done, 1 << 28);
    const { bytesRead } = await refusing(path, () => file.read(into, done, length, offset + done));
    if (bytesRead === 0) throw tooShort(path, offset, into.length, Math.min(size, offset + done));
    done += bytesRead;
  }
}

function tooShort(name: string, offset: number, length: number, size: number): FormatError {
  return new FormatError(
    `${name}: byte ${offset}: got ${Math.max(0, size - offset)} bytes, expected ${length}; the file is truncated, fetch it again`,
  );
}

function kind(entry: { isDirectory(): boolean }): string {
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

async function refusing<T>(path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    const refusal = refusals[String(error.code)];
    if (refusal)
      throw new FormatError(`${path}: got ${refusal}, expected a readable file; check the path`, { cause: error });
    throw new DeviceError(`${path}: got ${error.code} while reading; check the disk`, { cause: error });
  }
}
