// Two rows of queries with four keys at once, for builds whose vectors are joined to twice their length: each number of a key or
// value that is fetched serves both. Of each row the sums are those that it has alone (few.as.ts), bit for bit.
import { madd } from "../simd.as";

/** Sums of products of rows `q` and `p` with four keys over a multiple of eight numbers: eight floats for each row and key, at `to`. */
export function dotPair(q: usize, p: usize, k0: usize, k1: usize, k2: usize, k3: usize, end: usize, to: usize): void {
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), b0 = f32x4.splat(0), b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), d0 = f32x4.splat(0), d1 = f32x4.splat(0);
  let e0 = f32x4.splat(0), e1 = f32x4.splat(0), f0 = f32x4.splat(0), f1 = f32x4.splat(0);
  let g0 = f32x4.splat(0), g1 = f32x4.splat(0), h0 = f32x4.splat(0), h1 = f32x4.splat(0);
  for (; q < end; q += 32, p += 32, k0 += 32, k1 += 32, k2 += 32, k3 += 32) {
    const x0 = v128.load(q), x1 = v128.load(q, 16);
    const y0 = v128.load(p), y1 = v128.load(p, 16);
    let w0 = v128.load(k0), w1 = v128.load(k0, 16);
    a0 = madd(x0, w0, a0);
    a1 = madd(x1, w1, a1);
    e0 = madd(y0, w0, e0);
    e1 = madd(y1, w1, e1);
    w0 = v128.load(k1);
    w1 = v128.load(k1, 16);
    b0 = madd(x0, w0, b0);
    b1 = madd(x1, w1, b1);
    f0 = madd(y0, w0, f0);
    f1 = madd(y1, w1, f1);
    w0 = v128.load(k2);
    w1 = v128.load(k2, 16);
    c0 = madd(x0, w0, c0);
    c1 = madd(x1, w1, c1);
    g0 = madd(y0, w0, g0);
    g1 = madd(y1, w1, g1);
    w0 = v128.load(k3);
    w1 = v128.load(k3, 16);
    d0 = madd(x0, w0, d0);
    d1 = madd(x1, w1, d1);
    h0 = madd(y0, w0, h0);
    h1 = madd(y1, w1, h1);
  }
  v128.store(to, a0);
  v128.store(to, a1, 16);
  v128.store(to, b0, 32);
  v128.store(to, b1, 48);
  v128.store(to, c0, 64);
  v128.store(to, c1, 80);
  v128.store(to, d0, 96);
  v128.store(to, d1, 112);
  v128.store(to, e0, 128);
  v128.store(to, e1, 144);
  v128.store(to, f0, 160);
  v128.store(to, f1, 176);
  v128.store(to, g0, 192);
  v128.store(to, g1, 208);
  v128.store(to, h0, 224);
  v128.store(to, h1, 240);
}

/** o += four weights times four values, and as much for the row `step` bytes on, whose weights are `apart` bytes on; a multiple of eight numbers, up to `end`. */
export function addPair(
  o: usize, step: usize, weights: usize, apart: usize, v0: usize, v1: usize, v2: usize, v3: usize, end: usize,
): void {
  const w0 = v128.load_splat<f32>(weights), w1 = v128.load_splat<f32>(weights, 4);
  const w2 = v128.load_splat<f32>(weights, 8), w3 = v128.load_splat<f32>(weights, 12);
  const u = weights + apart;
  const u0 = v128.load_splat<f32>(u), u1 = v128.load_splat<f32>(u, 4);
  const u2 = v128.load_splat<f32>(u, 8), u3 = v128.load_splat<f32>(u, 12);
  let p = o + step;
  for (; o < end; o += 32, p += 32, v0 += 32, v1 += 32, v2 += 32, v3 += 32) {
    let x0 = v128.load(o), x1 = v128.load(o, 16);
    let y0 = v128.load(p), y1 = v128.load(p, 16);
    let z0 = v128.load(v0), z1 = v128.load(v0, 16);
    x0 = madd(w0, z0, x0);
    x1 = madd(w0, z1, x1);
    y0 = madd(u0, z0, y0);
    y1 = madd(u0, z1, y1);
    z0 = v128.load(v1);
    z1 = v128.load(v1, 16);
    x0 = madd(w1, z0, x0);
    x1 = madd(w1, z1, x1);
    y0 = madd(u1, z0, y0);
    y1 = madd(u1, z1, y1);
    z0 = v128.load(v2);
    z1 = v128.load(v2, 16);
    x0 = madd(w2, z0, x0);
    x1 = madd(w2, z1, x1);
    y0 = madd(u2, z0, y0);
    y1 = madd(u2, z1, y1);
    z0 = v128.load(v3);
    z1 = v128.load(v3, 16);
    x0 = madd(w3, z0, x0);
    x1 = madd(w3, z1, x1);
    y0 = madd(u3, z0, y0);
    y1 = madd(u3, z1, y1);
    v128.store(o, x0);
    v128.store(o, x1, 16);
    v128.store(p, y0);
    v128.store(p, y1, 16);
  }
}
