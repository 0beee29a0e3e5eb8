import { type Sizes, stateValues } from "../attention/define.ts";
import { parseSpec, type SpecOptions } from "../attention/spec.ts";
import { shownSpecs, type VariantRow, variantRow } from "../cost/catalogue.ts";
import { ShapeError } from "../tensor/error.ts";

/** What sizes are to meet, of one layer: each with its unit. */
export const targets = {
  cache: "numbers per token",
  parameters: "parameters",
  flops: "FLOPs per query-key pair in the first form",
  decode: "bytes moved by one decoded token",
} as const;

/** A quantity and what it may be at most. */
export interface Target {
  readonly of: keyof typeof targets;
  readonly value: number;
}

/** A variant at the sizes that come nearest to a target without passing it, or why there are none. */
export type Match =
  | (VariantRow & {
      /** The value reached, and its share of the target: 1 where it is met. */
      readonly value: number;
      readonly share: number;
    })
  | { readonly spec: string; readonly reason: string };

/** Reads "cache=512", "parameters=10e6", "flops=10240", "decode=2e6". Throws ShapeError. */
export function parseTarget(text: string): Target {
  const [, of = "", digits = ""] = /^\s*([a-z]+)\s*=\s*(\d+(?:\.\d+)?(?:e\d{1,2})?)\s*$/i.exec(text) ?? [];
  const value = Number(digits);
  if (!Object.hasOwn(targets, of) || !(value > 0 && value <= Number.MAX_SAFE_INTEGER))
    throw new ShapeError(
      `match: got "${text}", expected one of ${Object.keys(targets).join(", ")} with a number, as cache=512`,
    );
  return { of: of as Target["of"], value };
}

type Varied = "c" | "n" | "r";

/** The widest head, latent or rotary part that is tried. */
const WIDEST = 2 ** 16;

/**
 * For each kind of attention at a width and number of heads, the sizes that come nearest to the target from below. A cache, and what
 * decoding reads, follows the latent's rank where there is one; all else follows the heads' dims, values in proportion to keys.
 * Specs have their sizes behind colons and are read with dims as written.
 */
export function matchFamily(
  target: Target,
  { width, heads, context = 4096 }: { readonly width: number; readonly heads: number; readonly context?: number },
  specs: readonly string[] = shownSpecs,
): Match[] {
  const host: SpecOptions = { width, heads, dims: "exact" };
  return specs.map((spec): Match => {
    try {
      return nearest(spec, target, host, context);
    } catch (error) {
      if (error instanceof ShapeError) return { spec, reason: error.message };
      throw error;
    }
  });
}

function nearest(spec: string, target: Target, host: SpecOptions, context: number): Match {
  const { variant, sizes: base } = parseSpec(spec, host);
  const latent = variant.unfolded && base.c > 0 && (target.of === "cache" || target.of === "decode");
  // Rotary dims come in pairs.
  const [letter, step]: [Varied, number] = latent ? ["c", 1] : base.n ? ["n", 1] : ["r", 2];
  const specAt = (size: number) => `${spec}${lettersFor(base, letter, size)}`;
  const measureAt = (size: number) => measure(variantRow(specAt(size), host, context), target.of);
  const [least, most] = [measureAt(step), measureAt(WIDEST)];
  if (least === most) return { spec, reason: explainFixed(target.of, least, stateValues(variant, base)) };
  if (least > target.value)
    return { spec, reason: `${target.of} is ${least} at ${letter} = ${step}, and no size is smaller` };
  let [low, high] = [1, WIDEST / step];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (measureAt(middle * step) <= target.value) low = middle;
    else high = middle;
  }
  const row = variantRow(specAt(low * step), host, context);
  const value = measure(row, target.of);
  return { ...row, value, share: value / target.value };
}

/** The sizes of a spec in letters, one of them changed and the value dims with it. */
function lettersFor(base: Sizes, letter: Varied, size: number): string {
  const changed: Sizes = { ...base, [letter]: size };
  const { n, r, c, v } = changed;
  const value = base.v === base.e ? n + r : base.v === base.n ? n : Math.max(1, Math.round((v * n) / (base.n || 1)));
  const all = { n, r, v: letter === "c" ? v : value, c };
  return Object.entries(all)
    .map(([name, size]) => (size || base[name as "n"] ? `:${name}${size}` : ""))
    .join("");
}

function measure({ cacheValues, parameters, forms, decodeBytes }: VariantRow, of: Target["of"]): number {
  if (of === "flops") return forms[0]!.flopsPerPair + (forms[0]!.flopsPerSelected ?? 0);
  return { cache: cacheValues, parameters, decode: decodeBytes }[of];
}

function explainFixed(of: Target["of"], value: number, state: number): string {
  const why = state && !value ? `; it keeps a state of fixed size instead, ${state} numbers` : "";
  return `${of} is ${value} whatever its dims${why}`;
}
