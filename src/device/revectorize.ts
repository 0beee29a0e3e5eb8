import { DeviceError } from "../tensor/error.ts";
import { readFile } from "../tensor/node.ts";
import { ARGUMENTS, SCRATCH, SCRATCH_BYTES } from "./layout.ts";

/** A build of the kernels: `simd` runs anywhere, `relaxed` needs relaxed SIMD, `wide` also V8's revectorisation. */
export type Build = keyof typeof import("./binary.ts").binaries;
const builds: readonly string[] = ["simd", "relaxed", "wide"] satisfies Build[];

interface Chosen {
  readonly build: Build;
  readonly module: WebAssembly.Module;
}

const compiled = new Map<Build, Promise<WebAssembly.Module>>();
let best: Promise<Chosen> | undefined;

/**
 * The build asked for, by argument or by BIFORM_WASM, else the fastest that computes rightly here; tried once per process.
 * Throws DeviceError where the build is unknown or this machine cannot run it.
 */
export async function chooseBuild(wanted?: Build): Promise<Chosen> {
  const name = wanted ?? globalThis.process?.env?.BIFORM_WASM;
  if (name) {
    if (!builds.includes(name))
      throw new DeviceError(`wasm build: got "${name}", expected one of ${builds.join(", ")}`);
    if (name === "wide") allowRevectorisation();
    return { build: name as Build, module: await compile(name as Build) };
  }
  best ??= fastest();
  return best;
}

/** V8's pass that joins two 128-bit operations into one of 256 bits; experimental, so nothing relies on its being there. */
function allowRevectorisation(): boolean {
  const v8 = globalThis.process?.getBuiltinModule?.("node:v8");
  v8?.setFlagsFromString("--experimental-wasm-revectorize");
  return v8 !== undefined;
}

async function fastest(): Promise<Chosen> {
  let relaxed: WebAssembly.Module;
  try {
    relaxed = await compile("relaxed");
  } catch {
    return { build: "simd", module: await compile("simd") };
  }
  const fallback: Chosen = { build: "relaxed", module: relaxed };
  if (!globalThis.process?.versions?.v8) return fallback;
  // First without the flag, since it would also change (and slow down) the code of this build.
  const probe = new Probe(relaxed);
  // A probe that computes nothing would be fast and choose at random.
  if (!probe.right()) throw new DeviceError("internal: the relaxed build does not multiply as its probe asks");
  const plain = probe.time();
  if (!allowRevectorisation()) return fallback;
  try {
    const module = await compile("wide");
    const wide = new Probe(module);
    if (wide.time() < 0.8 * plain && wide.right()) {
      // What lost goes, its code and its bytes.
      compiled.delete("relaxed");
      return { build: "wide", module };
    }
  } catch {
    // A V8 that cannot compile or run it: the plain build serves.
  }
  return fallback;
}

function compile(build: Build): Promise<WebAssembly.Module> {
  let module = compiled.get(build);
  if (!module) {
    module = codeOf(build).then(async (code) => {
      try {
        return await WebAssembly.compile(code);
      } catch (error) {
        throw new DeviceError(
          `wasm kernels: the ${build} build got "${(error as Error).message}", expected SIMD and threads; use a newer engine`,
        );
      }
    });
    compiled.set(build, module);
  }
  return module;
}

/**
 * A build's code. In Node it is cut out of the text of the module that has all of them: imported, that module stays in memory, as
 * text, as three long strings and as what Node keeps of it for the next start, 2.4 MiB.
 */
async function codeOf(build: Build): Promise<Uint8Array<ArrayBuffer>> {
  const file = (import.meta.url ?? "").replace(/revectorize\.(\w+)$/, "binary.$1");
  const module = readFile && (await readFile(new URL(file), "latin1").catch(() => undefined));
  const cut = module && new RegExp(`\\b${build}:\\s*"([^"]*)"`).exec(module)?.[1];
  const text = atob(cut ?? (await import("./binary.ts")).binaries[build]);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

type Kernel = (args: number, thread: number) => void;
type Sizes = readonly [m: number, n: number, k: number];

/** Where the operands of a probe lie: behind what the contraction itself uses of the first thread's scratch. */
const OPERANDS = SCRATCH + SCRATCH_BYTES / 2;

/** Milliseconds of its own that a probe takes, and that it takes at most where the optimising compiler is late. */
const [ENOUGH, PATIENCE] = [40, 200];

/** Milliseconds that this thread has run, where Node tells them (from 23.9 on); else those that went by. */
function ownTime(): number {
  const used = globalThis.process?.threadCpuUsage?.();
  return used ? (used.user + used.system) / 1000 : performance.now();
}

/** Tries the contraction of a build, on one thread, in a memory of its own. */
class Probe {
  readonly #run: Kernel;
  readonly #floats: Float32Array;
  readonly #args: Float64Array;

  constructor(module: WebAssembly.Module) {
    const pages = (SCRATCH + SCRATCH_BYTES) / 65536;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: true });
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    this.#run = exports.contract as Kernel;
    this.#floats = new Float32Array(memory.buffer);
    this.#args = new Float64Array(memory.buffer, ARGUMENTS);
  }

  /**
   * Shortest time of one product, in milliseconds, once the optimising compiler has had its turn: after 25 ms on a free machine. On a
   * busy one its thread waits as this one does, so that time is this thread's own; and products that did not become several times
   * shorter are waited for, lest the slower build is chosen for the whole process.
   */
  time(): number {
    const first = this.#shortest(4);
    let best = first;
    for (const start = ownTime(); ownTime() - start < (best < first / 3 ? ENOUGH : PATIENCE); )
      best = Math.min(best, this.#shortest(16));
    return best;
  }

  #shortest(count: number): number {
    let [best, now] = [Number.POSITIVE_INFINITY, performance.now()];
    for (let i = 0; i < count; i++) {
      this.#multiply([48, 64, 128], "set");
      const then = now;
      now = performance.now();
      best = Math.min(best, now - then);
    }
    return best;
  }

  /** Whether odd and even sizes, set and added to, agree with the definition. */
  right(): boolean {
    const sizes: Sizes[] = [
      [6, 16, 8],
      [13, 35, 17],
      [48, 64, 64],
      [31, 50, 300],
    ];
    return sizes.every((size) => this.#agrees(size, "set") && this.#agrees(size, "add"));
  }

  #multiply([m, n, k]: Sizes, mode: "set" | "add"): { a: number; b: number; c: number } {
    const a = OPERANDS / 4;
    const [b, c] = [a + m * k, a + m * k + k * n];
    const strides = [k, 1, n, 1, n, 1];
    const once = [1, 0, 0, 0];
    this.#args.set([c * 4, a * 4, b * 4, m, n, k, ...strides, ...once, ...once, mode === "add" ? 1 : 0, m, n]);
    this.#run(ARGUMENTS, 0);
    return { a, b, c };
  }

  #agrees(size: Sizes, mode: "set" | "add"): boolean {
    const [m, n, k] = size;
    const floats = this.#floats;
    const start = OPERANDS / 4;
    // Small whole numbers: every sum is exact, whatever its order.
    for (let i = 0; i < m * k + k * n + m * n; i++) floats[start + i] = ((i * 7919) % 31) - 15;
    const before = floats.slice(start + m * k + k * n, start + m * k + k * n + m * n);
    const { a, b, c } = this.#multiply(size, mode);
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = mode === "add" ? before[i * n + j]! : 0;
        for (let p = 0; p < k; p++) sum += floats[a + i * k + p]! * floats[b + p * n + j]!;
        if (floats[c + i * n + j] !== sum) return false;
      }
    return true;
  }
}
