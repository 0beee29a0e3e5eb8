/**
 * Node's own modules, where there is Node. A page loads the files that use them too, for what they hold beside their ways to a
 * disk: there these names are undefined, and what calls them is never called.
 */
import type * as NodeCrypto from "node:crypto";
import type * as NodeDescriptors from "node:fs";
import type * as NodeFiles from "node:fs/promises";
import type * as NodeSystem from "node:os";
import type * as NodePath from "node:path";
import type * as NodeThreads from "node:worker_threads";

const builtin = (name: string): unknown => globalThis.process?.getBuiltinModule?.(name) ?? {};

export const { createHash, randomBytes } = builtin("node:crypto") as typeof NodeCrypto;
export const { closeSync, constants, fstatSync, openSync, read } = builtin("node:fs") as typeof NodeDescriptors;
export const { access, mkdir, open, readdir, readFile, realpath, rename, rm, stat } = builtin(
  "node:fs/promises",
) as typeof NodeFiles;
export const { cpus, homedir, tmpdir } = builtin("node:os") as typeof NodeSystem;
export const { basename, dirname, join, relative, resolve } = builtin("node:path") as typeof NodePath;
export const { Worker, parentPort } = builtin("node:worker_threads") as Partial<typeof NodeThreads>;
