import fc from "fast-check";
import { share } from "../extent.ts";

/** What breaks a law, in words; undefined where it holds. */
export type Violation = string | undefined;

/** Where every run of the laws starts; fast-check prints it, and the path to the smallest case, when one breaks. */
export const seed = 10907;

/** Asserts a law over `runs` cases, or the first of them; a broken one is shrunk to the smallest that breaks. */
export function holds<T>(
  from: fc.Arbitrary<T>,
  law: (drawn: T) => Violation | Promise<Violation>,
  runs = 200,
): Promise<void> {
  return fc.assert(
    fc.asyncProperty(from, async (drawn) => {
      const violation = await law(drawn);
      if (violation) throw new Error(violation);
    }),
    { seed, numRuns: share(runs) },
  );
}

/** Largest difference of two lists of numbers, and the largest magnitude in the first. NaN anywhere gives Infinity. */
export function compare(expected: ArrayLike<number>, got: ArrayLike<number>): { error: number; size: number } {
  let error = expected.length === got.length ? 0 : Number.POSITIVE_INFINITY;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(expected[i]! - got[i]!);
    error = Math.max(error, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return { error, size };
}

/** A violation where two lists differ by more than `tolerance` times the first's size plus `bound`. */
export function differ(
  what: string,
  expected: ArrayLike<number>,
  got: ArrayLike<number>,
  tolerance: number,
  bound = 0,
): Violation {
  const { error, size } = compare(expected, got);
  const limit = tolerance * size + bound;
  return error <= limit ? undefined : `${what}: differ by ${error}, expected at most ${limit} at size ${size}`;
}

/** A violation where two lists are not the same numbers bit for bit. */
export function unequal(what: string, expected: ArrayLike<number>, got: ArrayLike<number>): Violation {
  if (expected.length !== got.length) return `${what}: got ${got.length} numbers, expected ${expected.length}`;
  for (let i = 0; i < expected.length; i++)
    if (!Object.is(expected[i], got[i])) return `${what}: number ${i} got ${got[i]}, expected exactly ${expected[i]}`;
  return undefined;
}
