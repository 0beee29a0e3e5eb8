/**
 * A vector of a class: whether it is normed, by a layer's norm where it has a bias too, and turned, whether it is also left in `made`,
 * memory of the workgroup, for what follows, and which bindings it is read from and written to.
 */
export interface Vector {
  readonly gain: boolean;
  readonly bias: boolean;
  readonly turned: boolean;
  readonly kept: boolean;
  readonly source: number;
  readonly result: number;
}

/** Storage buffers of item `i` of a launch beside what it is read from and written to, and its numbers. */
export const vectorReads = ({ gain, bias }: Vector, i: number) => [
  ...(gain ? [`gain${i}`] : []),
  ...(bias ? [`bias${i}`] : []),
];
export const vectorNumbers = ({ gain, turned }: Vector, i: number): Readonly<Record<string, "u32" | "f32">> => ({
  ...{ [`end${i}`]: "u32", [`width${i}`]: "u32", [`from${i}`]: "u32", [`to${i}`]: "u32" },
  ...(turned ? { [`heads${i}`]: "u32" } : {}),
  ...(gain ? { [`gains${i}`]: "u32", [`eps${i}`]: "f32" } : {}),
});

/**
 * WGSL `fn vector(id, thread)` of item `i`, by so many threads: vector `id` is normed by `sum_of` where it has gains, then turned by the
 * table `angles`, and goes to `out`.
 */
export function vectorCode(
  { gain, bias, turned, kept, source, result }: Vector,
  i: number,
  layout: string,
  threads: number,
): string {
  const put = (k: string, x: string) =>
    kept ? `{ let y = ${x}; out${result}[to + ${k}] = y; made[${k}] = y; }` : `out${result}[to + ${k}] = ${x};`;
  const raw = (k: string) => `x${source}[p.x${source}_at + p.from${i} + at + ${k}]`;
  const number = (k: string) => `number${i}(at, ${k}, mean, r)`;
  const each = (code: string) => `for (var k = thread; k < p.width${i}; k += ${threads}) { ${code} }`;
  return /* wgsl */ `
fn number${i}(at: u32, k: u32, mean: f32, r: f32) -> f32 {
  return ${bias ? `(${raw("k")} - mean)` : raw("k")}${gain ? ` * r * gain${i}[p.gain${i}_at + (at + k) % p.gains${i}]` : ""}${bias ? ` + bias${i}[p.bias${i}_at + k]` : ""};
}
fn vector${i}(id: u32, thread: u32) {
  let at = id * p.width${i};
${
  bias
    ? `  var whole = 0.0;
  ${each(`whole += ${raw("k")};`)}
  let mean = sum_of(thread, whole) / f32(p.width${i});`
    : "  let mean = 0.0;"
}
${
  gain
    ? `  var squares = 0.0;
  ${each(`let x = ${raw("k")} - mean; squares += x * x;`)}
  let r = 1.0 / sqrt(sum_of(thread, squares) / f32(p.width${i}) + p.eps${i});`
    : "  let r = 1.0;"
}
  let to = p.out${result}_at + p.to${i} + at;
${
  turned
    ? `  let still = p.width${i} - 2 * p.pairs;
  for (var k = thread; k < still; k += ${threads}) { ${put("k", number("k"))} }
  let table = p.angles_at + id / p.heads${i} * 2 * p.pairs;
  for (var pair = thread; pair < p.pairs; pair += ${threads}) {
    let first = still + ${layout === "interleaved" ? "2 * pair" : "pair"};
    let second = first + ${layout === "interleaved" ? "1" : "p.pairs"};
    let cos = angles[table + pair];
    let sin = angles[table + p.pairs + pair];
    let u = ${number("first")};
    let v = ${number("second")};
    ${put("first", "u * cos - v * sin")}
    ${put("second", "u * sin + v * cos")}
  }`
    : `  ${each(put("k", number("k")))}`
}
}`;
}
