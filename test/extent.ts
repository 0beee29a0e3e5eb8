/**
 * How much of what has no end the tests try: random cases, hurt files. `npm run test:long` sets BIFORM_LONG and gets all of it;
 * `npm test` a twentieth, from the same seeds, so that its cases are the first of those. In ten of the 200 cases of a law 263 of the 270
 * mutants of test/law/mutant.ts are caught, in 17 of them 268; each kind of mutant is caught for most variants in the first.
 */
export const long = process.env.BIFORM_LONG === "1";

/** So many of `all` cases; a failing one is found again under the same number. */
export function share(all: number): number {
  return long ? all : Math.ceil(all / 20);
}
