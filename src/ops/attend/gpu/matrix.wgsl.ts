import type { Traits } from "../../../device/gpu/adapter.ts";
import { mainOf, type Shader } from "../../../device/gpu/shader.ts";
import type { AttendCall } from "../index.ts";
import { type Forward, placeCode, rowsCode } from "./forward.wgsl.ts";
import type { Reading, Rows } from "./read.wgsl.ts";
import { callNumbers, HIDDEN, NOTHING, operandsOf, SEEN, shaderOf, type Tile, visibleCode } from "./tile.wgsl.ts";

// Attention of many rows whose products are those of subgroup matrices. Numbers of such a matrix cannot be told apart, so what has been
// summed up cannot be shrunk as a softmax goes on: the keys are gone through twice, first for each row's largest score and its sum, and
// then for the values, by weights that are final.

/** Rows of a tile, and keys that are taken at a time, which are as many columns of the values. */
const SIDE = 32;
/** The tile as what is shared by other kernels sees it. */
export const MATRIX_TILE: Tile = { own: SIDE / 4, staged: SIDE / 4, parts: 1 };
/** Float32 numbers of results that a thread may hold: of 256 columns and more a driver would compile minutes, and registers run out. */
const HELD = 64;

/** How a workgroup shares a tile: threads, subgroups that have a part, and blocks of N columns that each of these has side by side. */
interface Split {
  readonly threads: number;
  readonly parts: number;
  readonly blocks: number;
}

/** The split for a call, if the adapter has matrices for it: of many rows, over keys that follow one another. */
export function splitFor(call: AttendCall, m: number, traits: Traits): Split | undefined {
  const { matrix, subgroup, software, shared } = traits;
  if (!matrix || !subgroup || software || call.stick || call.chosen || call.t * m < SIDE || call.s < SIDE)
    return undefined;
  const { m: M, n: N, k: K, type } = matrix;
  const threads = Math.max(128, 4 * subgroup.most);
  const parts = threads / subgroup.most;
  const across = SIDE / N;
  const blocks = ((SIDE / M) * across) / parts;
  const fits = [SIDE / M, across, SIDE / K, blocks, across / blocks].every((x) => Number.isInteger(x) && x > 0);
  if (!fits || bytesOf(depthOf(K), type, threads) > shared) return undefined;
  const chunks = Math.ceil((4 * foursOf(operandsOf(call).values)) / SIDE);
  return (chunks * blocks * M * N) / subgroup.most > HELD ? undefined : { threads, parts, blocks };
}

/** Numbers of a row that are staged at once, and fours from one staged row to the next: whole 16 bytes, in other banks. */
const depthOf = (K: number) => Math.max(16, K);
const pitchOf = (columns: number) => columns / 4 + 2;
const foursOf = (list: readonly Rows[]) => list.reduce((sum, { e }) => sum + Math.ceil(e / 4), 0);

function bytesOf(depth: number, type: "f32" | "f16", threads: number): number {
  const four = type === "f16" ? 8 : 16;
  return four * SIDE * (pitchOf(depth) + 2 * pitchOf(SIDE)) + 4 * SIDE * SIDE + 8 * threads + 12 * SIDE;
}

/** The shader of a class of calls, with matrices as the adapter has them. */
export function matrixShader(of: Forward, reading: Reading, split: Split, { matrix }: Traits): Shader {
  const { call, m, pieces, lse, each } = of;
  const { sinks, start, causal, window, h, terms, values } = call;
  const alike = terms.map(({ k }) => values.findIndex(({ v }) => v === k));
  const key = [reading.key, each, m, pieces, lse, h, !!start, !!sinks, causal, !!window, split, matrix, alike];
  return shaderOf("attendMatrices", JSON.stringify(key), () => ({
    reads: { ...reading.reads, ...(each ? { lengths: "i32" as const } : {}) },
    writes: { out: "f32", ...(lse ? { lse: "u32" } : {}) },
    numbers: { ...reading.numbers, ...callNumbers, tiles: "u32", pieces: "u32", per: "i32", all: "u32" },
    code: ({ SUBGROUP }) => codeOf(of, reading, split, matrix!, SUBGROUP),
  }));
}

const times = (n: number, code: (i: number) => string) => Array.from({ length: n }, (_, i) => code(i)).join("\n");

function codeOf(of: Forward, reading: Reading, split: Split, matrix: NonNullable<Traits["matrix"]>, SUBGROUP: unknown) {
  const { call, m, queries, keys, values, pieces, lse } = of;
  const { sinks, start, causal, window, h } = call;
  const { m: M, n: N, k: K, type } = matrix;
  const { threads, parts, blocks } = split;
  const [depth, across] = [depthOf(K), SIDE / N / blocks];
  const [pitch, wide] = [pitchOf(depth), pitchOf(SIDE)];
  const group = ({ g }: Rows) => `folded / ${h / m / g}`;
  const columns = values.reduce((sum, { e }) => sum + e, 0);
  const chunks = Math.ceil((4 * foursOf(values)) / SIDE);
  const stride = pieces ? columns + 2 : columns;
  const begin = values.map((_, i) => foursOf(values.slice(0, i)));
  const result = `subgroup_matrix_result<f32, ${N}, ${M}>`;
  const load = (side: string, inner: number, outer: number, order: string, by: string, at: string, step: number) =>
    `subgroupMatrixLoad<subgroup_matrix_${side}<${type}, ${inner}, ${outer}>, ${order}>(&${by}, ${at}, ${step})`;
  /** Scores of the tile's rows and the keys from n0 on, into \`scores\`. */
  const products = `${times(blocks, (j) => `    var s${j} = ${result}();`)}
${queries
  .map((query, i) => {
    const [key, fours] = [keys[i]!, Math.ceil(query.e / 4)];
    return `    for (var d = 0u; d < ${fours}; d += ${depth / 4}) {
      workgroupBarrier();
      for (var i = thread; i < ${(SIDE * depth) / 4}; i += ${threads}) {
        let c = i / ${depth / 4};
        let x = d + i % ${depth / 4};
        let row = row_at(tile, folded, c);
        var own = vec4f(0);
        var other = vec4f(0);
        if (row.there && x < ${fours}) { own = ${query.name}(b * p.t + row.query, row.head, x); }
        if (n0 + i32(c) < hi && x < ${fours}) { other = ${key.name}(b * p.s + u32(n0) + c, ${group(key)}, x); }
        left[c * ${pitch} + i % ${depth / 4}] = vec4<${type}>(own);
        right[c * ${pitch} + i % ${depth / 4}] = vec4<${type}>(other);
      }
      workgroupBarrier();
      for (var i = 0u; i < ${depth / 4}; i += ${K / 4}) {
        let l = ${load("left", K, M, "row_major", "left", `y * ${pitch} + i`, pitch)};
${times(blocks, (j) => `        s${j} = subgroupMatrixMultiplyAccumulate(l, ${load("right", N, K, "col_major", "right", `(x + ${j * N}) * ${pitch} + i`, pitch)}, s${j});`)}
      }
    }`;
  })
  .join("\n")}
${times(blocks, (j) => `    subgroupMatrixStore<row_major>(&scores, y * ${SIDE} + x + ${j * N}, s${j}, ${SIDE});`)}
    workgroupBarrier();`;
  const score = (r: string, c: string) =>
    `select(${HIDDEN}, scores[${r} * ${SIDE} + ${c}] * p.scale, n0 + i32(${c}) < hi && visible(n0 + i32(${c}), place, first))`;
  const share = threads / SIDE;
  const lower = window ? "max(first, i32(row_at(tile, folded, 0).query) + offset - p.window + 1)" : "first";
  const upper = causal ? `min(length, i32(row_at(tile, folded, ${SIDE - 1}).query) + offset + 1)` : "length";
  const steps = `for (var n0 = lo; n0 < hi; n0 += ${SIDE}) {`;
  return `${reading.code}
${rowsCode({ call, tile: MATRIX_TILE, m })}
${visibleCode(call)}
/** Four numbers of all values side by side. */
fn value(row: u32, folded: u32, x: u32) -> vec4f {
${values.map((v, i) => `  if (x < ${begin[i]! + Math.ceil(v.e / 4)}) { return ${v.name}(row, ${group(v)}, x - ${begin[i]}); }`).join("\n")}
  return vec4f(0);
}
/** Where a column of these goes in a row of results, or past all where it goes nowhere. */
fn column_of(x: u32) -> u32 {
${values
  .map(({ e }, i) => {
    const before = values.slice(0, i).reduce((sum, v) => sum + v.e, 0);
    const from = 4 * begin[i]!;
    return `  if (x < ${from + 4 * Math.ceil(e / 4)}) { return select(${columns}u, ${before} + x - ${from}, x < ${from + e}); }`;
  })
  .join("\n")}
  return ${columns};
}
var<workgroup> left: array<vec4<${type}>, ${SIDE * pitch}>;
var<workgroup> right: array<vec4<${type}>, ${SIDE * Math.max(pitch, wide)}>;
var<workgroup> weights: array<vec4<${type}>, ${SIDE * wide}>;
var<workgroup> scores: array<f32, ${SIDE * SIDE}>;
var<workgroup> tops: array<f32, ${threads}>;
var<workgroup> totals: array<f32, ${threads}>;
var<workgroup> peaks: array<f32, ${SIDE}>;
var<workgroup> factors: array<f32, ${SIDE}>;
${mainOf(threads, SUBGROUP)}
  let number = line(group, groups);
  if (number >= p.all) { return; }
  ${placeCode(of)}
  let first = ${start ? "max(0, i32(start(b)))" : "0"};
  let begin = i32(piece) * p.per;
  let lo = max(begin, (${lower}) / ${SIDE} * ${SIDE});
  let hi = min(begin + p.per, ${upper});
  // Subgroups beyond the last part do what that one does, since all are to meet, and put nothing.
  let own = min(own_subgroup, ${parts - 1});
  let mine = select(0u, ${M * N}u, own_subgroup < ${parts});
  let y = own / ${across} * ${M};
  let x = own % ${across} * ${blocks * N};
  var most = ${HIDDEN};
  var total = 0.0;
  {
    let r = thread / ${share};
    let place = i32(row_at(tile, folded, r).query) + offset;
    ${steps}
${products}
    var top = most;
    for (var c = thread % ${share}; c < ${SIDE}; c += ${share}) { top = max(top, ${score("r", "c")}); }
    total *= exp(most - top);
    most = top;
    for (var c = thread % ${share}; c < ${SIDE}; c += ${share}) {
      let z = ${score("r", "c")};
      total += select(exp(z - top), 0, z < ${SEEN});
    }
    }
  }
  tops[thread] = most;
  totals[thread] = total;
  workgroupBarrier();
  if (thread < ${SIDE}) {
    let row = row_at(tile, folded, thread);
    var peak = ${HIDDEN};
    for (var i = 0u; i < ${share}; i++) { peak = max(peak, tops[${share} * thread + i]); }
    var whole = 0.0;
    for (var i = 0u; i < ${share}; i++) { whole += totals[${share} * thread + i] * exp(tops[${share} * thread + i] - peak); }
    peaks[thread] = peak;
    let to = (b * p.t + row.query) * ${h} + row.head;
    ${
      pieces
        ? `factors[thread] = 1;
    if (row.there) {
      out[p.out_at + (to * p.pieces + piece) * ${stride} + ${columns}] = peak;
      out[p.out_at + (to * p.pieces + piece) * ${stride} + ${columns + 1}] = whole;
    }`
        : `${
            sinks
              ? `let sink = sinks(row.head);
    let ceiling = max(peak, sink);
    let kept = exp(peak - ceiling);
    let all = whole * kept + exp(sink - ceiling);
    factors[thread] = kept / all;`
              : `let ceiling = peak;
    let all = whole;
    factors[thread] = select(1 / whole, 0, whole == 0);`
          }
    ${lse ? `if (row.there) { lse[p.lse_at + to] = select(bitcast<u32>(ceiling + log(all)), ${NOTHING}, all == 0); }` : ""}`
    }
  }
${times(chunks * blocks, (j) => `  var o${j} = ${result}();`)}
  ${steps}
${products}
    for (var i = thread; i < ${(SIDE * SIDE) / 4}; i += ${threads}) {
      let r = i / ${SIDE / 4};
      let place = i32(row_at(tile, folded, r).query) + offset;
      var w = vec4f(0);
      for (var k = 0u; k < 4; k++) {
        let c = 4 * (i % ${SIDE / 4}) + k;
        let z = ${score("r", "c")};
        w[k] = select(exp(z - peaks[r]), 0, z < ${SEEN});
      }
      weights[r * ${wide} + i % ${SIDE / 4}] = vec4<${type}>(w);
    }
${times(
  chunks,
  (chunk) => `    workgroupBarrier();
    for (var i = thread; i < ${(SIDE * SIDE) / 4}; i += ${threads}) {
      let c = i / ${SIDE / 4};
      var v = vec4f(0);
      if (n0 + i32(c) < hi) { v = value(b * p.s + u32(n0) + c, folded, ${(chunk * SIDE) / 4} + i % ${SIDE / 4}); }
      right[c * ${wide} + i % ${SIDE / 4}] = vec4<${type}>(v);
    }
    workgroupBarrier();
    for (var i = 0u; i < ${SIDE}; i += ${K}) {
      let l = ${load("left", K, M, "row_major", "weights", `y * ${wide} + i / 4`, wide)};
${times(blocks, (j) => `      o${chunk * blocks + j} = subgroupMatrixMultiplyAccumulate(l, ${load("right", N, K, "row_major", "right", `i * ${wide} + (x + ${j * N}) / 4`, wide)}, o${chunk * blocks + j});`)}
    }`,
)}
  }
${times(
  chunks * blocks,
  (j) => `  workgroupBarrier();
  subgroupMatrixStore<row_major>(&scores, own * ${M * N}, o${j}, ${N});
  workgroupBarrier();
  for (var i = subgroup_thread; i < mine; i += subgroup_threads) {
    let row = row_at(tile, folded, y + i / ${N});
    let column = column_of(${Math.floor(j / blocks) * SIDE + (j % blocks) * N} + x + i % ${N});
    let to = ((b * p.t + row.query) * ${h} + row.head)${pieces ? " * p.pieces + piece" : ""};
    if (row.there && column < ${columns}) {
      out[p.out_at + to * ${stride} + column] = scores[own * ${M * N} + i] * factors[y + i / ${N}];
    }
  }`,
)}
}`;
}
