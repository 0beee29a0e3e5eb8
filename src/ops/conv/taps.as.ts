// The inner loops of a convolution: n channels of one row, one tap or four at a time, always in the order of the taps.
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

/** out = sum + w x + w' x' + ... for four rows of x, `row` bytes apart, and four of w, `next` bytes apart. */
export function taps(n: i32, out: usize, sum: usize, x: usize, row: usize, w: usize, next: usize): void {
  const x1 = x + row;
  const x2 = x1 + row;
  const x3 = x2 + row;
  const w1 = w + next;
  const w2 = w1 + next;
  const w3 = w2 + next;
  let i: usize = 0;
  for (; n >= 16; n -= 16, i += 64) {
    let s = madd(v128.load(x + i), v128.load(w + i), v128.load(sum + i));
    let t = madd(v128.load(x + i, 16), v128.load(w + i, 16), v128.load(sum + i, 16));
    let u = madd(v128.load(x + i, 32), v128.load(w + i, 32), v128.load(sum + i, 32));
    let v = madd(v128.load(x + i, 48), v128.load(w + i, 48), v128.load(sum + i, 48));
    s = madd(v128.load(x1 + i), v128.load(w1 + i), s);
    t = madd(v128.load(x1 + i, 16), v128.load(w1 + i, 16), t);
    u = madd(v128.load(x1 + i, 32), v128.load(w1 + i, 32), u);
    v = madd(v128.load(x1 + i, 48), v128.load(w1 + i, 48), v);
    s = madd(v128.load(x2 + i), v128.load(w2 + i), s);
    t = madd(v128.load(x2 + i, 16), v128.load(w2 + i, 16), t);
    u = madd(v128.load(x2 + i, 32), v128.load(w2 + i, 32), u);
    v = madd(v128.load(x2 + i, 48), v128.load(w2 + i, 48), v);
    s = madd(v128.load(x3 + i), v128.load(w3 + i), s);
    t = madd(v128.load(x3 + i, 16), v128.load(w3 + i, 16), t);
    u = madd(v128.load(x3 + i, 32), v128.load(w3 + i, 32), u);
    v = madd(v128.load(x3 + i, 48), v128.load(w3 + i, 48), v);
    v128.store(out + i, s);
    v128.store(out + i, t, 16);
    v128.store(out + i, u, 32);
    v128.store(out + i, v, 48);
  }
  for (; n > 0; n -= 4, i += 16) {
    let s = madd(loadPart(x + i, n, 0), loadPart(w + i, n, 0), loadPart(sum + i, n, 0));
    s = madd(loadPart(x1 + i, n, 0), loadPart(w1 + i, n, 0), s);
    s = madd(loadPart(x2 + i, n, 0), loadPart(w2 + i, n, 0), s);
    storePart(out + i, n, madd(loadPart(x3 + i, n, 0), loadPart(w3 + i, n, 0), s));
  }
}

/** sum += g x, sum' += g x', ... for four rows of sums and four of x, both `row` bytes apart. */
export function addTaps(n: i32, sum: usize, g: usize, x: usize, row: usize): void {
  const x1 = x + row;
  const x2 = x1 + row;
  const x3 = x2 + row;
  const sum1 = sum + row;
  const sum2 = sum1 + row;
  const sum3 = sum2 + row;
  let i: usize = 0;
  for (; n >= 8; n -= 8, i += 32) {
    const g0 = v128.load(g + i);
    const g4 = v128.load(g + i, 16);
    const s = madd(g0, v128.load(x + i), v128.load(sum + i));
    const t = madd(g4, v128.load(x + i, 16), v128.load(sum + i, 16));
    const s1 = madd(g0, v128.load(x1 + i), v128.load(sum1 + i));
    const t1 = madd(g4, v128.load(x1 + i, 16), v128.load(sum1 + i, 16));
    const s2 = madd(g0, v128.load(x2 + i), v128.load(sum2 + i));
    const t2 = madd(g4, v128.load(x2 + i, 16), v128.load(sum2 + i, 16));
    const s3 = madd(g0, v128.load(x3 + i), v128.load(sum3 + i));
    const t3 = madd(g4, v128.load(x3 + i, 16), v128.load(sum3 + i, 16));
    v128.store(sum + i, s);
    v128.store(sum + i, t, 16);
    v128.store(sum1 + i, s1);
    v128.store(sum1 + i, t1, 16);
    v128.store(sum2 + i, s2);
    v128.store(sum2 + i, t2, 16);
    v128.store(sum3 + i, s3);
    v128.store(sum3 + i, t3, 16);
  }
  for (; n > 0; n -= 4, i += 16) {
    const g0 = loadPart(g + i, n, 0);
    storePart(sum + i, n, madd(g0, loadPart(x + i, n, 0), loadPart(sum + i, n, 0)));
    storePart(sum1 + i, n, madd(g0, loadPart(x1 + i, n, 0), loadPart(sum1 + i, n, 0)));
    storePart(sum2 + i, n, madd(g0, loadPart(x2 + i, n, 0), loadPart(sum2 + i, n, 0)));
    storePart(sum3 + i, n, madd(g0, loadPart(x3 + i, n, 0), loadPart(sum3 + i, n, 0)));
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
