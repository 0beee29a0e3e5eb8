// Float64 products and reflections for conversions, on one thread, in a memory of their own: double.ts puts operands there. Rows lie
// one after the other, without gaps.

// @ts-ignore: decorator
@inline
function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f64x2.relaxed_madd(a, b, c) : f64x2.add(f64x2.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
function sum(x: v128): f64 {
  return f64x2.extract_lane(x, 0) + f64x2.extract_lane(x, 1);
}

/** Numbers of a row that are multiplied before the next rows are: what stays in a core's first cache. */
const DEPTH: i32 = 256;
/** Rows of a whose so many numbers stay in its second one, while all rows of b go by. */
const BLOCK: i32 = 128;

/**
 * out[m, n] += a[m, k] b[n, k]ᵀ, of which m and n are multiples of 4. `panel` has room for 4 DEPTH numbers: four rows of `b` laid out so
 * that a vector's lanes are rows. Where `half` is not 0, b is square but for n's rounding up, and its lower half is taken, its diagonal by a
 * half: twice as much for a symmetric b, once its transpose is added.
 */
export function product(a: usize, b: usize, out: usize, panel: usize, m: i32, n: i32, k: i32, half: i32): void {
  const row = <usize>k << 3;
  const wide = <usize>n << 3;
  for (let k0 = 0; k0 < k; k0 += DEPTH) {
    const offset = <usize>k0 << 3;
    for (let i0 = 0; i0 < m; i0 += BLOCK) {
      const last = min(m, i0 + BLOCK);
      for (let j = half ? k0 & -4 : 0; j < n; j += 4) {
        const depth = min(DEPTH, (half ? min(k, j + 4) : k) - k0);
        let from = b + <usize>j * row + offset;
        for (let at = 0, to = panel; at < depth; at++, to += 32, from += 8) {
          f64.store(to, f64.load(from));
          f64.store(to, f64.load(from + row), 8);
          f64.store(to, f64.load(from + 2 * row), 16);
          f64.store(to, f64.load(from + 3 * row), 24);
        }
        if (half) corner(panel, j - k0, depth);
        for (let i = i0; i < last; i += 4)
          tile(depth, a + <usize>i * row + offset, row, panel, out + <usize>i * wide + (<usize>j << 3), wide);
      }
    }
  }
}

/** What lies on the diagonal of a panel whose first row has it at `first`, by a half, and what lies behind it by zero. */
function corner(panel: usize, first: i32, depth: i32): void {
  for (let at = max(0, first); at < depth; at++)
    for (let lane = 0; lane <= min(3, at - first); lane++) {
      const place = panel + ((<usize>at * 4 + lane) << 3);
      f64.store(place, lane == at - first ? f64.load(place) / 2 : 0);
    }
}

/** out[4, 4] += four rows of a, `row` bytes apart, times a panel of b. */
function tile(k: i32, a0: usize, row: usize, b: usize, out: usize, wide: usize): void {
  const a1 = a0 + row;
  const a2 = a1 + row;
  const a3 = a2 + row;
  let c00 = f64x2.splat(0), c01 = f64x2.splat(0), c10 = f64x2.splat(0), c11 = f64x2.splat(0);
  let c20 = f64x2.splat(0), c21 = f64x2.splat(0), c30 = f64x2.splat(0), c31 = f64x2.splat(0);
  const end = <usize>k << 3;
  for (let at: usize = 0; at < end; at += 8, b += 32) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const x0 = v128.load64_splat(a0 + at);
    c00 = madd(x0, b0, c00);
    c01 = madd(x0, b1, c01);
    const x1 = v128.load64_splat(a1 + at);
    c10 = madd(x1, b0, c10);
    c11 = madd(x1, b1, c11);
    const x2 = v128.load64_splat(a2 + at);
    c20 = madd(x2, b0, c20);
    c21 = madd(x2, b1, c21);
    const x3 = v128.load64_splat(a3 + at);
    c30 = madd(x3, b0, c30);
    c31 = madd(x3, b1, c31);
  }
  put(out, c00, c01);
  put(out + wide, c10, c11);
  put(out + 2 * wide, c20, c21);
  put(out + 3 * wide, c30, c31);
}

// @ts-ignore: decorator
@inline
function put(out: usize, low: v128, high: v128): void {
  v128.store(out, f64x2.add(v128.load(out), low));
  v128.store(out, f64x2.add(v128.load(out, 16), high), 16);
}

/**
 * Reduces a symmetric `a` [n, n], of which the lower half is read, to three diagonals by n - 2 reflections I - s u uᵀ, from the last row up:
 * row k of `a` then holds the u that clears what is left of the diagonal in row k, its first k numbers. `p` and `w` have room for n
 * numbers. What a step changes in the matrix is changed as the next one reads it, so that each step goes over it once.
 */
export function reduce(a: usize, n: i32, diagonal: usize, beside: usize, scales: usize, p: usize, w: usize): void {
  const row = <usize>n << 3;
  let pending: usize = 0;
  for (let k = n - 1; k >= 0; k--) {
    const x = a + <usize>k * row;
    if (pending) change(x, pending, w, k, k + 1);
    f64.store(diagonal + (<usize>k << 3), f64.load(x + (<usize>k << 3)));
    if (k == 0) break;
    const s = reflection(x, k, beside + (<usize>k << 3));
    f64.store(scales + (<usize>k << 3), s);
    if (s == 0) {
      if (pending) for (let i = 0; i < k; i++) change(a + <usize>i * row, pending, w, i, i + 1);
      pending = 0;
      continue;
    }
    memory.fill(p, 0, <usize>k << 3);
    for (let i = 0; i < k; i++) {
      const y = a + <usize>i * row;
      const u = f64.load(x + (<usize>i << 3));
      const total = pending ? changeAndRead(y, pending, w, i, x, u, p) : read(y, i, x, u, p);
      const at = p + (<usize>i << 3);
      f64.store(at, f64.load(at) + total + f64.load(y + (<usize>i << 3)) * u);
    }
    let along: f64 = 0;
    for (let i: usize = 0; i < <usize>k << 3; i += 8) along += f64.load(p + i) * f64.load(x + i);
    const half = (s * s * along) / 2;
    for (let i: usize = 0; i < <usize>k << 3; i += 8) f64.store(w + i, s * f64.load(p + i) - half * f64.load(x + i));
    pending = x;
  }
}

/** The reflection that clears the first k - 1 of a row's first k numbers: u in their place, its s, and what is left beside the diagonal. */
function reflection(x: usize, k: i32, beside: usize): f64 {
  const end = <usize>(k - 1) << 3;
  let size: f64 = 0;
  for (let i: usize = 0; i < end; i += 8) size = max(size, abs(f64.load(x + i)));
  const last = f64.load(x + end);
  if (size == 0) {
    f64.store(beside, last);
    return 0;
  }
  size = max(size, abs(last));
  let square: f64 = 0;
  for (let i: usize = 0; i <= end; i += 8) {
    const part = f64.load(x + i) / size;
    square += part * part;
  }
  const length = size * sqrt(square) * (last > 0 ? -1 : 1);
  f64.store(beside, length);
  // u = row - length e, kept divided by its last number: s = 1 - last / length follows, and nothing cancels.
  const head = last - length;
  for (let i: usize = 0; i < end; i += 8) f64.store(x + i, f64.load(x + i) / head);
  f64.store(x + end, 1);
  return (length - last) / length;
}

/** The first `count` numbers of row i, which lies at y, changed by the pending step: y -= u_i w + w_i u. */
function change(y: usize, u: usize, w: usize, i: i32, count: i32): void {
  const ui = f64.load(u + (<usize>i << 3));
  const wi = f64.load(w + (<usize>i << 3));
  for (let j: usize = 0; j < <usize>count << 3; j += 8)
    f64.store(y + j, f64.load(y + j) - ui * f64.load(w + j) - wi * f64.load(u + j));
}

/** Row i, at y, changed by the pending step, then read: its first i numbers times x, while p gets them times `by`. */
function changeAndRead(y: usize, u: usize, w: usize, i: i32, x: usize, by: f64, p: usize): f64 {
  const ui = f64.load(u + (<usize>i << 3));
  const wi = f64.load(w + (<usize>i << 3));
  const uu = f64x2.splat(-ui);
  const ww = f64x2.splat(-wi);
  const bb = f64x2.splat(by);
  let sums = f64x2.splat(0);
  let j: usize = 0;
  for (const end = <usize>(i & -2) << 3; j < end; j += 16) {
    const z = madd(uu, v128.load(w + j), madd(ww, v128.load(u + j), v128.load(y + j)));
    v128.store(y + j, z);
    sums = madd(z, v128.load(x + j), sums);
    v128.store(p + j, madd(z, bb, v128.load(p + j)));
  }
  let total = sum(sums);
  if (i & 1) {
    const z = f64.load(y + j) - ui * f64.load(w + j) - wi * f64.load(u + j);
    f64.store(y + j, z);
    total += z * f64.load(x + j);
    f64.store(p + j, f64.load(p + j) + z * by);
    j += 8;
  }
  f64.store(y + j, f64.load(y + j) - ui * f64.load(w + j) - wi * f64.load(u + j));
  return total;
}

/** The same where nothing is pending. */
function read(y: usize, i: i32, x: usize, by: f64, p: usize): f64 {
  let total: f64 = 0;
  for (let j: usize = 0; j < <usize>i << 3; j += 8) {
    const z = f64.load(y + j);
    total += z * f64.load(x + j);
    f64.store(p + j, f64.load(p + j) + z * by);
  }
  return total;
}

/** Reflections that all rows meet before the next ones: what stays in a core's second cache. */
const TURNS: i32 = 16;

/** Rows z [count, n], `count` a multiple of 4, times all reflections in `a` in their order: z -= s (z u) u over u's length. */
export function turnBack(z: usize, count: i32, a: usize, scales: usize, n: i32): void {
  const row = <usize>n << 3;
  for (let k0 = 2; k0 < n; k0 += TURNS)
    for (let i = 0; i < count; i += 4)
      for (let k = k0, end = min(n, k0 + TURNS); k < end; k++) {
        const s = f64.load(scales + (<usize>k << 3));
        if (s != 0) reflect(z + <usize>i * row, row, a + <usize>k * row, k, s);
      }
}

/** Four rows, each less s (row u) u. */
function reflect(z0: usize, row: usize, u: usize, k: i32, s: f64): void {
  const z1 = z0 + row;
  const z2 = z1 + row;
  const z3 = z2 + row;
  const even = <usize>(k & -2) << 3;
  let s0 = f64x2.splat(0), s1 = f64x2.splat(0), s2 = f64x2.splat(0), s3 = f64x2.splat(0);
  for (let j: usize = 0; j < even; j += 16) {
    const x = v128.load(u + j);
    s0 = madd(x, v128.load(z0 + j), s0);
    s1 = madd(x, v128.load(z1 + j), s1);
    s2 = madd(x, v128.load(z2 + j), s2);
    s3 = madd(x, v128.load(z3 + j), s3);
  }
  let t0 = sum(s0), t1 = sum(s1), t2 = sum(s2), t3 = sum(s3);
  const odd = k & 1;
  const last = f64.load(u + even);
  if (odd) {
    t0 += last * f64.load(z0 + even);
    t1 += last * f64.load(z1 + even);
    t2 += last * f64.load(z2 + even);
    t3 += last * f64.load(z3 + even);
  }
  t0 *= -s;
  t1 *= -s;
  t2 *= -s;
  t3 *= -s;
  s0 = f64x2.splat(t0);
  s1 = f64x2.splat(t1);
  s2 = f64x2.splat(t2);
  s3 = f64x2.splat(t3);
  for (let j: usize = 0; j < even; j += 16) {
    const x = v128.load(u + j);
    v128.store(z0 + j, madd(x, s0, v128.load(z0 + j)));
    v128.store(z1 + j, madd(x, s1, v128.load(z1 + j)));
    v128.store(z2 + j, madd(x, s2, v128.load(z2 + j)));
    v128.store(z3 + j, madd(x, s3, v128.load(z3 + j)));
  }
  if (odd) {
    f64.store(z0 + even, f64.load(z0 + even) + t0 * last);
    f64.store(z1 + even, f64.load(z1 + even) + t1 * last);
    f64.store(z2 + even, f64.load(z2 + even) + t2 * last);
    f64.store(z3 + even, f64.load(z3 + even) + t3 * last);
  }
}
