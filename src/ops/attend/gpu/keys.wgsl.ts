import type { Shader } from "../../../device/gpu/shader.ts";
import { type Backward, classOf, SPENT } from "./backward.wgsl.ts";
import { columnsOf, productsCode } from "./columns.wgsl.ts";
import { stageCode } from "./forward.wgsl.ts";
import type { Reading } from "./read.wgsl.ts";
import { callNumbers, HIDDEN, lanesOf, SEEN, shaderOf, THREADS, visibleCode } from "./tile.wgsl.ts";

/**
 * The gradients of keys and values: rows of keys stay, queries and the output's gradient are staged; each thread sums its columns of
 * dS q and P g. Groups of heads that share a key each fill a copy of its gradient; `copies` adds these up. Where a stick is broken a
 * workgroup has a segment of the keys, newest first, and goes on from what is left of the stick at its newest end.
 */
export function keysShader(of: Backward, reading: Reading): Shader {
  return shaderOf("attendKeys", classOf(of, reading), () => ({
    reads: reading.reads,
    writes: {
      ...Object.fromEntries(of.wanted.map((i) => [`d${i}`, "f32" as const])),
      ...(of.call.stick ? { left: "f32" as const } : {}),
    },
    numbers: {
      ...reading.numbers,
      ...callNumbers,
      tiles: "i32",
      all: "u32",
      segment: "i32",
      rows: "u32",
      batch: "u32",
    },
    code: () => codeOf(of, reading),
  }));
}

function codeOf(of: Backward, reading: Reading): string {
  const { call, tile, m, queries, keys, values, gout, wanted } = of;
  const { stick, chosen, start, causal, window, h } = call;
  const { own, staged, parts } = tile;
  const { lanes, slices, width } = lanesOf([...queries, ...gout], of.most);
  const [rows, pairs, block, n] = [4 * own, 4 * staged * own, 4 * staged, keys.length];
  const operands = [...keys, ...values];
  const columns = columnsOf(
    wanted.map((i) => {
      const { g, e } = operands[i]!;
      const shared = h / m / g;
      const copy = shared > 1 ? `folded % ${shared} * p.batch * p.s + ` : "";
      return {
        lane: lanes[i]!,
        weight: `${i < n ? "scores" : "weights"}[c * ${own} + rb]`,
        buffer: `d${i}`,
        to: `p.d${i}_at + ((${copy}b * p.s + u32(key + r)) * ${g} + folded / ${shared}) * ${e}`,
      };
    }),
    own,
  );
  const listed = chosen?.shape[1];
  const among = `fn among(row: u32, key: i32) -> bool {
  var low = 0u;
  var high = ${listed}u;
  while (low < high) {
    let middle = (low + high) / 2;
    if (i32(chosen(row * ${listed} + middle)) < key) { low = middle + 1; } else { high = middle; }
  }
  return low < ${listed} && i32(chosen(row * ${listed} + min(low, ${(listed ?? 1) - 1}))) == key;
}`;
  const weigh = stick
    ? `scores[i] = select(vec4f(${HIDDEN}), x * p.scale, seen);
      weights[i] = y;`
    : `let w = select(vec4f(0), exp(x * p.scale - lse(to)), seen);
      weights[i] = w;
      scores[i] = w * select(vec4f(0), y - delta(to), seen) * p.scale;`;
  const all = Array.from({ length: slices }, (_, i) => i);
  const stage = (slice: number) =>
    stageCode(
      lanes.filter((lane) => lane.slice === slice),
      staged,
      width,
      `let n = u32(n0) + c;
      let there = n < u32(hi);
      let row = b * p.t + n / ${m};`,
      () => `folded * ${m} + n % ${m}`,
    );
  /** Products of the keys and values with what is staged of queries and of the output's gradient. */
  const multiply = (slice: number) =>
    operands
      .map(({ name, g }, i) => {
        const row = `${name}(b * p.s + u32(min(key + r, i32(p.s) - 1)), folded / ${h / m / g}, i)`;
        return lanes[i]!.slice === slice ? productsCode(i < n ? "s" : "d", lanes[i]!, width, parts, row) : "";
      })
      .join("\n        ");
  // A thread has the same rows in every tile of its segment, so what it leaves is its own.
  const breaking = `workgroupBarrier();
      if (thread < ${block} && n0 + i32(thread) < hi) {
        let row = u32(n0) + thread;
        let to = (b * p.t + row / ${m}) * ${h} + folded * ${m} + row % ${m};
        let at = p.left_at + u32(last / p.segment) * 2 * p.rows + 2 * to;
        let place = i32(row / ${m}) + p.offset;
        var stick = left[at];
        var rest = left[at + 1];
        for (var r = ${rows - 1}; r >= 0; r--) {
          let i = thread * ${own} + u32(r / 4);
          let z = scores[i][r % 4];
          let u = exp(-abs(z));
          let share = select(u, 1.0, z >= 0) / (1 + u);
          let seen = z > ${SEEN};
          let w = select(0.0, stick * share, seen);
          let gain = select(0.0, w * weights[i][r % 4], seen);
          scores[i][r % 4] = select(0.0, (gain - share * rest) * p.scale, seen && stick >= ${SPENT});
          ${stick?.remainder ? "weights[i][r % 4] = w + select(0.0, lse(to), base + r == place && place >= first);" : "weights[i][r % 4] = w;"}
          rest -= gain;
          stick *= select(1.0, select(1.0, u, z >= 0) / (1 + u), seen);
        }
        left[at] = stick;
        left[at + 1] = rest;
      }`;
  return `${reading.code}
${visibleCode(call)}
${chosen ? among : ""}
var<workgroup> held: array<vec4f, ${block * width}>;
var<workgroup> sums: array<vec4f, ${pairs * parts}>;
var<workgroup> gains: array<vec4f, ${pairs * parts}>;
var<workgroup> weights: array<vec4f, ${pairs}>;
var<workgroup> scores: array<vec4f, ${pairs}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
  let number = line(group, groups);
  if (number >= p.all) { return; }
  let segment = i32(number) % p.tiles;
  let folded = number / u32(p.tiles) % ${h / m};
  let b = number / u32(p.tiles) / ${h / m};
  let rb = thread % ${own};
  let cb = thread / ${own} % ${staged};
  let part = thread / ${own * staged};
  let first = ${start ? "max(0, i32(start(b)))" : "0"};
  let oldest = segment * p.segment;
  let last = min(oldest + p.segment, (i32(p.s) + ${rows - 1}) / ${rows} * ${rows}) - 1;
  for (var base = last + 1 - ${rows}; base >= oldest; base -= ${rows}) {
    let key = base + 4 * i32(rb);
    let lowest = ${causal ? "max(0, base - p.offset)" : "0"};
    let highest = ${window ? `min(i32(p.t), base + ${rows - 1} + p.window - p.offset)` : "i32(p.t)"};
    let lo = lowest * ${m} / ${block} * ${block};
    let hi = highest * ${m};
    ${columns.declare}
    for (var n0 = lo; n0 < hi; n0 += ${block}) {
      var s = array<vec4f, 4>();
      var d = array<vec4f, 4>();
      ${all.map((slice) => `${stage(slice)}\n      workgroupBarrier();\n      if (part < ${parts}) { ${multiply(slice)} }`).join("\n      workgroupBarrier();\n      ")}
      if (part < ${parts}) {
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
        let n = u32(n0) + i / ${own};
        let query = min(n / ${m}, p.t - 1);
        let to = (b * p.t + query) * ${h} + folded * ${m} + n % ${m};
        let place = i32(query) + p.offset;
        var seen = vec4<bool>();
        for (var r = 0; r < 4; r++) {
          seen[r] = n < u32(hi) && key + r < i32(p.s) && visible(key + r, place, first)${chosen ? " && among(b * p.t + query, key + r)" : ""};
        }
        ${weigh}
      }
      ${stick ? breaking : ""}
      workgroupBarrier();
      ${all
        .toReversed()
        .map(
          (slice) => `${slice < slices - 1 ? `${stage(slice)}\n      workgroupBarrier();` : ""}
      for (var c = 0u; c < ${block}; c++) {
        ${columns.add(`c * ${width}`, slice)}
      }
      workgroupBarrier();`,
        )
        .join("\n      ")}
    }
    ${columns.store("key + r < i32(p.s)", "1.0")}
  }
}`;
}
