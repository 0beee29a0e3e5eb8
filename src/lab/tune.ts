import type { Machine, Rate } from "../attention/crossover.ts";
import type { WasmDevice } from "../device/wasm.ts";
import { add } from "../ops/add/index.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { Random } from "../tensor/random.ts";
import { scope, Tensor } from "../tensor/tensor.ts";

/** How long to measure, how, and who watches. */
export interface TuneOptions {
  /** Of each of the nine measurements; a second unless given. */
  readonly seconds?: number;
  /** Seconds of a run, measured for about `seconds`; the least on the wall of many unless given. */
  readonly time?: (run: () => void, seconds: number) => Promise<number>;
  /** In so many turns, taken in rounds; 5 unless given. */
  readonly rounds?: number;
  readonly watch?: (done: number, total: number, what: string) => void;
  readonly signal?: AbortSignal;
}

/** One kernel at one size: how often it reads how many bytes and does how many FLOPs. */
interface Sample {
  readonly what: string;
  readonly bytes: number;
  readonly flops: number;
  run(): void;
}

const MIB = 2 ** 20;
/** DeepSeek-V2-Lite's heads: what latent attention of any size looks like to a kernel. */
const [h, n, r, v, c] = [16, 128, 64, 128, 512];
const scale = (n + r) ** -0.5;

/**
 * Measures a device in the shapes that decide about forms: each rate from two sizes of its kernel, one that mostly reads and one that
 * mostly computes, at the least time of many runs. Takes some ten seconds.
 */
export async function tune(device: WasmDevice, options: TuneOptions = {}): Promise<Machine> {
  const { seconds = 1, rounds = 5, time = leastOf, watch, signal } = options;
  const random = new Random(1);
  const made: Tensor[] = [];
  const pattern = Float32Array.from(random.normals(2 ** 16, 0.3));
  const filled = (...shape: number[]) => {
    const t = new Tensor(device, shape);
    made.push(t);
    for (let at = 0; at < t.size; at += pattern.length) {
      const to = Math.min(t.size, at + pattern.length);
      t.reshape([t.size])
        .rows(at, to)
        .write(pattern.subarray(0, to - at));
    }
    return t;
  };
  const contraction = (t: number, k: number, m: number): Sample => {
    const [x, w] = [filled(t, k), filled(k, m)];
    const flops = 2 * t * k * m;
    return { what: `contraction of ${t} rows`, bytes: 4 * k * m, flops, run: () => einsum("t k, k m -> t m", x, w) };
  };
  const expanded = (t: number, s: number): Sample => {
    const [qn, qr, kn, kr, values] = [
      filled(t, h, n),
      filled(t, h, r),
      filled(s, h, n),
      filled(s, r),
      filled(s, h, v),
    ] as const;
    return {
      what: `attention of ${t} rows`,
      bytes: 4 * s * (h * (n + v) + r),
      flops: 2 * h * (n + r + v) * (t * (s - t) + (t * (t + 1)) / 2),
      run: () => attend(values, { scale }, [qn, kn], [qr, kr]),
    };
  };
  const absorbed = (s: number): Sample => {
    const [qc, qr, latent, kr] = [filled(1, h, c), filled(1, h, r), filled(s, c), filled(s, r)] as const;
    const flops = 2 * h * (2 * c + r) * s;
    return {
      what: "attention over latents",
      bytes: 4 * s * (c + r),
      flops,
      run: () => attend(latent, { scale }, [qc, latent], [qr, kr]),
    };
  };
  const small = filled(1, 64);
  try {
    const samples = [
      // 64 MiB: more than any cache holds.
      contraction(1, 2048, (64 * MIB) / 4 / 2048),
      contraction(4, 2048, (64 * MIB) / 4 / 2048),
      contraction(16, c, h * (n + v)),
      contraction(1024, c, h * (n + v)),
      expanded(1, 2048),
      expanded(4, 2048),
      absorbed(8192),
      expanded(512, 1024),
      { what: "a small op", bytes: 0, flops: 0, run: () => add(small, small) },
    ] as const;
    const least = samples.map(() => Number.POSITIVE_INFINITY);
    const total = rounds * samples.length;
    // In rounds, so that whoever disturbs one turn of a kernel leaves another alone.
    for (let turn = 0; turn < total; turn++) {
      const sample = samples[turn % samples.length]!;
      watch?.(turn, total, sample.what);
      signal?.throwIfAborted();
      const taken = await time(() => {
        scope(device, () => {
          sample.run();
        });
      }, seconds / rounds);
      least[turn % samples.length] = Math.min(least[turn % samples.length]!, taken);
    }
    watch?.(total, total, "");
    const rate = (i: number) =>
      rateOf({ ...samples[i]!, least: least[i]! }, { ...samples[i + 1]!, least: least[i + 1]! });
    return {
      contract: { few: rate(0), many: rate(2) },
      attend: { few: rate(4), many: rate(6) },
      few: 4,
      panel: device.build === "wide" ? 16 : 8,
      op: least[8]!,
    };
  } finally {
    for (const t of made) t.free();
  }
}

interface Timed {
  readonly bytes: number;
  readonly flops: number;
  readonly least: number;
}

/** Least of the times of single runs. */
async function leastOf(run: () => void, seconds: number): Promise<number> {
  const once = () => {
    const start = performance.now();
    run();
    return (performance.now() - start) / 1000;
  };
  const end = performance.now() + 1000 * seconds;
  // The first runs compile.
  let least = Math.min(once(), once(), once());
  let turn = performance.now();
  while (performance.now() < end) {
    least = Math.min(least, once());
    if (performance.now() - turn < 50) continue;
    // Whoever draws progress or waits for Ctrl-C gets a turn.
    await new Promise((resolve) => setImmediate(resolve));
    turn = performance.now();
  }
  return least;
}

/** The two rates that explain two times; where noise leaves less than a twentieth of a time to one of them, that twentieth. */
export function rateOf(reading: Timed, computing: Timed): Rate {
  const determinant = reading.bytes * computing.flops - computing.bytes * reading.flops;
  const perByte = (reading.least * computing.flops - computing.least * reading.flops) / determinant;
  const perFlop = (computing.least * reading.bytes - reading.least * computing.bytes) / determinant;
  return {
    bytes: 1 / Math.max(perByte, reading.least / reading.bytes / 20),
    flops: 1 / Math.max(perFlop, computing.least / computing.flops / 20),
  };
}
