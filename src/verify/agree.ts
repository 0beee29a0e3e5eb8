import { Cache } from "../attention/cache.ts";
import { cacheValues, formNames, type Parts, paramsOf, type Sizes, shapeOf } from "../attention/define.ts";
import { type Attention, runAttention } from "../attention/layer.ts";
import { parseSpec, type SpecOptions } from "../attention/spec.ts";
import { ReferenceDevice } from "../device/reference.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { ShapeError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import { type Device, scope, sizeOf, tensor } from "../tensor/tensor.ts";
import { fanIn } from "../train/initial.ts";

/** How far apart results lie that should be the same. */
export interface Difference {
  readonly absolute: number;
  /** Divided by the largest magnitude of any result. */
  readonly relative: number;
  /** The relative difference that rounding may explain. */
  readonly tolerance: number;
}

/** What one form needs per cached token: numbers kept, and numbers it makes of them anew whenever it runs. */
export interface FormCache {
  readonly form: string;
  readonly values: number;
  /** At float32. */
  readonly bytes: number;
  /** Measured: memory taken while one query runs, per cached token. */
  readonly unfoldedValues: number;
}

/** Whether the forms of an attention are one function. */
export interface Agreement {
  readonly spec: string;
  readonly sizes: Sizes;
  readonly tokens: number;
  readonly seed: number;
  /** What was compared: all forms, at once and step by step; or, of a single form, at once and step by step. */
  readonly compared: "forms" | "steps";
  readonly float64: Difference;
  /** Absent without a float32 device. */
  readonly float32?: Difference | undefined;
  readonly forms: readonly FormCache[];
  readonly passed: boolean;
}

/** What to run: random weights and hidden states of `tokens` tokens, from a seed; `width` and `heads` read a spec. */
export interface AgreeOptions extends Partial<SpecOptions> {
  readonly tokens: number;
  readonly seed: number;
  /** A float32 device to run on besides. */
  readonly device?: Device;
}

/**
 * Runs an attention, or the one a spec names (256 wide with 4 heads unless given), with random weights in each of its forms,
 * on all tokens at once and then half of them at once and the rest one by one over a cache, and gives the largest difference
 * between any two results. Throws ShapeError.
 */
export async function agree(
  subject: string | (Attention & { readonly spec?: string }),
  options: AgreeOptions,
): Promise<Agreement> {
  const attention = typeof subject === "string" ? parseSpec(subject, { width: 256, heads: 4, ...options }) : subject;
  const { variant, sizes, spec = variant.name } = attention;
  const { tokens, seed, device } = options;
  if (!Number.isSafeInteger(tokens) || tokens < 2)
    throw new ShapeError(`tokens: got ${tokens}, expected at least 2, so that there is a step to compare`);
  const numbers = drawNumbers(attention, options);
  const float64 = await spreadOf(attention, numbers, tokens, new ReferenceDevice());
  const float32 = device && (await spreadOf(attention, numbers, tokens, device));
  const values = cacheValues(variant, sizes);
  const names = formNames(variant, sizes);
  return {
    spec,
    sizes,
    tokens,
    seed,
    float64,
    float32,
    compared: names.length > 1 ? "forms" : "steps",
    forms: names.map((form) => ({
      form,
      values,
      bytes: 4 * values,
      unfoldedValues: measureUnfolded(attention, numbers, form),
    })),
    passed: [float64, float32].every((d) => !d || d.relative <= d.tolerance),
  };
}

/**
 * What rounding may add up to, relative to the largest result: each contraction of length k errs by at most k units (2^-24 in
 * float32, 2^-53 in float64) relative to the sum of its terms' magnitudes (Higham, "Accuracy and Stability", section 3.1), one
 * form folds the ups into others, so each length counts for both forms, and the softmax doubles what its scores bring in.
 */
export function roundingOf(z: Sizes, tokens: number, unit: number): number {
  return unit * 4 * (z.d + z.q + z.c + 2 * z.e + z.h * z.v + z.o + Math.max(1, z.g) * (z.e + z.v) + tokens);
}

/** Parameters of an attention and hidden states `[tokens, d]`. */
export interface Drawn {
  readonly params: readonly (readonly [name: string, shape: readonly number[], values: Float64Array])[];
  readonly x: Float64Array;
}

/** Matrices N(0, 1 / fan-in), gains near 1, small biases, and hidden states N(0, 1), all exact in float32. */
export function drawNumbers(
  { variant, sizes }: Pick<Attention, "variant" | "sizes">,
  { tokens, seed }: Pick<AgreeOptions, "tokens" | "seed">,
): Drawn {
  const random = new Random(seed);
  const normals = (n: number, deviation: number, mean = 0) =>
    random.normals(n, deviation).map((value) => Math.fround(value + mean));
  const params = paramsOf(variant, sizes).map(([name, axes]) => {
    const shape = shapeOf(axes, sizes);
    const size = sizeOf(shape);
    if (name.startsWith("g")) return [name, shape, normals(size, 0.2, 1)] as const;
    if (name.startsWith("b")) return [name, shape, normals(size, 0.2)] as const;
    return [name, shape, normals(size, fanIn(axes, shape) ** -0.5)] as const;
  });
  return { params, x: normals(tokens * sizes.d, 1) };
}

/** The parameters as tensors, which are the caller's to free. */
export function partsOn(device: Device, { params }: Pick<Drawn, "params">): Parts {
  return Object.fromEntries(params.map(([name, shape, values]) => [name, tensor(device, shape, values)]));
}

/**
 * How far an attention's forms lie apart on a device alone: random weights of a seed, `tokens` tokens at once and step by step. What
 * `agree` does on a device beside the reference, which takes long for large sizes. Throws DeviceError where they do not fit.
 */
export function differenceOn(
  device: Device,
  attention: Attention,
  options: Pick<AgreeOptions, "tokens" | "seed">,
): Promise<Difference> {
  return spreadOf(attention, drawNumbers(attention, options), options.tokens, device);
}

/** The largest difference between any two runs, over all forms and both ways of feeding the tokens. */
async function spreadOf(attention: Attention, numbers: Drawn, tokens: number, device: Device): Promise<Difference> {
  const { sizes } = attention;
  const { d } = sizes;
  const tolerance = device.elementBytes === 8 ? 1e-9 : roundingOf(sizes, tokens, 2 ** -24);
  const low = new Float64Array(tokens * d).fill(Number.POSITIVE_INFINITY);
  const high = new Float64Array(tokens * d).fill(Number.NEGATIVE_INFINITY);
  const half = tokens >> 1;
  const cuts = [[tokens], [half, ...Array.from({ length: tokens - half }, () => 1)]];
  for (const form of formNames(attention.variant, sizes))
    for (const chunks of cuts)
      (await outputs(attention, numbers, chunks, device, form)).forEach((value, i) => {
        // NaN spreads through Math.min and Math.max, and so to the difference.
        low[i] = Math.min(low[i]!, value);
        high[i] = Math.max(high[i]!, value);
      });
  let absolute = 0;
  let size = 0;
  for (let i = 0; i < low.length; i++) {
    absolute = Math.max(absolute, high[i]! - low[i]!);
    size = Math.max(size, Math.abs(low[i]!), Math.abs(high[i]!));
  }
  return { absolute, relative: size ? absolute / size : absolute, tolerance };
}

/** Outputs of all tokens, fed in chunks over a cache in one form. Nothing is left on the device. */
async function outputs(
  attention: Attention,
  numbers: Drawn,
  chunks: readonly number[],
  device: Device,
  form: string,
): Promise<number[]> {
  const { d } = attention.sizes;
  const made = scope(device, () => {
    const p = partsOn(device, numbers);
    const x = tensor(device, [numbers.x.length / d, d], numbers.x);
    const cache = new Cache(device, attention, numbers.x.length / d);
    try {
      return chunks.map((n) => {
        const [start, end] = [cache.length, cache.length + n];
        return runAttention(attention, p, x.rows(start, end), { positions: positionsOf(start, n), form, cache });
      });
    } finally {
      cache.free();
    }
  });
  const all: number[] = [];
  for (const out of made) {
    all.push(...(await out.read()));
    out.free();
  }
  return all;
}

/** Numbers a form allocates per cached token while one query runs: the slope of peak memory between two lengths. */
function measureUnfolded(attention: Attention, numbers: Drawn, form: string): number {
  const { d } = attention.sizes;
  const taken = (cached: number) => {
    const device = new ReferenceDevice();
    const p = partsOn(device, numbers);
    const cache = new Cache(device, attention, cached + 1);
    const feed = (n: number) => {
      const start = cache.length;
      const x = tensor(device, [n, d], new Float64Array(n * d).fill(1));
      const before = device.liveBytes;
      device.resetPeak();
      scope(device, () => runAttention(attention, p, x, { positions: positionsOf(start, n), form, cache }));
      return (device.peakBytes - before) / device.elementBytes;
    };
    feed(cached);
    return feed(1);
  };
  return (taken(24) - taken(8)) / 16;
}

/** A random geometry: a spec whose sizes are all set by their letters, and the model it is for. */
export interface RandomSpec {
  readonly spec: string;
  readonly width: number;
  readonly heads: number;
}

/** Draws a spec of any kind with awkward sizes. `parseSpec(spec, { width, heads })` reads it. */
export function randomSpec(random: Random): RandomSpec {
  const upTo = (n: number) => 1 + random.integer(n);
  const [width, heads] = [upTo(64), upTo(8)];
  const divisors = Array.from({ length: heads }, (_, i) => i + 1).filter((g) => heads % g === 0);
  const [g, n, r] = [random.pick(divisors), upTo(24), 2 * upTo(12)];
  const groups = `GQA${g}`;
  const low = random.pick(["", "", "-QLoRA", "-OLoRA", "-QOLoRA"] as const);
  const output = /-OL|QO/.test(low) ? `:o${upTo(24)}` : "";
  const ranks = `${/Q/.test(low) ? `:q${upTo(24)}` : ""}${output}`;
  // The output's rank alone, for variants whose queries have none of their own.
  const narrow = /-OL/.test(low) ? { low, output } : { low: "", output: "" };
  const latent = `${low}:n${n}:r${r}:v${upTo(24)}:c${upTo(32)}${ranks}`;
  const still = `:n${n}:r0`;
  const kinds: readonly (() => string)[] = [
    () => `MLA${latent}`,
    () => `${groups}${random.pick(["", "-QKNorm"])}${low}:n0:r${r}${ranks}`,
    () => `${groups}-PR${low}:n${n}:r${r}${ranks}`,
    () => `${groups}-S1${low}:n${n}:r${r}${ranks}`,
    () => `${groups}-S2${random.pick(["", "-Norm", "-Sink"])}${low}:n${n}:r${r}${ranks}`,
    () => `${groups}-S3${low}:n${n}:r${r}${ranks}`,
    () => `MFA-KR:n${n}:r${r}`,
    () =>
      `TPA${random.pick(["", "-FixedA", "-Norm"])}${narrow.low}:n${n}:r${r}:v${upTo(24)}:q${upTo(5)}:k${upTo(3)}:l${upTo(3)}${narrow.output}`,
    () => `GLA${g}${latent}`,
    () => `GQLA${g}${latent}`,
    () => `GTA${g}${low}:n${n}:r${r}${ranks}`,
    () => `${groups}-${random.pick(["FoX", "FoXPro"])}${narrow.low}${still}${narrow.output}`,
    () => `${groups}-SBA${random.pick(["", "-Current"])}${low}${still}${ranks}`,
    () => `MLA-${random.pick(["FoX", "SBA"])}${low}${still}:v${upTo(24)}:c${upTo(32)}${ranks}`,
    () => `MLA-DSA${upTo(12)}${latent}:i${r + upTo(8)}:j${upTo(4)}`,
    () =>
      `${random.pick(["KDA", "GDN", "DeltaNet"])}${narrow.low}:g${g}:n${n}:v${upTo(24)}:w${1 + upTo(4)}${narrow.output}`,
  ];
  return { spec: random.pick(kinds)(), width, heads };
}
