import type { Traits } from "../../../device/gpu/adapter.ts";
import { mainOf, type Shader } from "../../../device/gpu/shader.ts";
import type { AttendCall } from "../index.ts";
import { type Forward, placeCode, rowsCode } from "./forward.wgsl.ts";
import type { Reading, Rows } from "./read.wgsl.ts";
import { callNumbers, HIDDEN, NOTHING, SEEN, shaderOf, visibleCode } from "./tile.wgsl.ts";

// Attention of a few rows by threads that know of each other: a subgroup, of whatever size, has some rows and a piece of the keys, its
// threads share the width of both, and nothing is staged. A software GPU takes most of its time for barriers, of which there are none.

/** Threads of a workgroup, whose subgroups have nothing in common. */
export const THREADS = 64;
/** Rows of a subgroup at most, and keys that it takes at a time. */
const [ROWS, KEYS] = [4, 4];
/** Rows of queries and heads with the same keys up to which this is worth it on a GPU: more share what is staged. */
const FEW = 16;

/** Rows of each subgroup, where subgroups suit the call: a processor that stands in for a GPU has nothing to stage for. */
export function rowsOf(
  { t, stick, chosen }: AttendCall,
  m: number,
  { subgroup, software }: Pick<Traits, "subgroup" | "software">,
): number | undefined {
  if (!subgroup || stick || (t * m > FEW && !software)) return undefined;
  return Math.min(ROWS, 2 ** Math.floor(Math.log2(chosen ? m : t * m)));
}

/** `least`: threads of a subgroup at least. */
export function fewShader(of: Forward, reading: Reading, least: number): Shader {
  const { call, tile, m, pieces, lse, each } = of;
  const { chosen, sinks, start, causal, window, h, terms, values } = call;
  const key = [reading.key, each, tile.own, m, pieces, lse, h, !!start, !!sinks, chosen?.shape[1], causal, !!window];
  const alike = terms.map(({ k }) => values.findIndex(({ v }) => v === k));
  return shaderOf("attendFew", JSON.stringify([key, alike, least]), () => ({
    reads: { ...reading.reads, ...(each ? { lengths: "i32" as const } : {}) },
    writes: { out: "f32", ...(lse ? { lse: "u32" } : {}) },
    numbers: { ...reading.numbers, ...callNumbers, tiles: "u32", pieces: "u32", per: "i32", all: "u32" },
    code: ({ SUBGROUP }) => codeOf(of, reading, least, SUBGROUP),
  }));
}

function codeOf(of: Forward, reading: Reading, least: number, SUBGROUP: unknown): string {
  const { call, tile, m, queries, keys, values, pieces, lse } = of;
  const { chosen, sinks, start, causal, window, h } = call;
  const rows = 4 * tile.own;
  const listed = chosen?.shape[1];
  const wide = values.reduce((sum, { e }) => sum + e, 0);
  const stride = pieces ? wide + 2 : wide;
  const group = ({ g }: Rows) => `folded / ${h / m / g}`;
  const fours = ({ e }: Rows) => Math.ceil(e / 4);
  /** Fours of a row that a thread has. */
  const slots = (row: Rows) => Math.ceil(fours(row) / least);
  const each = (code: (r: number) => string, by = "\n  ") => Array.from({ length: rows }, (_, r) => code(r)).join(by);
  const four = (code: (c: number) => string, by = ", ") => Array.from({ length: KEYS }, (_, c) => code(c)).join(by);
  /** Goes over a thread's part of a row: `x` is the four of the row, `j` that of the thread. */
  const along = (row: Rows, code: string) => `for (var j = 0u; j < ${slots(row)}; j++) {
    let x = j * subgroup_threads + subgroup_thread;
    if (x < ${fours(row)}) {
      ${code}
    }
  }`;
  const lower = window ? "max(first, i32(row0.query) + offset - p.window + 1)" : "first";
  const upper = causal ? `min(length, i32(row${rows - 1}.query) + offset + 1)` : "length";
  const keyAt = (n: string) => (chosen ? `i32(chosen((b * p.t + row0.query) * ${listed} + u32(${n})))` : n);
  const seen = (c: number, r: number) => `there${c} && visible(key${c}, i32(row${r}.query) + offset, first)`;
  const key = (c: number) => `let n${c} = min(n0 + ${c}, hi - 1);
    let key${c} = ${keyAt(`n${c}`)};
    let there${c} = n0 + ${c} < hi${chosen ? ` && key${c} >= 0 && key${c} < i32(p.s) && (n${c} == 0 || ${keyAt(`max(n${c}, 1) - 1`)} != key${c})` : ""};
    let at${c} = b * p.s + u32(clamp(key${c}, 0, i32(p.s) - 1));`;
  const ends = sinks
    ? `let sink = sinks(row.head);
    let peak = max(most, sink);
    let whole = total * exp(most - peak) + exp(sink - peak);
    let factor = exp(most - peak) / whole;`
    : `let peak = most;
    let whole = total;
    let factor = select(1 / total, 0.0, total == 0);`;
  const finish = (r: number) => `if (row${r}.there) {
    let row = row${r};
    let most = most${r};
    let total = total${r};
    ${pieces ? "let factor = 1.0;" : ends}
    let to = ((b * p.t + row.query) * ${h} + row.head)${pieces ? " * p.pieces + piece" : ""};
    ${values
      .map((value, i) => {
        const from = values.slice(0, i).reduce((sum, { e }) => sum + e, 0);
        return along(
          value,
          `let y = factor * o${i}[${rows} * j + ${r}];
      for (var k = 0u; k < min(4, ${value.e} - 4 * x); k++) { out[p.out_at + to * ${stride} + ${from} + 4 * x + k] = y[k]; }`,
        );
      })
      .join("\n    ")}
    if (subgroup_thread == 0) {
      ${pieces ? `out[p.out_at + to * ${stride} + ${wide}] = most;\n      out[p.out_at + to * ${stride} + ${wide + 1}] = total;` : ""}
      ${lse ? `lse[p.lse_at + to] = select(bitcast<u32>(peak + log(whole)), ${NOTHING}, whole == 0);` : ""}
    }
  }`;
  return `${reading.code}
${rowsCode(of)}
${visibleCode(call)}
${mainOf(THREADS, SUBGROUP)}
  let number = line(group, groups) * subgroup_count + subgroup_number;
  if (number >= p.all || thread >= ${THREADS}) { return; }
  ${placeCode(of)}
  ${each((r) => `let row${r} = row_at(tile, folded, ${r});`)}
  let first = ${start ? "max(0, i32(start(b)))" : "0"};
  let begin = i32(piece) * p.per;
  let lo = max(begin, ${chosen ? "0" : lower});
  let hi = min(begin + p.per, ${chosen ? `${listed}` : upper});
  ${queries
    .map(
      (query, i) => `var asked${i} = array<vec4f, ${rows * slots(query)}>();
  ${along(
    query,
    each((r) => `asked${i}[${rows} * j + ${r}] = ${query.name}(b * p.t + row${r}.query, row${r}.head, x);`, "\n      "),
  )}`,
    )
    .join("\n  ")}
  ${values.map((value, i) => `var o${i} = array<vec4f, ${rows * slots(value)}>();`).join("\n  ")}
  ${each((r) => `var most${r} = f32(${HIDDEN});\n  var total${r} = 0.0;`)}
  // All threads of a subgroup go the same way.
  @diagnostic(off, subgroup_uniformity) for (var n0 = lo; n0 < hi; n0 += ${KEYS}) {
    ${four(key, "\n    ")}
    ${each((r) => `var s${r} = vec4f(0);`, "\n    ")}
    ${queries
      .map((query, i) =>
        along(
          query,
          `${four((c) => `let other${c} = ${keys[i]!.name}(at${c}, ${group(keys[i]!)}, x);`, "\n      ")}
      ${each((r) => `let own${r} = asked${i}[${rows} * j + ${r}];\n      s${r} += vec4f(${four((c) => `dot(own${r}, other${c})`)});`, "\n      ")}`,
        ),
      )
      .join("\n    ")}
    ${each(
      (r) => `s${r} = select(vec4f(${HIDDEN}), subgroupAdd(s${r}) * p.scale, vec4<bool>(${four((c) => seen(c, r))}));
    let top${r} = max(most${r}, max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w)));
    let shrink${r} = exp(most${r} - top${r});
    let w${r} = select(exp(s${r} - top${r}), vec4f(0), s${r} < vec4f(${SEEN}));
    total${r} = total${r} * shrink${r} + dot(w${r}, vec4f(1));
    most${r} = top${r};`,
      "\n    ",
    )}
    ${values
      .map((value, i) =>
        along(
          value,
          `let v = mat4x4f(${four((c) => `${value.name}(at${c}, ${group(value)}, x)`)});
      ${each((r) => `o${i}[${rows} * j + ${r}] = o${i}[${rows} * j + ${r}] * shrink${r} + v * w${r};`, "\n      ")}`,
        ),
      )
      .join("\n    ")}
  }
  ${each(finish)}
}`;
}
