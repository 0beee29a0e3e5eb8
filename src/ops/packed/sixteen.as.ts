// One row of activations times a panel of 16-bit floats, from front to back: a processor fetches one long read ahead. Activations lie
// so that those of two neighbouring vectors are spread by the same shuffle, which V8 joins, and each of eight columns has sums of its
// own, so that no addition waits for the one before it.
import { BF16, F16 } from "../../tensor/format";
import { gatherRow } from "../einsum/stream.as";
import { madd } from "../simd.as";
import { HALF_ROOT, halfMask, upperMask } from "./half.as";

/** Puts a row of activations, `step` bytes apart, to `x`: of each eight columns 0, 1, 4, 5, then the others. `spare`: 4 * width bytes. */
export function activateSixteen(format: i32, x: usize, from: usize, step: usize, width: i32, spare: usize): void {
  gatherRow(spare, from, step, width);
  const by = format == F16 ? HALF_ROOT : 1;
  for (let i = 0; i < ((width + 7) & -8); i++) {
    const to = x + (<usize>(i & -7 | (i & 4) >> 1 | (i & 2) << 1) << 2);
    store<f32>(to, i < width ? load<f32>(spare + (<usize>i << 2)) * by : 0);
  }
}

/** The sums of four rows. */
export function dotSixteen(format: i32, panel: usize, width: i32, x: usize, sums: usize): v128 {
  return format == BF16 ? dotBrains(panel, width, x, sums) : f32x4.mul(dotHalves(panel, width, x, sums), f32x4.splat(HALF_ROOT));
}

// Apart: of both in one function Binaryen makes one loop that asks for the format at each step.
function dotBrains(q: usize, width: i32, x: usize, sums: usize): v128 {
  return dot(BF16, q, width, x, upperMask(), sums);
}

function dotHalves(q: usize, width: i32, x: usize, sums: usize): v128 {
  return dot(F16, q, width, x, halfMask(), sums);
}

// @ts-ignore: decorator
@inline
function dot(format: i32, q: usize, width: i32, x: usize, mask: v128, sums: usize): v128 {
  let s = f32x4.splat(0), t = s, u = s, v = s, a = s, b = s, c = s, d = s;
  for (; width > 0; width -= 8, q += 64, x += 32) {
    const y = v128.load(x), z = v128.load(x, 16);
    const p0 = v128.load(q), p1 = v128.load(q, 16), p2 = v128.load(q, 32), p3 = v128.load(q, 48);
    s = madd(even(format, p0, mask), v128.shuffle<i32>(y, y, 0, 0, 0, 0), s);
    u = madd(even(format, p1, mask), v128.shuffle<i32>(z, z, 0, 0, 0, 0), u);
    t = madd(odd(format, p0, mask), v128.shuffle<i32>(y, y, 1, 1, 1, 1), t);
    v = madd(odd(format, p1, mask), v128.shuffle<i32>(z, z, 1, 1, 1, 1), v);
    a = madd(even(format, p2, mask), v128.shuffle<i32>(y, y, 2, 2, 2, 2), a);
    c = madd(even(format, p3, mask), v128.shuffle<i32>(z, z, 2, 2, 2, 2), c);
    b = madd(odd(format, p2, mask), v128.shuffle<i32>(y, y, 3, 3, 3, 3), b);
    d = madd(odd(format, p3, mask), v128.shuffle<i32>(z, z, 3, 3, 3, 3), d);
  }
  // V8 joins vectors that are stored side by side, the upper first.
  v128.store(sums, f32x4.add(f32x4.add(u, c), f32x4.add(v, d)), 16);
  v128.store(sums, f32x4.add(f32x4.add(s, a), f32x4.add(t, b)));
  return f32x4.add(v128.load(sums), v128.load(sums, 16));
}

/** The even column of each pair, as a float32 but for the power of two that halves lack; and the odd one. */
// @ts-ignore: decorator
@inline
function even(format: i32, p: v128, mask: v128): v128 {
  return format == BF16 ? i32x4.shl(p, 16) : v128.and(i32x4.shr_s(i32x4.shl(p, 16), 3), mask);
}

// @ts-ignore: decorator
@inline
function odd(format: i32, p: v128, mask: v128): v128 {
  return v128.and(format == BF16 ? p : i32x4.shr_s(p, 3), mask);
}
