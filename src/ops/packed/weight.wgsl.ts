import type { PackedFormat } from "../../tensor/packing.ts";

/** Numbers of a launch that `weightCode` needs: see `packedGeometry`. */
export const weightNumbers = { upper: "u32", scales: "u32" } as const;

/** A scale and a minimum under which 16 numbers stand that begin at column 4 c, of the row at word `at`. */
const scales: Readonly<Partial<Record<PackedFormat, string>>> = {
  F8_E4M3: "vec2f(bitcast<f32>(b[at + p.scales + c / 32]), 0)",
  Q8_0: "vec2f(unpack2x16float(b[at + p.scales + c / 16])[(c / 8) & 1], 0)",
  Q4_0: "vec2f(unpack2x16float(b[at + p.scales + c / 16])[(c / 8) & 1], 0)",
  Q4_1: "unpack2x16float(b[at + p.scales + c / 8])",
  Q4_K: `under(at + p.scales + 5 * (c / 64), (c / 8) % 8)`,
  Q6_K: `under(at + p.scales + 5 * (c / 64), (c / 4) % 16)`,
};

/** Columns 4 c to 4 c + 3 of the row at word `at`, without scales. */
const numbers: Readonly<Record<PackedFormat, string>> = {
  F32: "let w = at + 4 * c; return bitcast<vec4f>(vec4u(b[w], b[w + 1], b[w + 2], b[w + 3]));",
  F16: "let w = at + 2 * c; return vec4f(unpack2x16float(b[w]), unpack2x16float(b[w + 1]));",
  BF16: `let w = vec2u(b[at + 2 * c], b[at + 2 * c + 1]);
  return bitcast<vec4f>(vec4u(w.x << 16, w.x & 0xffff0000, w.y << 16, w.y & 0xffff0000));`,
  F8_E4M3: "return eights(b[at + c]);",
  Q8_0: "return vec4f(vec4i(vec4u(b[at + c]) << vec4u(24, 16, 8, 0)) >> vec4u(24));",
  Q4_0: "return nibbles(b[at + 4 * (c / 8) + c % 4] >> (c & 4)) - 8;",
  Q4_1: "return nibbles(b[at + 4 * (c / 8) + c % 4] >> (c & 4));",
  Q4_K: "return nibbles(b[at + 4 * (c / 8) + c % 4] >> (c & 4));",
  Q6_K: `let pairs = bytes(b[at + p.upper + c / 4] >> (2 * (c % 4))) & vec4u(3);
  return nibbles(b[at + 4 * (c / 8) + c % 4] >> (c & 4)) + vec4f(pairs << vec4u(4)) - 32;`,
};

/** What the formats need beside that. Powers of two are exact; exponents are set as bits, since a GPU may take subnormals for zeros. */
const parts = {
  bytes: `fn bytes(w: u32) -> vec4u { return vec4u(w) >> vec4u(0, 8, 16, 24); }`,
  nibbles: `fn nibbles(w: u32) -> vec4f { return vec4f(bytes(w) & vec4u(15)); }`,
  eights: `fn eights(w: u32) -> vec4f {
  let x = bytes(w) & vec4u(255);
  let size = x & vec4u(127);
  let normal = (size << vec4u(20)) + vec4u(120 << 23);
  let low = bitcast<vec4u>(vec4f(size) / 512);
  let number = select(normal, vec4u(0x7fc00000), size == vec4u(127));
  return bitcast<vec4f>(select(number, low, size < vec4u(8)) | ((x & vec4u(128)) << vec4u(24)));
}`,
  Q4_K: `fn under(block: u32, run: u32) -> vec2f {
  let s = block + 1 + run / 4;
  let shift = 8 * (run % 4);
  return unpack2x16float(b[block]) * vec2f(f32((b[s] >> shift) & 255), -f32((b[s + 2] >> shift) & 255));
}`,
  Q6_K: `fn under(block: u32, run: u32) -> vec2f {
  let s = i32(b[block + 1 + run / 4] << (24 - 8 * (run % 4))) >> 24;
  return vec2f(unpack2x16float(b[block]).x * f32(s), 0);
}`,
};

/**
 * WGSL that reads weights of a format out of the buffer `b` of words: `four(at, c)` has columns 4 c to 4 c + 3 of the row at word
 * `at`, `weight(at, column)` one of them. A plain tensor is read as F32. Numbers as src/tensor/quant.ts says.
 */
export function weightCode(format: PackedFormat): string {
  return `${bitsCode}\n${readerCode(format)}`;
}

/** What the readers of all formats share. */
const bitsCode = `${parts.bytes}\n${parts.nibbles}\n${parts.eights}`;

/** The same of several weights, each in a buffer `b0`, `b1`, ...: `four0`, `four1`, ..., and numbers `upper0`, `scales0`, ... */
export function weightCodes(formats: readonly PackedFormat[]): string {
  const own = /\b(b|quants|scale|four|weight|under)(?=[[(])|\bp\.(upper|scales)\b/g;
  return [bitsCode, ...formats.map((format, i) => readerCode(format).replace(own, `$&${i}`))].join("\n");
}

function readerCode(format: PackedFormat): string {
  const under = format === "Q4_K" || format === "Q6_K" ? parts[format] : "";
  const scale = scales[format];
  return `${under}
fn quants(at: u32, c: u32) -> vec4f {
  ${numbers[format]}
}
fn scale(at: u32, c: u32) -> vec2f { return ${scale ?? "vec2f(1, 0)"}; }
fn four(at: u32, c: u32) -> vec4f {
  ${scale ? "let by = scale(at, c);\n  return quants(at, c) * by.x + by.y;" : "return quants(at, c);"}
}
fn weight(at: u32, column: u32) -> f32 {
  ${format === "F32" ? "return bitcast<f32>(b[at + column]);" : "return four(at, column / 4)[column % 4];"}
}`;
}
