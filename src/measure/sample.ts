import { type Cache, declaredBytes } from "../attention/cache.ts";
import type { Parts } from "../attention/define.ts";
import { type Attention, runAttention } from "../attention/layer.ts";
import { parseSpec } from "../attention/spec.ts";
import { expandedCache } from "../attention/unfold.ts";
import { fillSteps, type Work } from "../cost/crossover.ts";
import { opsOf } from "../cost/work.ts";
import { attend } from "../ops/attend/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { FEW, FUSED_ROWS, PLAIN_COLUMNS, PLAIN_ROWS, WIDE_COLUMNS } from "../ops/einsum/size.ts";
import { positionsOf } from "../ops/rope/index.ts";
import type { CacheType } from "../tensor/page.ts";
import { type Device, scope, sizeOf, type Tensor } from "../tensor/tensor.ts";
import { fillCache, noise, noiseParams, rotate } from "./noise.ts";

// What is measured of a device: kernels at sizes like those of attention layers.

/** One kernel at one size. */
export interface Sample {
  readonly kernel: "few rows" | "many rows" | "few queries" | "many queries" | "a shared key" | "narrow keys" | "ops";
  readonly work: Work;
  /** Lays its operands elsewhere at every turn. */
  run(turn: number): void;
  /** Before each run, and not measured. */
  readonly before?: () => void;
}

/** Floats that operands rotate in: more than caches hold, of the whole and of a quarter alike. */
const ARENA = 40 * 2 ** 20;

/**
 * How much is measured: the part of the usual contexts, and of columns and heads; floats that operands rotate in; and caches that are to
 * be freed. Where `every` is false those samples are left out that want a shader of their own and that rates can be told without.
 */
export interface Extent {
  readonly share: number;
  readonly width: number;
  readonly every: boolean;
  readonly arena: number;
  readonly caches: Cache[];
}

/**
 * The extent for a share of the usual. Where a processor stands in for a GPU, which takes seconds for what a GPU does in milliseconds
 * and a third of a second to compile a shader, it is the least that rates can be told by.
 */
export function extentOf(share: number, software: boolean): Extent {
  const part = software ? Math.min(share, 1 / 16) : share;
  // Room for the largest matrix, however small the share.
  const arena = Math.max(4 * 2 ** 20, Math.ceil(part * ARENA));
  return { share: part, width: software ? 1 / 8 : 1, every: !software, arena, caches: [] };
}

/** A layer too small to take time but by its ops. */
const narrow = parseSpec("MLA:n16:r8:v16:c32", { width: 64, heads: 4 });

/** How many rows the kernels of a build take at a time; those of a GPU choose their tiles by the rows that there are. */
export function grainOf(build: string | undefined) {
  if (build !== "simd" && build !== "relaxed" && build !== "wide") return { few: FEW, panel: 0, tile: 0 };
  return {
    few: FEW,
    panel: build === "wide" ? WIDE_COLUMNS : PLAIN_COLUMNS,
    tile: build === "simd" ? PLAIN_ROWS : FUSED_ROWS,
  };
}
export type Grain = ReturnType<typeof grainOf>;

/** All that is measured. Operands lie in tensors of the scope, and in caches of the extent. */
export function samplesOf(device: Device, extent: Extent, grain: Grain): Sample[] {
  const arena = noise(device, [extent.arena]);
  return [
    ...contractions(arena, grain, extent),
    ...attentions(device, extent, grain),
    narrowKeys(device, extent),
    ops(device, arena, extent),
  ];
}

/** Whether a sample is measured: those that have a shader to their `own` only where all are. */
const wantedOf =
  ({ every }: Extent) =>
  ({ own }: { readonly own?: boolean }) =>
    every || !own;

/** Matrices that meet few rows, and many; and one per head, as latents are absorbed by. */
function contractions(arena: Tensor, { few, tile }: Grain, extent: Extent): Sample[] {
  const { device } = arena;
  const part = (n: number) => Math.ceil(extent.width * n);
  const wanted = wantedOf(extent);
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
    { t: 12, k: 1536, n: 2304, own: true },
    { t: 48, k: 1792, n: 1536 },
    { t: 192, k: 1536, n: 1280 },
    { t: 1024, k: 384, n: 1792 },
  ]
    .filter(wanted)
    .map(({ t, k, n }) => sample(noise(device, [t, k]), [k, part(n)], "t k, k n -> t n"));
  const h = part(24);
  if (!extent.every) return plain;
  return [...plain, sample(noise(device, [48, h, 112]), [384, h, 112], "t h n, c h n -> t h c")];
}

/** Few and many queries over keys of each head, and over one that all heads share; on pages, as sessions have them. */
function attentions(device: Device, extent: Extent, { few, panel }: Grain): Sample[] {
  const context = (s: number) => Math.ceil(extent.share * s);
  const wanted = wantedOf(extent);
  const headsOf = (h: number) => Math.ceil(extent.width * h);
  const view = { scale: 0.1 };
  const pairs = (t: number, s: number) => t * (s - t) + (t * (t + 1)) / 2;
  const own = [
    { t: 1, s: 4096, h: 24, n: 112, r: 32, v: 112 },
    { t: 1, s: 6144, h: 32, n: 56, r: 24, v: 56 },
    { t: 1, s: 1024, h: 18, n: 160, r: 64, v: 224, own: true },
    { t: 3, s: 1536, h: 24, n: 112, r: 32, v: 112 },
    { t: 8, s: 3072, h: 24, n: 112, r: 32, v: 112 },
    { t: 8, s: 8192, h: 32, n: 56, r: 24, v: 56, own: true },
    { t: 24, s: 4096, h: 18, n: 160, r: 64, v: 224, own: true },
    { t: 192, s: 768, h: 24, n: 112, r: 32, v: 112 },
  ]
    .filter(wanted)
    .map(({ t, s: whole, h: all, n, r, v }): Sample => {
      const [s, h] = [Math.max(t, context(whole)), headsOf(all)];
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
    { t: 1, s: 2048, h: 32, c: 224, r: 32, own: true },
    { t: 6, s: 1536, h: 24, c: 448, r: 48 },
    { t: 40, s: 768, h: 32, c: 320, r: 32, own: true },
  ]
    .filter(wanted)
    .map(({ t, s: whole, h: all, c, r }): Sample => {
      const [s, h] = [Math.max(t, context(whole)), headsOf(all)];
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
  const [s, h, n, r, v] = [1536, Math.ceil(extent.width * 24), 112, 32, 112];
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
