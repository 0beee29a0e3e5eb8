// Sets up a Node that is new enough for long-lived tensors and quick starts, and runs the command line in it.
import { existsSync, statSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const at = (path) => new URL(`../${path}`, import.meta.url);

// Each thread of V8's compilers has a heap of glibc's own, which keeps what they free, 4 MiB; and the middle one of three compilers,
// which a large model does not need, brings 1.5 MiB of Node's program. Both must be said before a process starts: so one that is to
// run a large model, by a file, starts anew in its own place.
const isLarge = (path) => {
  try {
    return statSync(path).size > 2 ** 26;
  } catch {
    return false;
  }
};
const [, , command, ...rest] = process.argv;
if (process.platform === "linux" && process.env.MALLOC_ARENA_MAX === undefined && /^(run|chat)$/.test(command)) {
  const said = { MALLOC_ARENA_MAX: "1", MALLOC_MMAP_THRESHOLD_: "131072", MALLOC_TRIM_THRESHOLD_: "131072" };
  const args = [process.execPath, "--no-maglev", ...process.execArgv, ...process.argv.slice(1)];
  if (rest.some(isLarge)) process.execve?.(process.execPath, args, { ...process.env, ...said });
}

// Modules as Node has read them once, their types stripped: reading them again takes a second and 40 MiB, here and in each
// thread, which finds the folder in its environment.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(at("node_modules/.cache/biform"));
enableCompileCache();

// V8 doubles the room for young objects, up to 32 MiB, where many live on, as a tokenizer's do, and keeps it for good.
setFlagsFromString("--semi-space-growth-factor=1");

// Each thread would have a copy of V8's own functions near its code, 2 MiB, and those of the device run compiled kernels alone.
setFlagsFromString("--no-short-builtin-calls");

// What reads large files asks for a collection, where there is one to ask for, before the weights come.
setFlagsFromString("--expose-gc");
globalThis.gc = runInNewContext("gc");

// A checkout runs its sources as they are; the published package has only what was built.
const source = at("src/cli/main.ts");
await import(existsSync(source) ? source.href : at("dist/cli/main.js").href);
