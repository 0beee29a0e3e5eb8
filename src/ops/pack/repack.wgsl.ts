import type { Shader } from "../../device/gpu/shader.ts";
import { type PackedFormat, SCALED } from "../../tensor/packing.ts";

/** Threads of a workgroup, each with one word of a row at a time. */
export const THREADS = 64;

/** Bytes of a block in a file, and in front of its numbers. */
const nibbles = (bytes: number, before: number) => `return word(at + ${bytes} * (w / 4) + ${before} + 4 * (w % 4));`;
/** Two halves, one from each of two neighbouring blocks. */
const halves = (bytes: number) => `let two = half(at + ${2 * bytes} * w);
  return select(two, two | (half(at + ${2 * bytes} * w + ${bytes}) << 16), 64 * w + 32 < p.columns);`;

/** Word w of a row's numbers, given where the row begins in the file's bytes. */
const numbers: Readonly<Record<PackedFormat, string>> = {
  F32: "return select(0, word(at + 4 * w), w < p.columns);",
  F16: "return upTo(word(at + 4 * w), 16 * i32(p.columns) - 32 * i32(w));",
  BF16: "return upTo(word(at + 4 * w), 16 * i32(p.columns) - 32 * i32(w));",
  F8_E4M3: "return upTo(word(at + 4 * w), 8 * i32(p.columns) - 32 * i32(w));",
  Q8_0: "return word(at + 34 * (w / 8) + 2 + 4 * (w % 8));",
  Q4_0: nibbles(18, 2),
  Q4_1: nibbles(20, 4),
  // Two runs of 32 share bytes in the file, and a run is 16 bytes here.
  Q4_K: `let run = (w % 32) / 4;
  let low = at + 144 * (w / 32) + 16 + 32 * (run / 2) + 4 * (w % 4);
  return joined(low, 4 * (run % 2));`,
  Q6_K: `let run = (w % 32) / 4;
  let low = at + 210 * (w / 32) + 64 * (run / 4) + 32 * (run % 2) + 4 * (w % 4);
  return joined(low, 4 * ((run / 2) % 2));`,
};

/** Word w of a row's scales. */
const scales: Readonly<Partial<Record<PackedFormat, string>>> = {
  F8_E4M3: `return bitcast<u32>(scale[p.scale_at + row / ${SCALED} * p.across + w]);`,
  Q8_0: halves(34),
  Q4_0: halves(18),
  Q4_1: "return word(at + 20 * w);",
  Q4_K: `let block = at + 144 * (w / 5);
  let i = w % 5;
  if (i == 0) { return word(block); }
  let runs = 4 * ((i - 1) % 2);
  var four = 0u;
  for (var j = 0u; j < 4; j++) { four |= pair(block + 4, runs + j)[(i - 1) / 2] << (8 * j); }
  return four;`,
  Q6_K: `let block = at + 210 * (w / 5);
  let i = w % 5;
  if (i == 0) { return half(block + 208); }
  return word(block + 192 + 4 * (i - 1));`,
};

/**
 * Lays rows of a file out as `packedGeometry` says. `from_file` are bytes that hold them, `at` which of the rows there each one of the
 * tensor is, `scale` the file's scales of F8_E4M3. `low` is the number of the first row that is there.
 */
export const repack: Shader = {
  name: "repack",
  reads: { from_file: "u32", rows: "u32", scale: "f32" },
  writes: { to: "u32" },
  numbers: {
    ...{ count: "u32", columns: "u32", words: "u32", upper: "u32", scales: "u32", end: "u32" },
    ...{ row_bytes: "u32", low: "u32", across: "u32" },
  },
  code: ({ FORMAT }) => /* wgsl */ `
/** Four bytes, two, one, from any place on. */
fn word(at: u32) -> u32 {
  let i = p.from_file_at + at / 4;
  let shift = 8 * (at % 4);
  if (shift == 0) { return from_file[i]; }
  return (from_file[i] >> shift) | (from_file[i + 1] << (32 - shift));
}
fn half(at: u32) -> u32 { return word(at) & 0xffff; }
fn byte(at: u32) -> u32 { return (from_file[p.from_file_at + at / 4] >> (8 * (at % 4))) & 255; }
/** The lower bits of a word as far as there are some. */
fn upTo(w: u32, bits: i32) -> u32 {
  if (bits <= 0) { return 0; }
  return select(w & ((1u << u32(bits & 31)) - 1), w, bits >= 32);
}
/** Halves of bytes here and 16 bytes on, moved by a shift, as the lower and upper halves of one word. */
fn joined(at: u32, shift: u32) -> u32 {
  return ((word(at) >> shift) & 0x0f0f0f0f) | (((word(at + 16) >> shift) & 0x0f0f0f0f) << 4);
}
/** Scale and minimum of run r in 12 bytes (see src/tensor/quant.ts). */
fn pair(at: u32, r: u32) -> vec2u {
  if (r < 4) { return vec2u(byte(at + r), byte(at + r + 4)) & vec2u(63); }
  let low = byte(at + r + 4);
  return vec2u(low & 15, low >> 4) | ((vec2u(byte(at + r - 4), byte(at + r)) >> vec2u(6)) << vec2u(4));
}
fn numbers(at: u32, w: u32) -> u32 {
  ${numbers[FORMAT as PackedFormat]}
}
/** Two upper bits of 16 numbers: those of four neighbours lie four bytes apart in the file. */
fn upper(at: u32, w: u32) -> u32 {
  let run = (w % 16) / 2;
  let low = at + 210 * (w / 16) + 128 + 32 * (run / 4) + 16 * (w % 2);
  var bits = 0u;
  for (var i = 0u; i < 4; i++) { bits |= ((word(low + 4 * i) >> (2 * (run % 4))) & 0x03030303) << (2 * i); }
  return bits;
}
fn scales(at: u32, w: u32, row: u32) -> u32 {
  ${scales[FORMAT as PackedFormat] ?? "return 0;"}
}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = line(group, groups);
  if (row >= p.count) { return; }
  let number = rows[p.rows_at + row];
  let at = (number - p.low) * p.row_bytes;
  for (var w = thread; w < p.words; w += ${THREADS}) {
    var value = 0u;
    if (w < p.upper) { value = numbers(at, w); }
    else if (w < p.scales) { value = upper(at, w - p.upper); }
    else if (w < p.end) { value = scales(at, w - p.scales, number); }
    to[p.to_at + row * p.words + w] = value;
  }
}`,
};
