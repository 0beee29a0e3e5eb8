import fc from "fast-check";
import type { Sizes, Variant } from "../../src/attention/define.ts";
import { checkSizes } from "../../src/attention/layer.ts";
import { ShapeError } from "../../src/tensor/error.ts";

/** A piece of a sequence and which of the variant's forms runs it, counted around. */
export interface Chunk {
  readonly tokens: number;
  readonly form: number;
}

/** All that a law draws: sizes, rotation, window, sequences, how one is cut, and the seed of every number. */
export interface Case {
  readonly sizes: Sizes;
  readonly layout: "interleaved" | "half";
  readonly base: number;
  /** 0: none. */
  readonly window: number;
  readonly batch: number;
  readonly chunks: readonly Chunk[];
  readonly seed: number;
}

/** Tokens of one sequence. */
export const tokensOf = ({ chunks }: Case): number => chunks.reduce((sum, { tokens }) => sum + tokens, 0);

/** Whether a variant takes these sizes, by its own rules. Where a refusal comes from is not noted, which would take longer than all. */
export function fits(variant: Variant, z: Sizes): boolean {
  const { stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 0;
    checkSizes(variant, z);
    return true;
  } catch (error) {
    if (error instanceof ShapeError) return false;
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/**
 * Sizes that a variant takes, found without knowing it: letters are drawn, and kept where its rules hold. Rules tie letters
 * together in few ways, so drawing ties often (g a divisor of h, r even, v = e or v = n) makes most draws hold.
 */
export function sizes(variant: Variant): fc.Arbitrary<Sizes> {
  return (
    fc
      .record({
        d: fc.constantFrom(1, 2, 3, 5, 7, 8, 13),
        h: fc.constantFrom(1, 2, 3, 4, 5, 6, 7),
        divisor: fc.nat(3),
        n: fc.nat(7),
        half: fc.nat(3),
        value: fc.constantFrom("key", "shared", "own"),
        own: fc.constantFrom(1, 2, 3, 5, 7, 8),
        c: fc.constantFrom(1, 2, 3, 5, 8, 11, 0),
        q: fc.constantFrom(0, 0, 1, 3, 7),
        o: fc.constantFrom(0, 0, 1, 4, 5),
        b: fc.constantFrom(0, 0, 0, 1, 2, 3),
        k: fc.constantFrom(1, 2, 3),
        l: fc.constantFrom(1, 2, 3),
        w: fc.constantFrom(2, 3, 4),
        i: fc.constantFrom(1, 2, 4, 6),
        j: fc.constantFrom(1, 2, 3),
        m: fc.constantFrom(1, 2, 3, 5, 40),
        bias: fc.constantFrom(undefined, undefined, "all", "inputs"),
        features: fc.subarray([...(variant.features ?? [])]),
      })
      .map(({ divisor, half, value, own, bias, features, ...letters }): Sizes => {
        const { h, n } = letters;
        const r = 2 * half;
        const divisors = [h, 1, 2, 3].filter((g) => h % g === 0);
        const v = { key: n + r, shared: n, own }[value];
        return {
          ...letters,
          g: divisors[divisor % divisors.length]!,
          r,
          e: n + r,
          v,
          ...(bias ? { bias } : {}),
          ...(features.length ? { with: Object.fromEntries(features.map((f) => [f, true])) } : {}),
        };
      })
      // The widest row a form makes of a token is bounded too, for the sake of the time that 200 cases take.
      .filter((z) => z.g * (z.e + z.v) <= 40 && fits(variant, z))
  );
}

/** How long and how cut sequences are: `long` puts many cached tokens before few new ones too. */
function chunks(most: number): fc.Arbitrary<Chunk[]> {
  const form = fc.nat(2);
  const small = fc.array(fc.record({ tokens: fc.integer({ min: 1, max: 3 }), form }), { minLength: 1, maxLength: 4 });
  const far = fc.tuple(fc.integer({ min: 4, max: most }), form, form).map(([tokens, a, b]) => [
    { tokens, form: a },
    { tokens: 1, form: b },
  ]);
  return most > 4 ? fc.oneof(small, far) : small;
}

/** Cases of a variant whose sequences have up to `most` tokens before the last. */
export function cases(variant: Variant, most = 19): fc.Arbitrary<Case> {
  return fc.record({
    sizes: sizes(variant),
    layout: fc.constantFrom("interleaved", "half"),
    base: fc.constantFrom(10000, 2, 500000),
    window: variant.window === false ? fc.constant(0) : fc.constantFrom(0, 0, 1, 2, 3, 7),
    batch: fc.constantFrom(1, 2, 3),
    chunks: chunks(most),
    seed: fc.nat(2 ** 31 - 1),
  });
}
