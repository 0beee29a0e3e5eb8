import type { Decoder } from "./quant.ts";

/**
 * Decoders of the formats that are read and not written: those of fewer than four bits, and of floats of four. The layouts are
 * facts of ggml's format (ggml-common.h, ggml-quants.c, v0.5.0); each is written out at its decoder. The lattices of IQ1, IQ2 and
 * IQ3 need tables of up to 2048 points and are not read.
 */
export const narrow = {
  // 16 bytes: scale in the low, minimum in the high nibble of each 16 elements; 64 bytes of pairs; d, dmin: half. Each half of
  // 128 elements is four runs of 32, which share 32 bytes: run r has pair r.  x = d s q - dmin m
  Q2_K(view, at, into, to) {
    const d = view.getFloat16(at + 80, true);
    const dmin = view.getFloat16(at + 82, true);
    for (let e = 0; e < 256; e++) {
      const both = view.getUint8(at + (e >> 4));
      into[to + e] = d * (both & 15) * pairAt(view, at + 16, e) - dmin * (both >> 4);
    }
  },
  // 32 bytes of third bits: bit r of byte j belongs to element j of run r, and takes 4 away where it is not set; 64 bytes of
  // pairs as Q2_K; 12 bytes: 16 scales of 6 bits; d: half.  x = d (s - 32) q
  Q3_K(view, at, into, to) {
    const d = view.getFloat16(at + 108, true);
    for (let e = 0; e < 256; e++) {
      const third = (view.getUint8(at + (e & 31)) >> (e >> 5)) & 1;
      into[to + e] = d * (sixAt(view, at + 96, e >> 4) - 32) * (pairAt(view, at + 32, e) - 4 * (1 - third));
    }
  },
  // d: half; nibbles as Q4_0, each a place in a table.  x = d table[q]
  IQ4_NL(view, at, into, to) {
    nibbles(view, at + 2, into, to, view.getFloat16(at, true), uneven);
  },
  // d: half; upper pairs of the 8 scales in 16 bits, their low nibbles in 4 bytes; 8 runs of 32 as IQ4_NL.  x = d (s - 32) table[q]
  IQ4_XS(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const upper = view.getUint16(at + 2, true);
    for (let run = 0; run < 8; run++) {
      const low = (view.getUint8(at + 4 + (run >> 1)) >> (4 * (run & 1))) & 15;
      const scale = (low | (((upper >> (2 * run)) & 3) << 4)) - 32;
      nibbles(view, at + 8 + 16 * run, into, to + 32 * run, d * scale, uneven);
    }
  },
  // 32 bytes of five trits each, 16 of five and 4 of four, then d: half. A byte is the fraction of 256 whose digits to base 3
  // are the trits, the first first; trit n of byte j of a piece of w bytes is element n w + j of that piece.  x = d (q - 1)
  TQ1_0(view, at, into, to) {
    const d = view.getFloat16(at + 52, true);
    let [byte, e] = [at, to];
    for (const [width, trits] of [
      [32, 5],
      [16, 5],
      [4, 4],
    ] as const) {
      for (let n = 0; n < trits; n++)
        for (let j = 0; j < width; j++) {
          const shifted = (view.getUint8(byte + j) * 3 ** n) & 255;
          into[e++] = d * (((3 * shifted) >> 8) - 1);
        }
      byte += width;
    }
  },
  // 64 bytes of pairs as Q2_K, then d: half.  x = d (q - 1)
  TQ2_0(view, at, into, to) {
    const d = view.getFloat16(at + 64, true);
    for (let e = 0; e < 256; e++) into[to + e] = d * (pairAt(view, at, e) - 1);
  },
  // A byte of exponent, e; nibbles as Q4_0, each a float of 1 sign, 2 exponent and 1 fraction bits (OCP microscaling).
  // x = 2^(e - 127) q. 255, which is no number there, is an exponent like any other, as in ggml.
  MXFP4(view, at, into, to) {
    nibbles(view, at + 1, into, to, 2 ** (view.getUint8(at) - 128), doubled);
  },
  // 4 scales, floats of 4 exponent and 3 fraction bits without a sign, one per 16 elements; for each of these 8 bytes: element j
  // in the low, j + 8 in the high nibble, floats as MXFP4's.  x = s q
  NVFP4(view, at, into, to) {
    for (let part = 0; part < 4; part++) {
      const scale = smallFloat(view.getUint8(at + part)) / 2;
      for (let j = 0; j < 8; j++) {
        const q = view.getUint8(at + 4 + 8 * part + j);
        into[to + 16 * part + j] = scale * doubled[q & 15]!;
        into[to + 16 * part + j + 8] = scale * doubled[q >> 4]!;
      }
    }
  },
  // d: half; 128 bits, the lowest of a byte first.  x = d where the bit is set, else -d
  Q1_0(view, at, into, to) {
    const d = view.getFloat16(at, true);
    for (let e = 0; e < 128; e++) into[to + e] = (view.getUint8(at + 2 + (e >> 3)) >> (e & 7)) & 1 ? d : -d;
  },
  // d: half; 64 pairs of bits, the lowest of a byte first.  x = d (q - 1)
  Q2_0(view, at, into, to) {
    const d = view.getFloat16(at, true);
    for (let e = 0; e < 64; e++) into[to + e] = d * (((view.getUint8(at + 2 + (e >> 2)) >> (2 * (e & 3))) & 3) - 1);
  },
} as const satisfies Readonly<Record<string, Decoder>>;

/** The values of IQ4's nibbles: closer together near zero. */
const uneven = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** Twice the values of a float of 4 bits, which are then whole. */
const doubled = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/** 32 numbers of 16 bytes: element j in the low, j + 16 in the high nibble, looked up and scaled. */
function nibbles(
  view: DataView,
  at: number,
  into: Float32Array | Float64Array,
  to: number,
  scale: number,
  table: readonly number[],
): void {
  for (let j = 0; j < 16; j++) {
    const q = view.getUint8(at + j);
    into[to + j] = scale * table[q & 15]!;
    into[to + j + 16] = scale * table[q >> 4]!;
  }
}

/** The pair of bits of element e of 256, whose halves of 128 are four runs of 32 over the same 32 bytes. */
function pairAt(view: DataView, at: number, e: number): number {
  return (view.getUint8(at + 32 * (e >> 7) + (e & 31)) >> (2 * ((e >> 5) & 3))) & 3;
}

/**
 * Scale i of the 16 in the 12 bytes of Q3_K: the low nibbles of the first 8 bytes are of the first 8 scales and the high ones of the
 * last 8; the upper pairs of scales i, i + 4, i + 8 and i + 12 share byte 8 + i.
 */
function sixAt(view: DataView, at: number, i: number): number {
  const low = (view.getUint8(at + (i & 7)) >> (i < 8 ? 0 : 4)) & 15;
  return low | (((view.getUint8(at + 8 + (i & 3)) >> (2 * (i >> 2))) & 3) << 4);
}

/** 4 exponent bits of bias 7, 3 fraction bits; 0x7f, which is no number, is zero, and the highest bit says nothing, as in ggml. */
function smallFloat(byte: number): number {
  if (byte === 0x7f) return 0;
  const [exponent, fraction] = [(byte >> 3) & 15, byte & 7];
  return exponent ? (8 + fraction) * 2 ** (exponent - 10) : fraction * 2 ** -9;
}
