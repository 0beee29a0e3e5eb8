import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { blocks, dequantise, type Quant } from "../src/tensor/quant.ts";
import { isQuantised, type Quantised, quantise } from "../src/tensor/quantise.ts";
import { Random } from "../src/tensor/random.ts";

const types = (Object.keys(blocks) as Quant[]).filter(isQuantised);

/** A block format told once more, number by number: which bits of the block make which field of element `e`. */
interface Layout {
  /** Byte offsets of half-precision scale and minimum. */
  readonly d: number;
  readonly m?: number;
  /** Bits of the element's level, lowest first, as bit addresses (8 * byte + bit). */
  level(e: number): number[];
  /** Taken from the level. */
  readonly zero: number;
  /** Bits of the element's own scale and minimum, for formats with two levels of scales. */
  scale?(e: number): number[];
  minimum?(e: number): number[];
  readonly signed?: "level" | "scale";
}

const nibble = (byte: number, high: boolean) => Array.from({ length: 4 }, (_, b) => 8 * byte + b + (high ? 4 : 0));
/** Six bits of pair r in the 12 bytes of Q4_K: `part` 0 is the scale, 1 the minimum. */
const six = (r: number, part: 0 | 1) =>
  r < 4
    ? [0, 1, 2, 3, 4, 5].map((b) => 8 * (4 + r + 4 * part) + b)
    : [...nibble(4 + r + 4, part === 1), 8 * (4 + r - 4 + 4 * part) + 6, 8 * (4 + r - 4 + 4 * part) + 7];

const layouts: Readonly<Record<Quantised, Layout>> = {
  Q4_0: { d: 0, zero: 8, level: (e) => nibble(2 + (e % 16), e >= 16) },
  Q4_1: { d: 0, m: 2, zero: 0, level: (e) => nibble(4 + (e % 16), e >= 16) },
  Q5_0: { d: 0, zero: 16, level: (e) => [...nibble(6 + (e % 16), e >= 16), 8 * 2 + e] },
  Q5_1: { d: 0, m: 2, zero: 0, level: (e) => [...nibble(8 + (e % 16), e >= 16), 8 * 4 + e] },
  Q8_0: { d: 0, zero: 0, signed: "level", level: (e) => Array.from({ length: 8 }, (_, b) => 8 * (2 + e) + b) },
  Q4_K: {
    d: 0,
    m: 2,
    zero: 0,
    level: (e) => nibble(16 + 32 * Math.floor(e / 64) + (e % 32), e % 64 >= 32),
    scale: (e) => six(Math.floor(e / 32), 0),
    minimum: (e) => six(Math.floor(e / 32), 1),
  },
  Q5_K: {
    d: 0,
    m: 2,
    zero: 0,
    level: (e) => [
      ...nibble(48 + 32 * Math.floor(e / 64) + (e % 32), e % 64 >= 32),
      8 * (16 + (e % 32)) + Math.floor(e / 32),
    ],
    scale: (e) => six(Math.floor(e / 32), 0),
    minimum: (e) => six(Math.floor(e / 32), 1),
  },
  Q6_K: {
    d: 208,
    zero: 32,
    signed: "scale",
    level: (e) => {
      const [half, rest] = [Math.floor(e / 128), e % 128];
      const pair = 8 * (128 + 32 * half + (rest % 32)) + 2 * Math.floor(rest / 32);
      return [...nibble(64 * half + (rest % 64), rest >= 64), pair, pair + 1];
    },
    scale: (e) => Array.from({ length: 8 }, (_, b) => 8 * (192 + Math.floor(e / 16)) + b),
  },
};

function slowly(type: Quantised, block: Uint8Array, e: number): number {
  const layout = layouts[type];
  const half = (at: number) => {
    const bits = block[at]! + 256 * block[at + 1]!;
    const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
    return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
  };
  const field = (bits: number[], signed = false) => {
    const value = bits.reduce((sum, at, i) => sum + ((block[at >> 3]! >> (at & 7)) & 1) * 2 ** i, 0);
    return signed && value >= 2 ** (bits.length - 1) ? value - 2 ** bits.length : value;
  };
  const q = field(layout.level(e), layout.signed === "level") - layout.zero;
  const scale = layout.scale ? field(layout.scale(e), layout.signed === "scale") : 1;
  const least = layout.m === undefined ? 0 : half(layout.m) * (layout.minimum ? -field(layout.minimum(e)) : 1);
  return half(layout.d) * scale * q + least;
}

/** A block of random bits whose half-precision numbers are finite. */
function randomBlock(type: Quantised, random: Random): Uint8Array {
  const block = Uint8Array.from({ length: blocks[type].bytes }, () => Math.floor(random.uniform() * 256));
  const { d, m } = layouts[type];
  for (const at of m === undefined ? [d] : [d, m]) if ((block[at + 1]! & 0x7c) === 0x7c) block[at + 1]! ^= 0x40;
  return block;
}

const normal = (random: Random, length: number) => Float32Array.from({ length }, () => random.normal());

describe.each(types)("%s", (type) => {
  const { elements, bytes } = blocks[type];

  test("random blocks decode to what the layout says bit by bit, exactly", () => {
    const random = new Random(7);
    for (let i = 0; i < 50; i++) {
      const pair = [randomBlock(type, random), randomBlock(type, random)];
      const all = new Uint8Array(2 * bytes + 3);
      for (const [k, block] of pair.entries()) all.set(block, 3 + k * bytes);
      const exact = new Float64Array(2 * elements);
      const rounded = new Float32Array(2 * elements);
      // Not aligned: blocks have odd halves of words.
      dequantise(type, all.subarray(3), exact);
      dequantise(type, all.subarray(3), rounded);
      const slow = pair.flatMap((block) => Array.from({ length: elements }, (_, e) => slowly(type, block, e)));
      // Adding zero makes zeros alike: the sign of one is nobody's business.
      expect([...exact].map((x) => x + 0)).toEqual(slow.map((x) => x + 0));
      expect([...rounded].map((x) => x + 0)).toEqual(slow.map((x) => Math.fround(x) + 0));
    }
  });

  test("every field of the layout is used by one element, and every bit has a use", () => {
    const used = new Set<number>();
    for (let e = 0; e < elements; e++) for (const bit of layouts[type].level(e)) used.add(bit);
    const levelBits = elements * layouts[type].level(0).length;
    expect(used.size).toBe(levelBits);
    for (let e = 0; e < elements; e++)
      for (const bit of [...(layouts[type].scale?.(e) ?? []), ...(layouts[type].minimum?.(e) ?? [])]) used.add(bit);
    expect(used.size + 16 * (layouts[type].m === undefined ? 1 : 2)).toBe(8 * bytes);
  });

  test("an encoded number is off by at most the stated part of its block's range", () => {
    const random = new Random(3);
    for (const size of [0.05, 1, 300]) {
      const x = normal(random, 8 * elements).map((v, i) => v * size * (i % 64 < 32 ? 1 : 3) + (i & 128 ? size : 0));
      const y = new Float64Array(x.length);
      dequantise(type, quantise(type, x), y);
      for (let i = 0; i < x.length; i += elements) {
        const part = x.subarray(i, i + elements);
        const most = Math.max(...part.map(Math.abs));
        const error = Math.max(...part.map((v, j) => Math.abs(v - y[i + j]!)));
        expect(error / most).toBeLessThanOrEqual(bound[type]);
      }
    }
  });

  test("zeros stay zeros; what is constant is kept to the precision of its scale", () => {
    const y = new Float64Array(elements);
    dequantise(type, quantise(type, new Float32Array(elements)), y);
    expect(y.every((v) => v === 0)).toBe(true);
    dequantise(type, quantise(type, new Float32Array(elements).fill(-2.5)), y);
    for (const v of y) expect(Math.abs(v + 2.5)).toBeLessThan(2.5 * 2 ** -9);
  });

  test("the same numbers give the same bytes, whole blocks only", () => {
    const x = normal(new Random(1), 2 * elements);
    expect(quantise(type, x)).toEqual(quantise(type, [...x]));
    expect(quantise(type, x).length).toBe(2 * bytes);
    expect(() => quantise(type, x.subarray(1), "w")).toThrow(ShapeError);
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, 1e38, -1e300])
      expect(() => quantise(type, [...x.subarray(1), wrong], "w")).toThrow(
        /^w: element \d+: got .*, expected a number up to/,
      );
    expect(() => quantise(type, [...x.subarray(1), Number.NaN], "w")).toThrow(FormatError);
  });

  test("the largest number a block can hold stays finite", () => {
    const limit = Number(
      /up to (\d+)/.exec(
        (() => {
          try {
            quantise(type, new Float32Array(elements).fill(Number.NaN));
          } catch (error) {
            return String(error);
          }
          return "";
        })(),
      )?.[1],
    );
    const y = new Float64Array(elements);
    for (const sign of [1, -1]) {
      const x = new Float32Array(elements).fill((-sign * limit) / 2);
      x[0] = sign * limit;
      dequantise(type, quantise(type, x), y);
      expect(y.every(Number.isFinite)).toBe(true);
      expect(Math.abs(y[0]! - x[0]) / limit).toBeLessThan(0.2);
    }
  });
});

/** What rounding the scale to half precision adds, at the far end. */
const half = 2 ** -11;

/**
 * Largest error in parts of the block's largest number: half a level for formats that round to nearest over [-most, most] or,
 * where a minimum is kept, over at most twice that; a whole level where the range ends at +7 of 8 or +15 of 16; and for those
 * of 256 also half a step of the scales (of 63 or 128), times all levels they scale.
 */
const bound: Readonly<Record<Quantised, number>> = {
  Q8_0: 0.5 / 127 + half,
  Q4_0: 1 / 8 + half,
  Q4_1: 0.5 * (2 / 15) + 3 * half,
  Q5_0: 1 / 16 + half,
  Q5_1: 0.5 * (2 / 31) + 3 * half,
  Q4_K: 0.5 * (2 / 15) + 3 * (0.5 / 63) + 3 * half,
  Q5_K: 0.5 * (2 / 31) + 3 * (0.5 / 63) + 3 * half,
  Q6_K: 1 / 32 + 0.5 / 128 + half,
};

describe("blocks worked out by hand", () => {
  const numbers = (type: Quantised, block: number[]) => {
    const y = new Float64Array(blocks[type].elements);
    dequantise(type, Uint8Array.from(block), y);
    return [...y];
  };

  test("Q8_0: scale 0.5 (0x3800), levels 1, -2, 127, -128", () => {
    const block = [0x00, 0x38, 1, 0xfe, 127, 0x80, ...Array(28).fill(0)];
    expect(numbers("Q8_0", block).slice(0, 5)).toEqual([0.5, -1, 63.5, -64, 0]);
    const back = new Float32Array(32);
    back.set([63.5, -1, 0.25]);
    // 0.25 lies between the levels 0 and 1: away from zero.
    expect([...quantise("Q8_0", back)].slice(0, 6)).toEqual([0x00, 0x38, 127, 0xfe, 1, 0]);
  });

  test("Q4_0: scale -0.25 (0xb400): the largest number, 2, becomes level 0", () => {
    const x = new Float32Array(32);
    x.set([2, -1.75, 0.1, -0.13]);
    x[16] = 1;
    const block = quantise("Q4_0", x);
    expect([...block].slice(0, 7)).toEqual([0x00, 0xb4, 0x40, 0x8f, 0x88, 0x89, 0x88]);
    expect(numbers("Q4_0", [...block]).slice(0, 5)).toEqual([2, -1.75, -0, -0.25, -0]);
    expect(numbers("Q4_0", [...block])[16]).toBe(1);
  });

  test("Q4_K: scale and minimum of the first and the last run", () => {
    const block = Array<number>(144).fill(0);
    // d = 1 (0x3c00), dmin = 2 (0x4000); run 0: scale 3, minimum 5; run 7: scale 33 = 2 * 16 + 1, minimum 18 = 1 * 16 + 2.
    block.splice(0, 4, 0x00, 0x3c, 0x00, 0x40);
    block[4] = 3;
    block[8] = 5;
    block[4 + 11] = 1 | (2 << 4);
    block[4 + 3] = 2 << 6;
    block[4 + 7] = 1 << 6;
    block[16] = 0x0f;
    block[16 + 96] = 0x70;
    const y = numbers("Q4_K", block);
    expect([y[0], y[1], y[224], y[225]]).toEqual([3 * 15 - 10, -10, 33 * 7 - 36, -36]);
  });

  test("Q6_K: the four runs of the second half", () => {
    const block = Array<number>(210).fill(0);
    block[209] = 0x3c;
    // Scales of elements 128.., 160.., 192.., 224..: 1, -2, 3, 127. Low bits 5, 6 in the low and 7, 8 in the high nibbles.
    for (const [run, s] of [1, 0xfe, 3, 127].entries()) block[192 + 8 + 2 * run] = s;
    block[64] = 0x75;
    block[64 + 32] = 0x86;
    block[128 + 32] = 0b11_10_01_00;
    const y = numbers("Q6_K", block);
    expect([y[128], y[160], y[192], y[224]]).toEqual([5 - 32, -2 * (22 - 32), 3 * (39 - 32), 127 * (56 - 32)]);
    expect([y[129], y[161]]).toEqual([-32, 64]);
  });
});

test("any finite numbers of any size come back within half a level of their own run, or are refused", () => {
  const numbers = fc.array(fc.float({ noNaN: true }), { minLength: 256, maxLength: 256 });
  fc.assert(
    fc.property(fc.constantFrom(...types), numbers, (type, x) => {
      const y = new Float64Array(256);
      try {
        dequantise(type, quantise(type, x), y);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        return;
      }
      expect(y.every(Number.isFinite)).toBe(true);
    }),
  );
});
