/**
 * What was fetched of models, kept in the browser's own file system, block by block: a model that was fetched once is read from
 * there, and one that was broken off goes on where it was. In the worker for reading and writing, in the page for its size.
 */

/** Bytes of a block. */
export const BLOCK = 4 * 2 ** 20;
const FOLDER = "models";

/** A file that a worker reads and writes at once, as no type of a page's has it. */
interface OpenFile {
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** A file of which some blocks are there. */
export interface Hoarded {
  has(block: number): boolean;
  read(offset: number, into: Uint8Array): void;
  /** Keeps bytes from `offset` on. Throws where the browser gives no more room. */
  write(offset: number, bytes: Uint8Array): void;
  /** Marks blocks as whole. */
  keep(first: number, last: number): void;
  close(): void;
}

/** What tells whether a kept file is the one that a server has. */
export interface Identity {
  readonly url: string;
  readonly size: number;
  readonly tag: string | undefined;
}

/** Opens what is kept of a file; a file that has changed begins anew. Rejects where the browser keeps nothing, or another tab reads it. */
export async function openHoarded(identity: Identity): Promise<Hoarded> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  const name = await nameOf(identity.url);
  const open = async (file: string): Promise<OpenFile> => {
    const handle = await folder.getFileHandle(file, { create: true });
    return (handle as unknown as { createSyncAccessHandle(): Promise<OpenFile> }).createSyncAccessHandle();
  };
  const data = await open(`${name}.data`);
  let list: OpenFile;
  try {
    list = await open(`${name}.blocks`);
  } catch (error) {
    data.close();
    throw error;
  }
  const head = new TextEncoder().encode(`${JSON.stringify(identity)}\n`);
  const blocks = new Uint8Array(Math.ceil(identity.size / BLOCK));
  const before = new Uint8Array(head.length);
  list.read(before, { at: 0 });
  const same = before.every((byte, i) => byte === head[i]) && list.getSize() === head.length + blocks.length;
  if (same) list.read(blocks, { at: head.length });
  else {
    data.truncate(0);
    list.truncate(0);
    list.write(head, { at: 0 });
    list.write(blocks, { at: head.length });
  }
  return {
    has: (block) => blocks[block] === 1,
    read(offset, into) {
      const got = data.read(into, { at: offset });
      if (got !== into.length)
        throw new Error(`storage: got ${got} bytes, expected ${into.length}; clear what is kept`);
    },
    write(offset, bytes) {
      const put = data.write(bytes, { at: offset });
      if (put !== bytes.length) throw new DOMException("no more room", "QuotaExceededError");
    },
    keep(first, last) {
      // The blocks are on the disk before the list says so.
      data.flush();
      blocks.fill(1, first, last + 1);
      list.write(blocks.subarray(first, last + 1), { at: head.length + first });
      list.flush();
    },
    close() {
      data.close();
      list.close();
    },
  };
}

/** Bytes that are kept of all models; undefined where the browser keeps nothing. */
export async function hoardedBytes(): Promise<number | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle(FOLDER, { create: true });
    let bytes = 0;
    for await (const entry of folder.values())
      if (entry.kind === "file") bytes += (await (entry as FileSystemFileHandle).getFile()).size;
    return bytes;
  } catch {
    return undefined;
  }
}

/** Forgets all. Rejects where a model is being read. */
export async function clearHoard(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true });
}

async function nameOf(url: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url));
  return Array.from(new Uint8Array(hash, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
