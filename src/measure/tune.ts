import { type Cache, declaredBytes } from "../attention/cache.ts";
import type { Parts } from "../attention/define.ts";
import { type Attention, runAttention } from "../attention/layer.ts";
import { parseSpec } from "../attention/spec.ts";
import { expandedCache } from "../attention/unfold.ts";
import { fillSteps, type Machine, type Rate, type Work, workSeconds } from "../cost/crossover.ts";
import { opsOf } from "../cost/work.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { FEW, FUSED_ROWS, PLAIN_COLUMNS, PLAIN_ROWS, WIDE_COLUMNS } from "../ops/einsum/size.ts";
import { positionsOf } from "../ops/rope/index.ts";
import type { CacheType } from "../tensor/page.ts";
import { type Device, Scope, scope, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { batchTimes, type Clock, timesAfter, typicalTime, wall } from "./clock.ts";
import { fillCache, noise, noiseParams, rotate } from "./noise.ts";
import { regress } from "./regression.ts";

/** How long to measure, by which clock, and who watches. */
export interface TuneOptions {
  /** Seconds of measuring in all; 9 unless given. */
  readonly seconds?: number;
  /** The wall's unless given. */
  readonly clock?: Clock;
  /**
   * Rounds in which every kernel has its turn, so that whoever disturbs one leaves others alone; 5 unless given, and fewer where these
   * would take several times as long as they should, as on a processor that stands in for a GPU.
   */
  readonly rounds?: number;
  /** The part of the usual contexts and operands that is measured: 1 unless given. A quarter takes 0.4 GB of memory rather than 1.4. */
  readonly share?: number;
  readonly watch?: (done: number, total: number, what: string) => void;
  readonly signal?: AbortSignal;
}

/** Times as long as was asked for, after which no round begins. */
const LATE = 3;

/** One kernel at one size. */
interface Sample {
  readonly kernel: "few rows" | "many rows" | "few queries" | "many queries" | "a shared key" | "narrow keys" | "ops";
  readonly work: Work;
  /** Lays its operands elsewhere at every turn. */
  run(turn: number): void;
  /** Before each run, and not measured. */
  readonly before?: () => void;
}

/** Floats that operands rotate in: more than caches hold, of the whole and of a quarter alike. */
const ARENA = 40 * 2 ** 20;

/** What is measured over how much: a part of the usual, floats that operands rotate in, and caches that are to be freed. */
interface Extent {
  readonly share: number;
  readonly arena: number;
  readonly caches: Cache[];
}

/** A layer too small to take time but by its ops. */
const narrow = parseSpec("MLA:n16:r8:v16:c32", { width: 64, heads: 4 });

/** How many rows the kernels of a build take at a time; those of a GPU choose their tiles by the rows that there are. */
function grainOf(build: string | undefined) {
  if (build !== "simd" && build !== "relaxed" && build !== "wide") return { few: FEW, panel: 0, tile: 0 };
  return {
    few: FEW,
    panel: build === "wide" ? WIDE_COLUMNS : PLAIN_COLUMNS,
    tile: build === "simd" ? PLAIN_ROWS : FUSED_ROWS,
  };
}
type Grain = ReturnType<typeof grainOf>;

/**
 * Measures a device in shapes like those of attention layers, and unlike those of the models that its predictions are checked on:
 * each kernel at several sizes, operands from memory, and the rates that explain these times best.
 */
export async function tune(device: Device, options: TuneOptions = {}): Promise<Machine> {
  const { seconds = 9, rounds = 5, share = 1, clock = wall, watch, signal } = options;
  const grain = grainOf(device.build);
  const caches: Cache[] = [];
  // Room for the largest matrix, however small the share.
  const extent = { share, arena: Math.max(4 * 2 ** 20, Math.ceil(share * ARENA)), caches };
  const own = new Scope(device);
  try {
    const samples = own.run(() => {
      const arena = noise(device, [extent.arena]);
      return [
        ...contractions(arena, grain),
        ...attentions(device, extent, grain),
        narrowKeys(device, extent),
        ops(device, arena, extent),
      ];
    });
    const times = samples.map((): number[] => []);
    const total = rounds * samples.length;
    const late = wall() + LATE * seconds;
    for (let turn = 0; turn < total; turn++) {
      const i = turn % samples.length;
      if (i === 0 && turn > 0 && wall() > late) break;
      const { kernel, before, run } = samples[i]!;
      watch?.(turn, total, kernel);
      signal?.throwIfAborted();
      let at = turn;
      const once = { run: () => scope(device, () => void run(at++)), fence: () => device.fence() };
      const time = seconds / total;
      times[i]!.push(...(await (before ? timesAfter(before, once, time) : batchTimes(once, time, clock))));
    }
    const least = times.map(typicalTime);
    watch?.(total, total, "");
    return machineOf(samples, least, grain);
  } finally {
    own.end();
    for (const cache of caches) cache.free();
  }
}

/** The machine whose rates explain the samples' times. */
function machineOf(samples: readonly Sample[], least: readonly number[], grain: Grain): Machine {
  const of = (kernel: Sample["kernel"]) =>
    samples.flatMap(({ kernel: own, work }, i) => (own === kernel ? [{ work, seconds: least[i]! }] : []));
  const rate = (kernel: Sample["kernel"]) => rateOf(of(kernel));
  const few = rate("few queries");
  const [kept] = of("narrow keys");
  const widening = kept!.seconds - workSeconds({}, few, kept!.work);
  const [start] = of("ops");
  return {
    contract: { few: rate("few rows"), many: rate("many rows") },
    attend: { few, many: rate("many queries"), shared: rate("a shared key") },
    ...grain,
    widen: widening > 0 ? kept!.work.bytes / 2 / widening : undefined,
    op: start!.seconds / start!.work.flops,
  };
}

/** The rates that explain times best; where noise leaves less than a hundredth of a time to one of them, that hundredth. */
export function rateOf(samples: readonly { readonly work: Work; readonly seconds: number }[]): Rate {
  const features = samples.map(({ work: { bytes, flops, rows = 0 } }) => [bytes, flops, rows]);
  const x = regress(
    features,
    samples.map(({ seconds }) => seconds),
  );
  const least = (j: number) => Math.min(...samples.map(({ seconds }, i) => seconds / features[i]![j]! / 100));
  const [bytes, flops] = [0, 1].map((j) => 1 / Math.max(x[j]!, least(j)));
  return { bytes: bytes!, flops: flops!, rows: x[2]! > 0 ? 1 / x[2]! : undefined };
}

/** Matrices that meet few rows, and many; and one per head, as latents are absorbed by. */
function contractions(arena: Tensor, { few, tile }: Grain): Sample[] {
  const { device } = arena;
  const sample = (x: Tensor, shape: readonly number[], spec: string): Sample => {
    const weights = rotate(arena, [shape]);
    const [t, numbers] = [x.shape[0]!, sizeOf(shape)];
    return {
      kernel: t <= few ? "few rows" : "many rows",
      work: { bytes: 4 * numbers, flops: 2 * numbers * fillSteps(t, few, tile) },
      run: (turn) => void einsum(spec, x, weights(turn)[0]!),
    };
  };
  const plain = [
    { t: 1, k: 1536, n: 2304 },
    { t: 1, k: 3072, n: 768 },
    { t: 3, k: 1536, n: 2304 },
    { t: 12, k: 1536, n: 2304 },
    { t: 48, k: 1792, n: 1536 },
    { t: 192, k: 1536, n: 1280 },
    { t: 1024, k: 384, n: 1792 },
  ].map(({ t, k, n }) => sample(noise(device, [t, k]), [k, n], "t k, k n -> t n"));
  return [...plain, sample(noise(device, [48, 24, 112]), [384, 24, 112], "t h n, c h n -> t h c")];
}

/** Few and many queries over keys of each head, and over one that all heads share; on pages, as sessions have them. */
function attentions(device: Device, extent: Extent, { few, panel }: Grain): Sample[] {
  const context = (s: number) => Math.ceil(extent.share * s);
  const view = { scale: 0.1 };
  const pairs = (t: number, s: number) => t * (s - t) + (t * (t + 1)) / 2;
  const own = [
    { t: 1, s: 4096, h: 24, n: 112, r: 32, v: 112 },
    { t: 1, s: 6144, h: 32, n: 56, r: 24, v: 56 },
    { t: 1, s: 1024, h: 18, n: 160, r: 64, v: 224 },
    { t: 3, s: 1536, h: 24, n: 112, r: 32, v: 112 },
    { t: 8, s: 3072, h: 24, n: 112, r: 32, v: 112 },
    { t: 8, s: 8192, h: 32, n: 56, r: 24, v: 56 },
    { t: 24, s: 4096, h: 18, n: 160, r: 64, v: 224 },
    { t: 192, s: 768, h: 24, n: 112, r: 32, v: 112 },
  ].map(({ t, s: whole, h, n, r, v }): Sample => {
    const s = Math.max(t, context(whole));
    const [qn, qr] = [noise(device, [t, h, n]), noise(device, [t, h, r])];
    const kept = rotateCaches(device, keepWhole(`MLA:n${n}:r${r}:v${v}:c32`, h), s, "f32", extent);
    const flops = (2 * h * (n + r + v) * pairs(t, s) * fillSteps(t, few, panel)) / t;
    return {
      kernel: t <= few ? "few queries" : "many queries",
      work: { bytes: 4 * s * (h * (n + v) + r), flops, rows: h * s },
      run(turn) {
        const { kn, kr, v } = kept(turn);
        attend(v!, view, [qn, kn!], [qr, kr!]);
      },
    };
  });
  const shared = [
    { t: 1, s: 2048, h: 24, c: 384, r: 48 },
    { t: 1, s: 2048, h: 32, c: 224, r: 32 },
    { t: 6, s: 1536, h: 24, c: 448, r: 48 },
    { t: 40, s: 768, h: 32, c: 320, r: 32 },
  ].map(({ t, s: whole, h, c, r }): Sample => {
    const s = Math.max(t, context(whole));
    const [qc, qr] = [noise(device, [t, h, c]), noise(device, [t, h, r])];
    const latents = parseSpec(`MLA:n16:r${r}:v16:c${c}`, { width: 64, heads: h });
    const kept = rotateCaches(device, latents, s, "f32", extent);
    const flops = (2 * (2 * c + r) * pairs(t, s) * fillSteps(t * h, few, panel)) / t;
    return {
      kernel: "a shared key",
      work: { bytes: 4 * s * (c + r), flops },
      run(turn) {
        const { c: latent, kr } = kept(turn);
        attend(latent!, view, [qc, latent!], [qr, kr!]);
      },
    };
  });
  return [...own, ...shared];
}

/** MLA whose keys and values are kept per head. */
function keepWhole(spec: string, heads: number): Attention {
  const attention = parseSpec(spec, { width: 64, heads });
  return { ...attention, variant: expandedCache(attention.variant)! };
}

/** The rows of caches that take turns, so many that they come from memory. */
function rotateCaches(
  device: Device,
  attention: Attention,
  tokens: number,
  type: CacheType,
  { arena, caches }: Extent,
): (turn: number) => Parts {
  const bytes = declaredBytes(attention, tokens, type);
  const own = Array.from({ length: 1 + Math.ceil(arena / bytes) }, () => fillCache(device, attention, tokens, type));
  caches.push(...own);
  return (turn) => own[turn % own.length]!.rows;
}

/** One query over keys and values that are kept in 16 bits. */
function narrowKeys(device: Device, extent: Extent): Sample {
  const [s, h, n, r, v] = [1536, 24, 112, 32, 112];
  const [qn, qr] = [noise(device, [1, h, n]), noise(device, [1, h, r])];
  const kept = rotateCaches(device, keepWhole(`MLA:n${n}:r${r}:v${v}:c32`, h), s, "bf16", extent);
  return {
    kernel: "narrow keys",
    work: { bytes: 2 * s * (h * (n + v) + r), flops: 2 * h * (n + r + v) * s, rows: h * s },
    run(turn) {
      const { kn, kr, v } = kept(turn);
      attend(v!, { scale: 0.1 }, [qn, kn!], [qr, kr!]);
    },
  };
}

/** Layers too small to take time but by the ops that they consist of, after others have filled the processor's caches. */
function ops(device: Device, arena: Tensor, { caches }: Extent): Sample {
  const tokens = 128;
  const cache = fillCache(device, narrow, tokens, "f32");
  caches.push(cache);
  const p = noiseParams(device, narrow);
  const x = noise(device, [1, narrow.sizes.d]);
  const sweep = rotate(arena, [[1024, Math.floor(arena.size / 1024 / 4)]]);
  const one = noise(device, [1, 1024]);
  let turn = 0;
  return {
    kernel: "ops",
    work: { bytes: 0, flops: opsOf(narrow, "absorbed") },
    before: () => scope(device, () => void einsum("t k, k n -> t n", one, sweep(turn++)[0]!)),
    run() {
      runAttention(narrow, p, x, { positions: positionsOf(tokens, 1), form: "absorbed", cache });
      cache.rewind(tokens);
    },
  };
}
