/**
 * How much of what has no end the tests try: random cases, hurt files. `npm run test:long` sets BIFORM_LONG and gets all of it;
 * `npm test` a twelfth, from the same seeds, so that its cases are the first of those.
 */
export const long = process.env.BIFORM_LONG === "1";

/** So many of `all` cases; a failing one is found again under the same number. */
export function share(all: number): number {
  return long ? all : Math.ceil(all / 12);
}
