import type { FileHandle } from "node:fs/promises";
import { DeviceError, FormatError } from "../tensor/error.ts";
import {
  access,
  basename,
  dirname,
  join,
  mkdir,
  open,
  randomBytes,
  readdir,
  realpath,
  rename,
  resolve,
  rm,
  stat,
} from "../tensor/node.ts";

/** What a file is made of, in order. Strings are written as UTF-8. */
export type Chunks = Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>;

/** One file of a folder that is written as a whole. */
export interface FolderFile {
  /** A plain name, no path. */
  readonly name: string;
  readonly chunks: Chunks;
}

/** Most bytes handed to the system in one call: some take no more than 2 GiB. */
const SLICE = 1 << 26;

/**
 * Writes a file so that its path holds either the old content or the whole new one at every instant, power cuts included:
 * a temporary file beside it, fsync, rename, fsync of the folder. On any failure the temporary is removed and the old file
 * is as it was. Symbolic links are followed; a device or a pipe (/dev/stdout) is written directly, since a rename would
 * replace it.
 *
 * Errors: DeviceError where the system refuses (full disk, quota, rights), naming the path and the bytes written; whatever
 * `chunks` throws passes through unchanged.
 */
export async function writeAtomic(path: string, chunks: Chunks): Promise<void> {
  const target = await follow(path);
  const there = await stat(target).catch(() => undefined);
  if (there?.isDirectory())
    throw new FormatError(`${path}: got a folder, expected a file to write; name a file inside it`);
  if (there && !there.isFile()) return writeFile(path, target, "w", chunks, "direct");
  const temporary = await temporaryFor(target);
  try {
    await writeFile(path, temporary, "wx", chunks, "synced");
    await guard(path, 0, () => rename(temporary, target));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await guard(path, 0, () => syncFolder(dirname(target)));
}

/**
 * Writes a folder of several files that appears at once. No portable call swaps two folders, so the swap is three renames
 * between sibling names, every state between which `recoverFolder` can finish:
 *
 *   .NAME.*.tmp       being written                      -> rubbish, NAME is whole
 *   .NAME.next        whole and synced, not yet in place -> NAME is whole (old), or missing and `next` takes its place
 *   .NAME.previous    the old one, moved away            -> rubbish once NAME is there again
 *
 * An existing folder is replaced only where everything in it is about to be rewritten or accepted by `replaces`, so that a
 * mistyped path never removes somebody's files.
 *
 * Errors: DeviceError as `writeAtomic`; FormatError for a name with a path in it, twice the same name, or foreign files.
 */
export async function writeFolder(
  path: string,
  files: readonly FolderFile[],
  replaces: (name: string) => boolean = () => false,
): Promise<void> {
  const target = await follow(path);
  const names = new Set(files.map((file) => file.name));
  if (names.size !== files.length)
    throw new FormatError(`${path}: got the same file name twice, expected each name once`);
  for (const name of names)
    if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name))
      throw new FormatError(`${path}: got the file name ${JSON.stringify(name)}, expected a plain name without a path`);

  await recoverFolder(target);
  await guard(path, 0, () => mkdir(dirname(target), { recursive: true }));
  const foreign = (await entriesOf(path, target)).filter((name) => !names.has(name) && !replaces(name));
  if (foreign.length)
    throw new FormatError(
      `${path}: got a folder that also holds ${foreign.slice(0, 3).join(", ")}, which saving would remove; choose a new or empty folder`,
    );

  const { next, previous } = siblings(target);
  const partial = await temporaryFor(target);
  try {
    await guard(path, 0, () => mkdir(partial));
    for (const { name, chunks } of files)
      await writeFile(join(path, name), join(partial, name), "wx", chunks, "synced");
    await guard(path, 0, () => syncFolder(partial));
    await guard(path, 0, () => rm(next, { recursive: true, force: true }));
    await guard(path, 0, () => rename(partial, next));
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  try {
    if (await exists(target)) await guard(path, 0, () => rename(target, previous));
    await guard(path, 0, () => moveUnlessDone(next, target));
  } catch (error) {
    await rm(next, { recursive: true, force: true }).catch(() => {});
    await recoverFolder(target).catch(() => {});
    throw error;
  }
  await guard(path, 0, () => syncFolder(dirname(target)));
  await rm(previous, { recursive: true, force: true }).catch(() => {});
}

/**
 * Finishes a folder swap that a crash interrupted; call it before reading a folder that `writeFolder` wrote. Does nothing
 * where the folder is there, and nothing where neither it nor a whole sibling is.
 */
export async function recoverFolder(path: string): Promise<void> {
  const { next, previous } = siblings(resolve(path));
  if (await exists(path)) return guard(path, 0, () => rm(previous, { recursive: true, force: true }));
  for (const whole of [next, previous]) {
    if (!(await exists(whole))) continue;
    await guard(path, 0, () => moveUnlessDone(whole, resolve(path)));
    await guard(path, 0, () => rm(previous, { recursive: true, force: true }));
    return;
  }
}

/** Makes a folder and those that it is in, where they are not there. Errors: DeviceError where the system refuses. */
export async function makeFolder(path: string): Promise<void> {
  await guard(path, 0, () => mkdir(path, { recursive: true }));
}

const STALE_MS = 3_600_000;

/** A free name beside `target`. What killed processes left behind there, an hour old or more, is removed. */
async function temporaryFor(target: string): Promise<string> {
  const [folder, stem] = [dirname(target), `.${basename(target)}.`];
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(stem) || !/^[0-9a-f]{12}\.tmp$/.test(name.slice(stem.length))) continue;
    const { mtimeMs } = await stat(join(folder, name)).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }));
    if (Date.now() - mtimeMs > STALE_MS) await rm(join(folder, name), { recursive: true, force: true }).catch(() => {});
  }
  return join(folder, `${stem}${randomBytes(6).toString("hex")}.tmp`);
}

function siblings(target: string): { next: string; previous: string } {
  const stem = join(dirname(target), `.${basename(target)}`);
  return { next: `${stem}.next`, previous: `${stem}.previous` };
}

/** A reader's recovery may have made the move first: then the source is gone and the target is there. */
async function moveUnlessDone(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(codeOf(error) === "ENOENT" && (await exists(to)))) throw error;
  }
}

async function writeFile(
  subject: string,
  path: string,
  flags: "w" | "wx",
  chunks: Chunks,
  mode: "synced" | "direct",
): Promise<void> {
  let written = 0;
  let file: FileHandle | undefined;
  try {
    const handle = await guard(subject, 0, () => open(path, flags));
    file = handle;
    for await (const chunk of chunks) {
      const bytes = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
      for (let at = 0; at < bytes.length; ) {
        const slice = bytes.subarray(at, at + SLICE);
        const { bytesWritten } = await guard(subject, written, () => handle.write(slice, 0, slice.length));
        at += bytesWritten;
        written += bytesWritten;
      }
    }
    // A quota or a network disk may refuse only here.
    if (mode === "synced") await guard(subject, written, () => handle.sync());
    file = undefined;
    await guard(subject, written, () => handle.close());
  } finally {
    await file?.close().catch(() => {});
  }
}

const remedies: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space or choose another folder",
  EDQUOT: "the disk quota is used up: free some space or choose another folder",
  EFBIG:
    "the file is larger than this disk or this process may write: raise the limit (ulimit -f) or choose another folder",
  EROFS: "the disk is read-only: choose another folder",
  EACCES: "no right to write there: choose another folder",
  EPERM: "no right to write there: choose another folder",
  ENOENT: "the folder does not exist: create it first",
  EEXIST: "a file of that name is there: choose another folder",
  ENOTDIR: "a part of the path is a file: choose another folder",
  ENAMETOOLONG: "the name is too long: choose a shorter one",
};

/** Runs a system call; a refusal becomes a DeviceError that names the path and the remedy. */
async function guard<T>(subject: string, written: number, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    const code = codeOf(error);
    if (!code) throw error;
    const remedy = remedies[code] ?? "check the disk";
    throw new DeviceError(
      `${subject}: got ${code} after ${written} bytes, expected to write it; ${remedy}. What was there before is unchanged`,
      { cause: error },
    );
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && "syscall" in error ? String(error.code) : undefined;
}

/** Makes a rename durable. Systems that cannot sync a folder (Windows) order renames themselves. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The path behind symbolic links, or the absolute path where nothing is there yet. */
export async function follow(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function entriesOf(subject: string, path: string): Promise<string[]> {
  const there = await stat(path).catch(() => undefined);
  if (!there) return [];
  if (!there.isDirectory()) throw new FormatError(`${subject}: got a file, expected a folder; choose another path`);
  return guard(subject, 0, () => readdir(path));
}
