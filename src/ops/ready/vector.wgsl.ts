/** A vector of a class: whether it is normed and turned, and whether it is also left in `made`, memory of the workgroup, for what follows. */
export interface Vector {
  readonly gain: boolean;
  readonly turned: boolean;
  readonly kept: boolean;
}

/** Storage buffers and numbers of item `i` of a launch. */
export const vectorReads = ({ gain }: Vector, i: number) => [`x${i}`, ...(gain ? [`gain${i}`] : [])];
export const vectorNumbers = (i: number) => [`end${i}`, `width${i}`, `heads${i}`, `gains${i}`];

/**
 * WGSL `fn vector(id, thread)` of item `i`, by so many threads: vector `id` is normed by `sum_of` where it has gains, then turned by the
 * table `angles`, and goes to `out`.
 */
export function vectorCode({ gain, turned, kept }: Vector, i: number, layout: string, threads: number): string {
  const put = (k: string, x: string) =>
    kept ? `{ let y = ${x}; out${i}[to + ${k}] = y; made[${k}] = y; }` : `out${i}[to + ${k}] = ${x};`;
  return /* wgsl */ `
fn number${i}(at: u32, k: u32, r: f32) -> f32 {
  return x${i}[p.x${i}_at + at + k]${gain ? ` * r * gain${i}[p.gain${i}_at + (at + k) % p.gains${i}]` : ""};
}
fn vector${i}(id: u32, thread: u32) {
  let at = id * p.width${i};
${
  gain
    ? `  var squares = 0.0;
  for (var k = thread; k < p.width${i}; k += ${threads}) { squares += x${i}[p.x${i}_at + at + k] * x${i}[p.x${i}_at + at + k]; }
  let r = 1.0 / sqrt(sum_of(thread, squares) / f32(p.width${i}) + p.eps${i});`
    : "  let r = 1.0;"
}
  let to = p.out${i}_at + at;
${
  turned
    ? `  let still = p.width${i} - 2 * p.pairs;
  for (var k = thread; k < still; k += ${threads}) { ${put("k", `number${i}(at, k, r)`)} }
  let table = p.angles_at + id / p.heads${i} * 2 * p.pairs;
  for (var pair = thread; pair < p.pairs; pair += ${threads}) {
    let first = still + ${layout === "interleaved" ? "2 * pair" : "pair"};
    let second = first + ${layout === "interleaved" ? "1" : "p.pairs"};
    let cos = angles[table + pair];
    let sin = angles[table + p.pairs + pair];
    let u = number${i}(at, first, r);
    let v = number${i}(at, second, r);
    ${put("first", "u * cos - v * sin")}
    ${put("second", "u * sin + v * cos")}
  }`
    : `  for (var k = thread; k < p.width${i}; k += ${threads}) { ${put("k", `number${i}(at, k, r)`)} }`
}
}`;
}
