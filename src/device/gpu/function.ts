// Functions of one number in WGSL, as exact as those of the wasm kernels. WGSL allows its own exp an error of 3 + 2 |x| units in
// the last place, its log an absolute one, and its tanh whatever follows from these; and a sum with a large number may be
// rearranged, so that rounding is by floor. Methods and coefficients: Cephes, S. L. Moshier, as in ops/simd.as.ts.

/** `expOf(x)`: e^x, relative error below 2e-7; 0 below -87.3, and from 88.37 on 2.4e38. */
export const exponential = /* wgsl */ `
fn expOf(x: f32) -> f32 {
  let y = clamp(x, -87.3, 88.37);
  let n = floor(y * 1.44269504 + 0.5);
  let r = fma(n, 2.1219444e-4, fma(n, -0.693359375, y));
  var q = fma(1.9875691500e-4, r, 1.3981999507e-3);
  q = fma(q, r, 8.3334519073e-3);
  q = fma(q, r, 4.1665795894e-2);
  q = fma(q, r, 1.6666665459e-1);
  q = fma(q, r, 5.0000001201e-1);
  q = fma(q, r * r, r + 1.0);
  return select(q * bitcast<f32>(u32(i32(n) + 127) << 23), 0.0, x < -87.3);
}`;

/** `expOf` and `sigmoidOf(x)`: 1 / (1 + e^-x). */
export const logistic = /* wgsl */ `${exponential}
fn sigmoidOf(x: f32) -> f32 { return 1.0 / (1.0 + expOf(-x)); }`;

/** `expOf`, `sigmoidOf`, `softplusOf(x)`: log(1 + e^x), and `tanhOf(x)`; relative errors below 3e-7. */
export const functions = /* wgsl */ `${logistic}
/** log(1 + x) for x from 0 to 1: 2 atanh(s) with s = x / (2 + x), the series' rest a cubic in s^2. */
fn logOnePlus(x: f32) -> f32 {
  let s = x / (2.0 + x);
  let w = s * s;
  var q = fma(2.68514980e-1, w, 2.82366198e-1);
  q = fma(q, w, 4.00075606e-1);
  q = fma(q, w, 6.66666403e-1);
  return fma(s * w, q, s + s);
}
fn softplusOf(x: f32) -> f32 { return max(x, 0.0) + logOnePlus(expOf(-abs(x))); }
fn tanhOf(x: f32) -> f32 {
  let size = abs(x);
  if (size >= 0.625) { return sign(x) * (1.0 - 2.0 / (expOf(2.0 * size) + 1.0)); }
  let w = x * x;
  var q = fma(-5.70498872745e-3, w, 2.06390887954e-2);
  q = fma(q, w, -5.37397155531e-2);
  q = fma(q, w, 1.33314422036e-1);
  q = fma(q, w, -3.33332819422e-1);
  return fma(q * w, x, x);
}`;
