import type { Shader } from "../../../device/gpu/shader.ts";
import type { AttendCall } from "../index.ts";
import { columnsOf, productsCode } from "./columns.wgsl.ts";
import { rowsCode, stageCode } from "./forward.wgsl.ts";
import type { Reading, Rows } from "./read.wgsl.ts";
import { callNumbers, lanesOf, shaderOf, THREADS, type Tile, visibleCode } from "./tile.wgsl.ts";

/** What a class of calls has in common on the way back. */
export interface Backward {
  readonly call: AttendCall;
  readonly tile: Tile;
  readonly m: number;
  readonly queries: readonly Rows[];
  readonly keys: readonly Rows[];
  readonly values: readonly Rows[];
  /** The output's gradient, as rows for each value. */
  readonly gout: readonly Rows[];
  /** Which gradients are wanted, by the numbers of terms (and then values). */
  readonly wanted: readonly number[];
  /** Fours of a slice of staged rows at most, where they are staged in slices. */
  readonly most?: number | undefined;
}

/** Below this share of a stick its gradient is 0: what newer keys took of D is only as exact as D. */
export const SPENT = "0x1p-22";

/** What tells classes of calls apart on the way back. */
export function classOf({ call, tile, m, wanted, most }: Backward, reading: Reading): string {
  const { stick, chosen, sinks, start, causal, window, h, terms, values } = call;
  const twins = terms.map(({ k }) => values.findIndex(({ v }) => v === k));
  return JSON.stringify([
    reading.key,
    tile,
    most,
    m,
    wanted,
    twins,
    h,
    !!start,
    !!sinks,
    chosen?.shape[1],
    stick,
    causal,
    !!window,
  ]);
}

export const each = (code: (r: number) => string, by = "\n  ") => [0, 1, 2, 3].map(code).join(by);

/**
 * The gradient of queries. As forwards: rows of queries stay, keys and values are staged. With P = exp(score - lse), computed anew,
 * dP = g v and dS = P (dP - D) (Dao et al. 2022, appendix B.2), each thread sums its columns of dS k. A stick goes from the newest
 * keys back, and leaves what is left of it, and of D, at the newest end of every segment of the keys.
 */
export function queriesShader(of: Backward, reading: Reading): Shader {
  return shaderOf("attendQueries", classOf(of, reading), () => ({
    reads: reading.reads,
    writes: {
      ...Object.fromEntries(of.wanted.map((i) => [`dq${i}`, "f32" as const])),
      ...(of.call.stick ? { left: "f32" as const } : {}),
    },
    numbers: { ...reading.numbers, ...callNumbers, tiles: "u32", all: "u32", segment: "i32", rows: "u32" },
    code: () => codeOf(of, reading),
  }));
}

function codeOf(of: Backward, reading: Reading): string {
  const { call, tile, m, queries, keys, values, gout, wanted } = of;
  const { stick, chosen, start, causal, window, h } = call;
  const { own, staged, parts } = tile;
  const { lanes, width } = lanesOf([...keys, ...values]);
  const [group, rows, pairs, block] = [(g: number) => `folded / ${h / m / g}`, 4 * own, 4 * staged * own, 4 * staged];
  const columns = columnsOf(
    wanted.map((i) => ({
      lane: lanes[i]!,
      weight: stick ? "weight" : `weights[c * ${own} + rb]`,
      buffer: `dq${i}`,
      to: `p.dq${i}_at + to[r] * ${keys[i]!.e}`,
    })),
    own,
  );
  const lower = window ? "max(first, i32(row_at(tile, folded, 0).query) + p.offset - p.window + 1)" : "first";
  const upper = causal ? `min(i32(p.s), i32(row_at(tile, folded, ${rows - 1}).query) + p.offset + 1)` : "i32(p.s)";
  const listed = chosen?.shape[1];
  const keyOf = (n: string) => (chosen ? `i32(chosen((b * p.t + query) * ${listed} + u32(${n})))` : n);
  const steps = stick
    ? `for (var n0 = lo + (hi - 1 - lo) / ${block} * ${block}; n0 >= lo && lo < hi; n0 -= ${block})`
    : `for (var n0 = lo; n0 < hi; n0 += ${block})`;
  const weigh = stick
    ? `let u = exp(-abs(x));
      let positive = x >= vec4f(0);
      shares[i] = select(vec4f(0), select(u, vec4f(1), positive) / (1 + u), seen);
      rests[i] = select(vec4f(1), select(vec4f(1), u, positive) / (1 + u), seen);
      weights[i] = select(vec4f(0), y, seen);`
    : `weights[i] = select(vec4f(0), exp(x - logs) * (y - delta4) * p.scale, seen);`;
  const marks = `if (thread < ${own} && (n0 + ${block} >= hi || (n0 + ${block}) % p.segment == 0)) {
      let at = p.left_at + u32(n0 / p.segment) * 2 * p.rows;
      for (var r = 0; r < 4; r++) {
        if (rows[r].there) { left[at + 2 * to[r]] = stick[r]; left[at + 2 * to[r] + 1] = rest[r]; }
      }
    }`;
  const sum = stick
    ? `for (var n = 0u; n < ${block}; n++) {
      let c = ${block - 1} - n;
      let share = shares[c * ${own} + rb];
      let gain = stick * share * weights[c * ${own} + rb];
      let weight = select((gain - share * rest) * p.scale, vec4f(0), stick < vec4f(${SPENT}));
      rest -= gain;
      stick *= rests[c * ${own} + rb];
      ${columns.add(`c * ${width}`)}
    }`
    : `for (var c = 0u; c < ${block}; c++) {
      ${columns.add(`c * ${width}`)}
    }`;
  return `${reading.code}
${rowsCode(of)}
${visibleCode(call)}
var<workgroup> held: array<vec4f, ${block * width}>;
var<workgroup> sums: array<vec4f, ${pairs * parts}>;
var<workgroup> gains: array<vec4f, ${pairs * parts}>;
var<workgroup> weights: array<vec4f, ${pairs}>;
${stick ? `var<workgroup> shares: array<vec4f, ${pairs}>;\nvar<workgroup> rests: array<vec4f, ${pairs}>;` : ""}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.all) { return; }
  let tile = number % p.tiles;
  let folded = number / p.tiles % ${h / m};
  let b = number / p.tiles / ${h / m};
  let rb = thread % ${own};
  let cb = thread / ${own} % ${staged};
  let part = thread / ${own * staged};
  var rows = array<Row, 4>();
  for (var r = 0u; r < 4; r++) { rows[r] = row_at(tile, folded, 4 * rb + r); }
  var to = vec4u();
  for (var r = 0; r < 4; r++) { to[r] = (b * p.t + rows[r].query) * ${h} + rows[r].head; }
  let places = vec4i(${each((r) => `i32(rows[${r}].query)`, ", ")}) + p.offset;
  let logs = vec4f(${each((r) => `lse(to[${r}])`, ", ")});
  let delta4 = vec4f(${each((r) => `delta(to[${r}])`, ", ")});
  ${stick ? "var stick = vec4f(1);\n  var rest = delta4;" : ""}
  let first = ${start ? "max(0, i32(start(b)))" : "0"};
  ${chosen ? "let query = row_at(tile, folded, 0).query;" : ""}
  let lo = ${chosen ? "0" : `(${lower}) / ${block} * ${block}`};
  let hi = ${chosen ? `${listed}` : upper};
  ${columns.declare}
  ${steps} {
    ${stick ? marks : ""}
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
      var d = array<vec4f, 4>();
      ${queries.map(({ name }, i) => productsCode("s", lanes[i]!, width, parts, `${name}(b * p.t + rows[r].query, rows[r].head, i)`)).join("\n      ")}
      ${gout.map(({ name }, i) => productsCode("d", lanes[keys.length + i]!, width, parts, `${name}(b * p.t + rows[r].query, rows[r].head, i)`)).join("\n      ")}
      for (var c = 0u; c < 4; c++) {
        let at = (part * ${block} + 4 * cb + c) * ${own} + rb;
        sums[at] = s[c];
        gains[at] = d[c];
      }
    }
    workgroupBarrier();
    for (var i = thread; i < ${pairs}; i += ${THREADS}) {
      var x = sums[i];
      var y = gains[i];
      for (var k = 1u; k < ${parts}; k++) { x += sums[k * ${pairs} + i]; y += gains[k * ${pairs} + i]; }
      x *= p.scale;
      let n = n0 + i32(i / ${own});
      var there = n < hi;
      ${
        chosen
          ? `let key = ${keyOf(`min(n, ${listed! - 1})`)};
      there = there && key < i32(p.s) && (n == 0 || ${keyOf(`max(0, min(n, ${listed! - 1}) - 1)`)} != key);`
          : "let key = n;"
      }
      var seen = vec4<bool>();
      for (var r = 0; r < 4; r++) { seen[r] = there && visible(key, places[r], first); }
      ${weigh}
    }
    workgroupBarrier();
    ${sum}
    workgroupBarrier();
  }
  ${columns.store("rows[r].there", "1.0")}
}`;
}
