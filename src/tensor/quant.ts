import { narrow } from "./narrow.ts";

/**
 * Blocks of quantised numbers, as GGUF stores them: every `elements` neighbours of a row share `bytes` bytes. The layouts are
 * facts of ggml's format (ggml-common.h, ggml-quants.c); each is written out at its decoder, below or in narrow.ts.
 */
export const blocks = {
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q5_0: { elements: 32, bytes: 22 },
  Q5_1: { elements: 32, bytes: 24 },
  Q8_0: { elements: 32, bytes: 34 },
  Q4_K: { elements: 256, bytes: 144 },
  Q5_K: { elements: 256, bytes: 176 },
  Q6_K: { elements: 256, bytes: 210 },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  IQ4_NL: { elements: 32, bytes: 18 },
  IQ4_XS: { elements: 256, bytes: 136 },
  TQ1_0: { elements: 256, bytes: 54 },
  TQ2_0: { elements: 256, bytes: 66 },
  MXFP4: { elements: 32, bytes: 17 },
  NVFP4: { elements: 64, bytes: 36 },
  Q1_0: { elements: 128, bytes: 18 },
  Q2_0: { elements: 64, bytes: 18 },
} as const;

/** A block format by its name in GGUF. */
export type Quant = keyof typeof blocks;

export function isQuant(name: string): name is Quant {
  return Object.hasOwn(blocks, name);
}

/** Writes one block's numbers to `into` from `at` on, given the block's first byte. */
export type Decoder = (bytes: DataView, at: number, into: Float32Array | Float64Array, to: number) => void;

/**
 * The numbers of whole blocks, in order. Every product is computed in float64: into a Float64Array the result is exact, into a
 * Float32Array it is rounded once. `bytes` holds into.length / elements blocks.
 *
 * Errors: RangeError where `bytes` is shorter than that.
 */
export function dequantise(type: Quant, bytes: Uint8Array, into: Float32Array | Float64Array): void {
  const { elements, bytes: size } = blocks[type];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decode = decoders[type];
  for (let to = 0, at = 0; to < into.length; to += elements, at += size) decode(view, at, into, to);
}

const decoders: Readonly<Record<Quant, Decoder>> = {
  ...narrow,
  // d: half; 16 bytes: element j in the low, j + 16 in the high nibble.  x = d (q - 8)
  Q4_0(view, at, into, to) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 16; j++) {
      const q = view.getUint8(at + 2 + j);
      into[to + j] = d * ((q & 15) - 8);
      into[to + j + 16] = d * ((q >> 4) - 8);
    }
  },
  // d, m: half; nibbles as Q4_0.  x = d q + m
  Q4_1(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const m = view.getFloat16(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const q = view.getUint8(at + 4 + j);
      into[to + j] = d * (q & 15) + m;
      into[to + j + 16] = d * (q >> 4) + m;
    }
  },
  // d: half; 32 bits: the fifth bit of each element; nibbles as Q4_0.  x = d (q - 16)
  Q5_0(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const fifth = view.getUint32(at + 2, true);
    for (let j = 0; j < 16; j++) {
      const q = view.getUint8(at + 6 + j);
      into[to + j] = d * (((q & 15) | (((fifth >>> j) & 1) << 4)) - 16);
      into[to + j + 16] = d * (((q >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) - 16);
    }
  },
  // d, m: half; fifth bits and nibbles as Q5_0.  x = d q + m
  Q5_1(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const m = view.getFloat16(at + 2, true);
    const fifth = view.getUint32(at + 4, true);
    for (let j = 0; j < 16; j++) {
      const q = view.getUint8(at + 8 + j);
      into[to + j] = d * ((q & 15) | (((fifth >>> j) & 1) << 4)) + m;
      into[to + j + 16] = d * ((q >> 4) | (((fifth >>> (j + 16)) & 1) << 4)) + m;
    }
  },
  // d: half; 32 signed bytes.  x = d q
  Q8_0(view, at, into, to) {
    const d = view.getFloat16(at, true);
    for (let j = 0; j < 32; j++) into[to + j] = d * view.getInt8(at + 2 + j);
  },
  // d, dmin: half; 12 bytes: 8 pairs (s, m) of 6 bits; 128 bytes, each 32 of which hold two runs of 32 elements: the first in
  // the low, the second in the high nibbles. Each run has its own pair.  x = d s q - dmin m
  Q4_K(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const dmin = view.getFloat16(at + 2, true);
    for (let run = 0; run < 8; run++) {
      const [s, m] = pairOf(view, at + 4, run);
      const from = at + 16 + 32 * (run >> 1);
      const shift = 4 * (run & 1);
      for (let j = 0; j < 32; j++)
        into[to + 32 * run + j] = d * s * ((view.getUint8(from + j) >> shift) & 15) - dmin * m;
    }
  },
  // As Q4_K, with 32 bytes of fifth bits before the nibbles: bit r of byte j belongs to element j of run r.
  Q5_K(view, at, into, to) {
    const d = view.getFloat16(at, true);
    const dmin = view.getFloat16(at + 2, true);
    for (let run = 0; run < 8; run++) {
      const [s, m] = pairOf(view, at + 4, run);
      const from = at + 48 + 32 * (run >> 1);
      const shift = 4 * (run & 1);
      for (let j = 0; j < 32; j++) {
        const fifth = (view.getUint8(at + 16 + j) >> run) & 1;
        const q = ((view.getUint8(from + j) >> shift) & 15) | (fifth << 4);
        into[to + 32 * run + j] = d * s * q - dmin * m;
      }
    }
  },
  // 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales (one per 16 elements), d: half. Each half of 128
  // elements is four runs of 32: nibbles of runs 0 and 2 share 32 bytes, those of 1 and 3 the next 32; bit pair r of byte j
  // belongs to element j of run r.  x = d s (q - 32)
  Q6_K(view, at, into, to) {
    const d = view.getFloat16(at + 208, true);
    for (let i = 0; i < 256; i += 16) {
      const scale = d * view.getInt8(at + 192 + (i >> 4));
      const half = i >> 7;
      const run = (i >> 5) & 3;
      const low = at + 64 * half + 32 * (run & 1) + (i & 16);
      const high = at + 128 + 32 * half + (i & 16);
      for (let j = 0; j < 16; j++) {
        const nibble = (view.getUint8(low + j) >> (4 * (run >> 1))) & 15;
        const pair = (view.getUint8(high + j) >> (2 * run)) & 3;
        into[to + i + j] = scale * ((nibble | (pair << 4)) - 32);
      }
    }
  },
};

/**
 * Scale and minimum of run r in the 12 bytes that Q4_K and Q5_K share: the first four pairs are the lower 6 bits of bytes r and
 * r + 4; the last four have their lower 4 bits in byte r + 4 (scale low, minimum high) and their upper 2 on top of the bytes of
 * pair r - 4.
 */
function pairOf(view: DataView, at: number, r: number): readonly [scale: number, minimum: number] {
  if (r < 4) return [view.getUint8(at + r) & 63, view.getUint8(at + r + 4) & 63];
  const low = view.getUint8(at + r + 4);
  return [(low & 15) | ((view.getUint8(at + r - 4) >> 6) << 4), (low >> 4) | ((view.getUint8(at + r) >> 6) << 4)];
}
