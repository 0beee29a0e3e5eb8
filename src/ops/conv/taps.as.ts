// The inner loops of a convolution: n channels, one tap of one row at a time or four of two, each sum in the order of its
// taps and rows, so that both ways give the same numbers.
import { loadPart, madd, storePart } from "../simd.as";

/** out = sum + w x. */
export function tap(n: i32, out: usize, sum: usize, x: usize, w: usize): void {
  for (; n >= 8; n -= 8) {
    const s = madd(v128.load(x), v128.load(w), v128.load(sum));
    const t = madd(v128.load(x, 16), v128.load(w, 16), v128.load(sum, 16));
    v128.store(out, s);
    v128.store(out, t, 16);
    out += 32;
    sum += 32;
    x += 32;
    w += 32;
  }
  for (; n > 0; n -= 4, out += 16, sum += 16, x += 16, w += 16)
    storePart(out, n, madd(loadPart(x, n, 0), loadPart(w, n, 0), loadPart(sum, n, 0)));
}

/**
 * Two rows of out, `row` bytes apart, as are those of x: out = sum + w x + w1 x1 + w2 x2 + w3 x3, and out1 = sum1 + w x1 + ...
 * + w3 x4. Taps are `next` bytes apart, and the rows of sum `apart` bytes.
 */
export function taps(
  n: i32, out: usize, sum: usize, apart: usize, x: usize, row: usize, w: usize, next: usize,
): void {
  const x1 = x + row;
  const x2 = x1 + row;
  const x3 = x2 + row;
  const x4 = x3 + row;
  const w1 = w + next;
  const w2 = w1 + next;
  const w3 = w2 + next;
  const out1 = out + row;
  const sum1 = sum + apart;
  let i: usize = 0;
  for (; n >= 8; n -= 8, i += 32) {
    let s = madd(v128.load(x + i), v128.load(w + i), v128.load(sum + i));
    let t = madd(v128.load(x + i, 16), v128.load(w + i, 16), v128.load(sum + i, 16));
    let s1 = madd(v128.load(x1 + i), v128.load(w + i), v128.load(sum1 + i));
    let t1 = madd(v128.load(x1 + i, 16), v128.load(w + i, 16), v128.load(sum1 + i, 16));
    s = madd(v128.load(x1 + i), v128.load(w1 + i), s);
    t = madd(v128.load(x1 + i, 16), v128.load(w1 + i, 16), t);
    s1 = madd(v128.load(x2 + i), v128.load(w1 + i), s1);
    t1 = madd(v128.load(x2 + i, 16), v128.load(w1 + i, 16), t1);
    s = madd(v128.load(x2 + i), v128.load(w2 + i), s);
    t = madd(v128.load(x2 + i, 16), v128.load(w2 + i, 16), t);
    s1 = madd(v128.load(x3 + i), v128.load(w2 + i), s1);
    t1 = madd(v128.load(x3 + i, 16), v128.load(w2 + i, 16), t1);
    s = madd(v128.load(x3 + i), v128.load(w3 + i), s);
    t = madd(v128.load(x3 + i, 16), v128.load(w3 + i, 16), t);
    s1 = madd(v128.load(x4 + i), v128.load(w3 + i), s1);
    t1 = madd(v128.load(x4 + i, 16), v128.load(w3 + i, 16), t1);
    v128.store(out + i, s);
    v128.store(out + i, t, 16);
    v128.store(out1 + i, s1);
    v128.store(out1 + i, t1, 16);
  }
  if (n <= 0) return;
  for (let k: usize = 0; k < 4; k++) {
    tap(n, out + i, (k ? out : sum) + i, x + k * row + i, w + k * next + i);
    tap(n, out1 + i, (k ? out1 : sum1) + i, x1 + k * row + i, w + k * next + i);
  }
}

/** Two rows of g and five of x, `row` bytes apart, and four of sums: sum += g x + g1 x1, sum1 += g x1 + g1 x2, ... */
export function addTaps(n: i32, sum: usize, apart: usize, g: usize, x: usize, row: usize): void {
  const g1 = g + row;
  const x1 = x + row;
  const x2 = x1 + row;
  const x3 = x2 + row;
  const x4 = x3 + row;
  const sum1 = sum + apart;
  const sum2 = sum1 + apart;
  const sum3 = sum2 + apart;
  let i: usize = 0;
  for (; n >= 8; n -= 8, i += 32) {
    let s = madd(v128.load(g + i), v128.load(x + i), v128.load(sum + i));
    let s1 = madd(v128.load(g + i, 16), v128.load(x + i, 16), v128.load(sum + i, 16));
    let t = madd(v128.load(g + i), v128.load(x1 + i), v128.load(sum1 + i));
    let t1 = madd(v128.load(g + i, 16), v128.load(x1 + i, 16), v128.load(sum1 + i, 16));
    let u = madd(v128.load(g + i), v128.load(x2 + i), v128.load(sum2 + i));
    let u1 = madd(v128.load(g + i, 16), v128.load(x2 + i, 16), v128.load(sum2 + i, 16));
    let v = madd(v128.load(g + i), v128.load(x3 + i), v128.load(sum3 + i));
    let v1 = madd(v128.load(g + i, 16), v128.load(x3 + i, 16), v128.load(sum3 + i, 16));
    s = madd(v128.load(g1 + i), v128.load(x1 + i), s);
    s1 = madd(v128.load(g1 + i, 16), v128.load(x1 + i, 16), s1);
    t = madd(v128.load(g1 + i), v128.load(x2 + i), t);
    t1 = madd(v128.load(g1 + i, 16), v128.load(x2 + i, 16), t1);
    u = madd(v128.load(g1 + i), v128.load(x3 + i), u);
    u1 = madd(v128.load(g1 + i, 16), v128.load(x3 + i, 16), u1);
    v = madd(v128.load(g1 + i), v128.load(x4 + i), v);
    v1 = madd(v128.load(g1 + i, 16), v128.load(x4 + i, 16), v1);
    v128.store(sum + i, s);
    v128.store(sum + i, s1, 16);
    v128.store(sum1 + i, t);
    v128.store(sum1 + i, t1, 16);
    v128.store(sum2 + i, u);
    v128.store(sum2 + i, u1, 16);
    v128.store(sum3 + i, v);
    v128.store(sum3 + i, v1, 16);
  }
  if (n <= 0) return;
  for (let k: usize = 0; k < 4; k++) {
    const to = sum + k * apart + i;
    tap(n, to, to, g + i, x + k * row + i);
    tap(n, to, to, g1 + i, x1 + k * row + i);
  }
}

/** sum += x. */
export function addRow(n: i32, sum: usize, x: usize): void {
  for (; n >= 8; n -= 8, sum += 32, x += 32) {
    const s = f32x4.add(v128.load(sum), v128.load(x));
    const t = f32x4.add(v128.load(sum, 16), v128.load(x, 16));
    v128.store(sum, s);
    v128.store(sum, t, 16);
  }
  for (; n > 0; n -= 4, sum += 16, x += 16) storePart(sum, n, f32x4.add(loadPart(sum, n, 0), loadPart(x, n, 0)));
}
