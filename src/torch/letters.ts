/** Sizes that a definition is written down at, and the words for the numbers that come of them. */
import type { Sizes, Variant } from "../attention/define.ts";
import { checkSizes } from "../attention/layer.ts";
import { ShapeError } from "../tensor/error.ts";

/** New tokens and all tokens: few enough that short convolutions are one kernel, and more than a selection gathers for. */
export const NEW = 8;
export const ALL = 9;

/** A number for each letter, no two alike, g and b dividing h: what a kernel is given then has one meaning. */
const tables = [
  {
    d: 1009,
    h: 105,
    g: 3,
    n: 29,
    r: 22,
    c: 139,
    q: 149,
    o: 157,
    b: 5,
    k: 211,
    l: 223,
    w: 4,
    i: 227,
    j: 229,
    m: 7,
    v: 37,
  },
  {
    d: 1013,
    h: 231,
    g: 7,
    n: 31,
    r: 34,
    c: 163,
    q: 167,
    o: 173,
    b: 3,
    k: 239,
    l: 241,
    w: 5,
    i: 251,
    j: 257,
    m: 6,
    v: 41,
  },
] as const;
const [EPS, FLOOR] = [3e-7, -3];

/**
 * Sizes of the same kind as `z`, those it leaves out left out, whose letters all have numbers of their own; twice, with other numbers,
 * so that a word found for one by chance is not found for the other. Rules that tie letters together are kept. Throws ShapeError where
 * they do it in a way that is not known here.
 */
export function telling(variant: Variant, z: Sizes): readonly Sizes[] {
  return tables.map(({ v: own, ...table }) => {
    const letters = Object.fromEntries(Object.entries(table).map(([letter, n]) => [letter, z[letter as "d"] ? n : 0]));
    const e = letters.n! + letters.r!;
    let reason: unknown;
    for (const v of [own, e, letters.n!])
      try {
        const sizes = { ...letters, e, v, bias: z.bias, with: z.with, eps: EPS, floor: FLOOR } as unknown as Sizes;
        checkSizes(variant, sizes);
        return sizes;
      } catch (error) {
        if (!(error instanceof ShapeError)) throw error;
        reason = error;
      }
    throw reason;
  });
}

/** Words for numbers, given the sizes and the scale that stand behind them. */
export class Words {
  readonly #sizes: (readonly [word: string, n: number])[];
  readonly #scale: number;

  constructor(z: Sizes, scale: number) {
    this.#scale = scale;
    this.#sizes = [..."dhgenrvcqobklwijm"].flatMap((letter) => {
      const n = z[letter as "d"];
      return n ? [[`self.${letter}`, n] as const] : [];
    });
  }

  /** A whole number as a size, a quotient or a product of sizes, or itself. */
  whole(n: number): string {
    if (n < 3) return String(n);
    for (const [a, x] of this.#sizes) if (x === n) return a;
    for (const [a, x] of this.#sizes) for (const [b, y] of this.#sizes) if (x / y === n) return `${a} // ${b}`;
    for (const [a, x] of this.#sizes) for (const [b, y] of this.#sizes) if (x * y === n) return `${a} * ${b}`;
    for (const [a, x] of this.#sizes)
      for (const [b, y] of this.#sizes)
        for (const [c, w] of this.#sizes) if (x * (y + w) === n) return `${a} * (${b} + ${c})`;
    return String(n);
  }

  /** A factor as the scale, a reciprocal of a size, of its root or of that of two, or itself. */
  factor(n: number): string {
    if (n === this.#scale) return "self.scale";
    if (n === EPS) return "self.eps";
    if (n === FLOOR) return "self.floor";
    if (Number.isInteger(n)) return String(n);
    const is = (x: number) => Math.abs(n - x) <= 1e-12 * Math.abs(n);
    for (const [a, x] of this.#sizes) {
      if (is(this.#scale / x)) return `self.scale / ${a}`;
      if (is(1 / x)) return `1 / ${a}`;
      if (is(x ** -0.5)) return `${a} ** -0.5`;
    }
    for (const [a, x] of this.#sizes)
      for (const [b, y] of this.#sizes) if (is((x * y) ** -0.5)) return `(${a} * ${b}) ** -0.5`;
    return Math.abs(n) < 1e-3 ? n.toExponential() : String(n);
  }

  /** The letter of a size; m, for members, where none has it. */
  letter(n: number): string {
    return this.#sizes.find(([, x]) => x === n)?.[0].at(-1) ?? "m";
  }
}
