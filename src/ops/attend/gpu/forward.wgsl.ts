import type { Shader } from "../../../device/gpu/shader.ts";
import type { AttendCall } from "../index.ts";
import { type Chooses, choosingCode, chosenFrom, chosenTo, pickedAt } from "./choosing.wgsl.ts";
import { columnsOf, productsCode } from "./columns.wgsl.ts";
import type { Reading, Rows } from "./read.wgsl.ts";
import {
  callNumbers,
  HIDDEN,
  type Lane,
  lanesOf,
  NOTHING,
  SEEN,
  shaderOf,
  THREADS,
  type Tile,
  visibleCode,
} from "./tile.wgsl.ts";

/** What a class of calls has in common. */
export interface Forward {
  readonly call: AttendCall;
  readonly tile: Tile;
  /** Heads folded into rows. */
  readonly m: number;
  readonly queries: readonly Rows[];
  readonly keys: readonly Rows[];
  readonly values: readonly Rows[];
  /** Whether results are of pieces of the keys, which are merged later, and whether `lse` is wanted. */
  readonly pieces: boolean;
  readonly lse: boolean;
  /** Whether sequences differ in length: `lengths` has that of each, and `s` is how many rows lie between their first ones. */
  readonly each?: boolean | undefined;
  /** Keys of a piece at most, where a workgroup chooses them itself (`choosing.wgsl.ts`), and whether by those before each query. */
  readonly chooses?: Chooses | undefined;
}

/** Rows of a tile as queries and heads. Where keys are chosen all rows of a tile are of one query. */
export function rowsCode({ call, tile, m }: Pick<Forward, "call" | "tile" | "m">): string {
  const own = 4 * tile.own;
  const place = call.chosen
    ? `let within = (tile % ${Math.ceil(m / own)}) * ${own} + r;
  return Row(tile / ${Math.ceil(m / own)}, folded * ${m} + min(within, ${m - 1}u), within < ${m});`
    : `let row = tile * ${own} + r;
  return Row(min(row / ${m}, p.t - 1), folded * ${m} + row % ${m}, row < p.t * ${m});`;
  return `struct Row { query: u32, head: u32, there: bool }
fn row_at(tile: u32, folded: u32, r: u32) -> Row {
  ${place}
}`;
}

/** WGSL of what a number stands for, pieces of a tile one after the other: which piece, tile, group of heads and sequence, and how long that is. */
export const placeCode = ({
  call: { h },
  m,
  each,
}: Pick<Forward, "call" | "m" | "each">) => `let piece = number % p.pieces;
  let tile = number / p.pieces % p.tiles;
  let folded = number / p.pieces / p.tiles % ${h / m};
  let b = number / p.pieces / p.tiles / ${h / m};
  let length = ${each ? "lengths[p.lengths_at + b]" : "i32(p.s)"};
  let offset = length - i32(p.t);`;

/** Tiles of a sequence and group of heads. */
export function tilesOf({ call, tile, m }: Pick<Forward, "call" | "tile" | "m">): number {
  const own = 4 * tile.own;
  return call.chosen ? call.t * Math.ceil(m / own) : Math.ceil((call.t * m) / own);
}

/** WGSL that stages rows of the lanes: row `n` of the tile's, `key` the row to read, or zeros where it is not `there`. */
export function stageCode(
  lanes: readonly Lane[],
  staged: number,
  width: number,
  row: string,
  group: (rows: Rows) => string,
) {
  return [...new Set(lanes)]
    .map(
      ({ rows, fours, at }) => `for (var i = thread; i < ${4 * staged * fours}; i += ${THREADS}) {
      let c = i / ${fours};
      ${row}
      var x = vec4f(0);
      if (there) { x = ${rows.name}(row, ${group(rows)}, i % ${fours}); }
      held[c * ${width} + ${at} + i % ${fours}] = x;
    }`,
    )
    .join("\n    ");
}

/**
 * Attention of a tile of rows over a range of keys. Keys and values are staged a few at a time; products are summed over parts of the
 * width by several threads; then every thread has weights of four rows, and its own columns of the result in registers. The
 * maximum is kept as the softmax goes on (Milakov and Gimelshein 2018); a stick goes from the newest keys back.
 */
export function forwardShader(of: Forward, reading: Reading): Shader {
  const { call, tile, m, pieces, lse, each, chooses } = of;
  const { stick, chosen, sinks, start, causal, window, h, terms, values } = call;
  const key = JSON.stringify([
    reading.key,
    !!each,
    tile,
    m,
    pieces,
    lse,
    h,
    !!start,
    !!sinks,
    chosen?.shape[1],
    stick,
    causal,
    !!window,
    chooses,
  ]);
  return shaderOf("attend", `${key} ${terms.map(({ k }) => values.findIndex(({ v }) => v === k))}`, () => ({
    reads: { ...reading.reads, ...(each ? { lengths: "i32" as const } : {}), ...(chooses && chosenFrom) },
    writes: { out: "f32", ...(lse ? { lse: "u32" } : {}), ...(chooses && chosenTo) },
    numbers: { ...reading.numbers, ...callNumbers, tiles: "u32", pieces: "u32", per: "i32", all: "u32" },
    code: () => codeOf(of, reading),
  }));
}

function codeOf(of: Forward, reading: Reading): string {
  const { call, tile, m, queries, keys, values, pieces, lse, chooses } = of;
  const { stick, chosen, sinks, start, causal, window, h } = call;
  const { own, staged, parts } = tile;
  const { lanes, width } = lanesOf([...keys, ...values]);
  const valueLanes = lanes.slice(keys.length);
  const wide = values.reduce((sum, { e }) => sum + e, 0);
  const [group, rows] = [(g: number) => `folded / ${h / m / g}`, 4 * own];
  const stride = pieces ? wide + 2 : wide;
  // Where a stick is cut up, its own value row goes along behind the pieces: what it gets is known only once they are merged.
  const slots = stick?.remainder ? "(p.pieces + 1)" : "p.pieces";
  const columns = columnsOf(
    valueLanes.map((lane, i) => ({
      lane,
      weight: stick ? "weight" : `weights[c * ${own} + rb]`,
      buffer: "out",
      to: `p.out_at + to[r] * ${stride} + ${values.slice(0, i).reduce((sum, { e }) => sum + e, 0)}`,
    })),
    own,
  );
  const each = (code: (r: number) => string, by = "\n  ") => [0, 1, 2, 3].map(code).join(by);
  const lower = window ? "max(first, i32(row_at(tile, folded, 0).query) + offset - p.window + 1)" : "first";
  const upper = causal ? `min(length, i32(row_at(tile, folded, ${rows - 1}).query) + offset + 1)` : "length";
  const listed = chosen?.shape[1];
  const keyOf = (n: string) =>
    chooses ? pickedAt(n, chooses) : chosen ? `i32(chosen((b * p.t + query) * ${listed} + u32(${n})))` : n;
  const softmax = `var top = most;
    for (var c = 0u; c < ${4 * staged}; c++) { top = max(top, scores[c * ${own} + rb]); }
    let shrink = exp(most - top);
    most = top;
    total *= shrink;
    ${columns.scale("shrink")}
    for (var i = thread; i < ${4 * staged * own}; i += ${THREADS}) {
      let x = scores[i];
      weights[i] = select(exp(x - top), vec4f(0), x < vec4f(${SEEN}));
    }
    workgroupBarrier();
    for (var c = 0u; c < ${4 * staged}; c++) {
      total += weights[c * ${own} + rb];
      ${columns.add(`c * ${width}`)}
    }`;
  const breaking = `for (var i = thread; i < ${4 * staged * own}; i += ${THREADS}) {
      let z = scores[i];
      let u = exp(-abs(z));
      let seen = z > vec4f(${SEEN});
      shares[i] = select(vec4f(0), select(u, vec4f(1), z >= vec4f(0)) / (1 + u), seen);
      scores[i] = select(vec4f(1), select(vec4f(1), u, z >= vec4f(0)) / (1 + u), seen);
    }
    workgroupBarrier();
    for (var n = 0u; n < ${4 * staged}; n++) {
      let c = ${4 * staged - 1} - n;
      let weight = total * shares[c * ${own} + rb];
      total *= scores[c * ${own} + rb];
      ${columns.add(`c * ${width}`)}
    }`;
  const finishSoftmax = `${
    sinks
      ? `let sink = vec4f(${each((r) => `sinks(rows[${r}].head)`, ", ")});
  let peak = max(most, sink);
  let kept = exp(most - peak);
  let whole = total * kept + exp(sink - peak);
  let factor = kept / whole;`
      : `let peak = most;
  let whole = total;
  let factor = select(1 / total, vec4f(0), total == vec4f(0));`
  }
  let logs = select(bitcast<vec4u>(peak + log(whole)), vec4u(${NOTHING}), whole == vec4f(0));`;
  const rest = (weight: string) =>
    columns.visit(
      ({ lane: { rows } }, result) => `for (var r = 0; r < 4; r++) {
      if (rows[r].there && places[r] >= first) {
        ${result} += ${weight} * ${rows.name}(b * p.s + u32(places[r]), ${group(rows.g)}, x);
      }
    }`,
    );
  // What is left goes to the value row of the query itself.
  const finishStick = `${stick?.remainder ? rest("total[r]") : ""}
  let factor = vec4f(1);
  let logs = bitcast<vec4u>(total);`;
  const finishPiece = `if (piece + 1 == p.pieces) {
    ${columns.clear}
    ${rest("1.0")}
    to += vec4u(1);
    ${columns.store("rows[r].there", "1.0")}
  }`;
  const steps = stick
    ? `for (var n0 = lo + (hi - 1 - lo) / ${4 * staged} * ${4 * staged}; n0 >= lo && lo < hi; n0 -= ${4 * staged})`
    : `for (var n0 = lo; n0 < hi; n0 += ${4 * staged})`;
  return `${reading.code}
${rowsCode(of)}
${visibleCode(call)}
${chooses ? choosingCode(chooses, listed!) : ""}
var<workgroup> held: array<vec4f, ${4 * staged * width}>;
var<workgroup> sums: array<vec4f, ${4 * staged * own * parts}>;
var<workgroup> scores: array<vec4f, ${4 * staged * own}>;
var<workgroup> ${stick ? "shares" : "weights"}: array<vec4f, ${4 * staged * own}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.all) { return; }
  ${placeCode(of)}
  let rb = thread % ${own};
  let cb = thread / ${own} % ${staged};
  let part = thread / ${own * staged};
  var rows = array<Row, 4>();
  for (var r = 0u; r < 4; r++) { rows[r] = row_at(tile, folded, 4 * rb + r); }
  let places = vec4i(${each((r) => `i32(rows[${r}].query)`, ", ")}) + offset;
  let first = ${start ? "max(0, i32(start(b)))" : "0"};
  ${chosen ? "let query = row_at(tile, folded, 0).query;" : ""}
  let begin = i32(piece) * p.per;
  ${chooses ? `pick(b * p.t + query, begin, piece == 0, tile % ${Math.ceil(m / rows)} == 0 && folded == 0, thread);` : ""}
  let lo = max(begin, ${chosen ? "0" : `(${lower}) / ${4 * staged} * ${4 * staged}`});
  let hi = min(begin + p.per, ${chosen ? `${listed}` : upper});
  var total = vec4f(${stick ? 1 : 0});
  ${stick ? "" : `var most = vec4f(${HIDDEN});`}
  ${columns.declare}
  ${steps} {
    ${stageCode(
      lanes,
      staged,
      width,
      `let n = n0 + i32(c);
      var there = n < hi;
      ${chosen ? `let key = ${keyOf(`min(n, ${listed! - 1})`)}; there = there && key >= 0 && key < i32(p.s);` : "let key = n;"}
      let row = b * p.s + u32(key);`,
      ({ g }) => group(g),
    )}
    workgroupBarrier();
    if (part < ${parts}) {
      var s = array<vec4f, 4>();
      ${queries.map(({ name }, i) => productsCode("s", lanes[i]!, width, parts, `${name}(b * p.t + rows[r].query, rows[r].head, i)`)).join("\n      ")}
      for (var c = 0u; c < 4; c++) { sums[(part * ${4 * staged} + 4 * cb + c) * ${own} + rb] = s[c]; }
    }
    workgroupBarrier();
    for (var i = thread; i < ${4 * staged * own}; i += ${THREADS}) {
      var x = sums[i];
      for (var k = 1u; k < ${parts}; k++) { x += sums[k * ${4 * staged * own} + i]; }
      let n = n0 + i32(i / ${own});
      var there = n < hi;
      ${
        chosen
          ? `let key = ${keyOf(`min(n, ${listed! - 1})`)};
      there = there && key < i32(p.s)${chooses ? "" : ` && (n == 0 || ${keyOf(`max(0, min(n, ${listed! - 1}) - 1)`)} != key)`};`
          : "let key = n;"
      }
      var seen = vec4<bool>();
      for (var r = 0; r < 4; r++) { seen[r] = there && visible(key, places[r], first); }
      scores[i] = select(vec4f(${HIDDEN}), x * p.scale, seen);
    }
    workgroupBarrier();
    ${stick ? breaking : softmax}
    workgroupBarrier();
  }
  var to = vec4u();
  for (var r = 0; r < 4; r++) { to[r] = ((b * p.t + rows[r].query) * ${h} + rows[r].head)${pieces ? ` * ${slots} + piece` : ""}; }
  ${pieces ? "let factor = vec4f(1);" : stick ? finishStick : finishSoftmax}
  ${columns.store("rows[r].there", "factor[r]")}
  ${
    pieces
      ? `for (var r = 0; r < 4 && thread < ${own}; r++) {
    if (!rows[r].there) { continue; }
    out[p.out_at + to[r] * ${stride} + ${wide}] = ${stick ? "0" : "most[r]"};
    out[p.out_at + to[r] * ${stride} + ${wide + 1}] = total[r];
  }
  ${stick?.remainder ? finishPiece : ""}`
      : ""
  }
  ${lse ? `for (var r = 0; r < 4 && thread < ${own}; r++) { if (rows[r].there) { lse[p.lse_at + to[r]] = logs[r]; } }` : ""}
}`;
}
