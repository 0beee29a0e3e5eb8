import { DeviceError, FormatError } from "../tensor/error.ts";

/** Random access to bytes: a file on disk (disk.ts), a piece of memory, a Blob, a ranged request. */
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

/** A file that the user chose in a page, or any other Blob. Errors: FormatError where it ends early or can no longer be read. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, into) {
      if (offset + into.length > blob.size) throw tooShort(name, offset, into.length, blob.size);
      try {
        into.set(new Uint8Array(await blob.slice(offset, offset + into.length).arrayBuffer()));
      } catch (error) {
        throw new FormatError(
          `${name}: got ${(error as Error).name} while reading, expected the file as it was chosen; choose it again`,
          {
            cause: error,
          },
        );
      }
    },
  };
}

/** Git LFS's pointers are a few lines: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md */
const [POINTER, POINTER_LIMIT] = ["version https://git-lfs.github.com/spec/", 1024];

/** Whether Git LFS's pointer lies in the file's place: what a clone has where large files were not fetched. */
export async function isPointer(source: ByteSource): Promise<boolean> {
  if (source.size < POINTER.length || source.size >= POINTER_LIMIT) return false;
  const bytes = new Uint8Array(POINTER.length);
  await source.read(0, bytes);
  return new TextDecoder().decode(bytes) === POINTER;
}

/** Throws FormatError where Git LFS's pointer lies in the file's place. */
export async function refusePointer(source: ByteSource): Promise<void> {
  if (await isPointer(source))
    throw new FormatError(
      `${source.name}: got Git LFS's pointer to it, expected the file itself; fetch it with git lfs pull, or from an address with /resolve/ in it`,
    );
}

/**
 * The whole of a source that must be small (a configuration, an index). Throws FormatError where it has more than `limit` bytes, or
 * is Git LFS's pointer.
 */
export async function readWhole(source: ByteSource, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  await refusePointer(source);
  if (source.size > limit)
    throw new FormatError(
      `${source.name}: got ${source.size} bytes, expected at most ${limit}; this is not the file it should be`,
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

/** The error for a source that ends before what is asked for. */
export function tooShort(name: string, offset: number, length: number, size: number): FormatError {
  return new FormatError(
    `${name}: byte ${offset}: got ${Math.max(0, size - offset)} bytes, expected ${length}; the file is truncated, fetch it again`,
  );
}
