import type { Constants, Shader } from "../../device/gpu/shader.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import { expertCode } from "../expert/visit.wgsl.ts";
import { weightCode, weightNumbers } from "../packed/weight.wgsl.ts";
import { loopCode, loopNumbers } from "./loops.wgsl.ts";

/** Places of the summed loops in a tile. */
export const DEPTH = 16;
/** Vectors of four of them, and one more, so that neighbouring threads read other banks. */
const PITCH = DEPTH / 4 + 1;

/** Bytes of shared memory that a tile of this size takes. */
export const tileBytes = (rows: number, columns: number) => (rows + columns) * PITCH * 16;

export const lines = (count: number, line: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => line(i)).join("\n");

/**
 * A tile of ROWS x COLUMNS of the result by a workgroup, a thread having EACH x EACH of it, every so many apart: neighbouring threads
 * write neighbouring columns. Both operands lie in shared memory as vectors along the summed loop, which is how most lie in
 * memory. A_DOWN, B_DOWN: neighbours in memory are rows of a (columns of b), else places of the summed loop. FOURS: b's numbers
 * are unpacked four at a time. The summed loops may be cut into `parts` of `share` places, with a result each, `size` apart. VISITS: rows of a and c are entries of experts, which end where `ends` says, and a batch is an expert.
 */
export const tile: Shader = {
  name: "contract tile",
  reads: { a: "f32", b: "u32", ends: "f32" },
  writes: { c: "f32" },
  numbers: {
    batches: "u32",
    rows: "u32",
    columns: "u32",
    depth: "u32",
    add: "u32",
    before: "u32",
    parts: "u32",
    share: "u32",
    size: "u32",
    ...weightNumbers,
    ...loopNumbers,
  },
  code(constants) {
    const { ROWS, COLUMNS, EACH, FORMAT, VISITS } = constants as Record<string, number>;
    const [across, down] = [COLUMNS! / EACH!, ROWS! / EACH!];
    return /* wgsl */ `
${weightCode(FORMAT as unknown as PackedFormat)}
${loopCode(constants)}
${VISITS ? expertCode : ""}
var<workgroup> left: array<vec4f, ${ROWS! * PITCH}>;
var<workgroup> right: array<vec4f, ${COLUMNS! * PITCH}>;
${frameCode(constants)}
${loadPlaces(constants)}
${lines(EACH! * EACH!, (i) => `  var sum${i} = 0.0;`)}
  for (var start = begin; start < end; start += ${DEPTH}) {
    workgroupBarrier();
${loads(constants)}
    workgroupBarrier();
    for (var i = 0u; i < ${DEPTH / 4}; i++) {
${lines(EACH!, (r) => `      let l${r} = left[(y + ${r * down}) * ${PITCH} + i];`)}
${lines(
  EACH!,
  (j) => `      let r${j} = right[(x + ${j * across}) * ${PITCH} + i];
${lines(EACH!, (r) => `      sum${r * EACH! + j} += dot(l${r}, r${j});`)}`,
)}
    }
  }
${storeCode(constants)}
}
${numberCode}
${putCode}`;
  },
};

/** WGSL of a main function's beginning: which tile of which product a workgroup has, and which of its rows and columns a thread. */
export function frameCode(constants: Constants): string {
  const { ROWS, COLUMNS, EACH } = constants as Record<string, number>;
  const [across, down] = [COLUMNS! / EACH!, ROWS! / EACH!];
  return `@compute @workgroup_size(${across * down})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) thread: u32) {
${placeCode(constants)}
  let x = thread % ${across};
  let y = thread / ${across};`;
}

/** WGSL of which tile of which product, or of which expert's entries, workgroup `line(group, groups)` has, and which part of the sum. */
export const placeCode = (constants: Constants) => `  let id = line(group, groups);
  let over = (p.columns + ${(constants.COLUMNS as number) - 1}) / ${constants.COLUMNS};
${constants.VISITS ? visiting(constants) : batched(constants)}
  let base = batch_at(batch);
  let begin = part * p.share;
  let end = min(p.depth, begin + p.share);`;

/** WGSL of a number of b: a row's, and a column's along it. */
export const numberCode = "fn number(at: vec4u) -> f32 { return weight(p.b_at + at.y, at.z); }";

/** Puts a thread's sums where they belong. */
export function storeCode(constants: Constants): string {
  const { ROWS, COLUMNS, EACH } = constants as Record<string, number>;
  const [across, down] = [COLUMNS! / EACH!, ROWS! / EACH!];
  return `${lines(EACH!, (r) => `  let row${r} = top + y + ${r * down};\n  let at${r} = part * p.size + base.w + m_at(row${r}).w;`)}
${lines(
  EACH!,
  (j) => `  { let column = first + x + ${j * across};
    if (column < p.columns) {
      let n = n_at(column).w;
${lines(EACH!, (r) => `      if (row${r} < bottom) { put(at${r} + n, sum${r * EACH! + j}); }`)}
    }
  }`,
)}`;
}

/** WGSL of how a sum is put there. */
export const putCode = `fn put(at: u32, sum: f32) {
  let place = p.c_at + at;
  if (p.add != 0) { c[place] += sum; } else { c[place] = sum; }
}`;

/** Which tile of which product. */
const batched = ({ ROWS, COLUMNS }: Constants) => `  let high = (p.rows + ${(ROWS as number) - 1}) / ${ROWS};
  let product = id / (high * over);
  if (product >= p.batches * p.parts) { return; }
  let batch = product % p.batches;
  let part = product / p.batches;
  let top = (id % high) * ${ROWS};
  let first = ((id / high) % over) * ${COLUMNS};
  let bottom = p.rows;`;

/** Which tile of which expert's entries: none where there are fewer of them than there might be. */
const visiting = ({ ROWS, COLUMNS }: Constants) => `  let found = tile_of(id / over, ${ROWS});
  if (found.x == p.batches) { return; }
  let batch = found.x;
  let part = 0u;
  let top = found.y;
  let bottom = found.z;
  let first = (id % over) * ${COLUMNS};`;

/** Vectors that each thread brings of an operand, and where in the tile the first lies and how far apart they are. */
function shareOf(constants: Constants, side: number, alongK: boolean) {
  const { ROWS, COLUMNS, EACH, THREADS } = constants as Record<string, number>;
  const threads = THREADS ?? (ROWS! * COLUMNS!) / EACH! ** 2;
  const count = (side * (DEPTH / 4)) / threads;
  return alongK
    ? { count, k: `thread % ${DEPTH / 4}`, at: `thread / ${DEPTH / 4}`, stepK: 0, step: threads / (DEPTH / 4) }
    : { count, k: `thread / ${side}`, at: `thread % ${side}`, stepK: threads / side, step: 0 };
}

const left = (constants: Constants) => shareOf(constants, constants.ROWS as number, !constants.A_DOWN);
const right = (constants: Constants) => shareOf(constants, constants.COLUMNS as number, !constants.B_DOWN);

/** Where the rows and columns lie that a thread brings: the same for all steps along the summed loops. */
export function loadPlaces(constants: Constants): string {
  const [a, b] = [left(constants), right(constants)];
  return `  let rowA = ${a.at};
  let kA = ${a.k};
  let columnB = ${b.at};
  let kB = ${b.k};
${lines(a.step ? a.count : 1, (i) => `  let a${i} = p.a_at + base.x + m_at(top + rowA + ${i * a.step}).x;`)}
${lines(b.step ? b.count : 1, (i) => `  let b${i} = base + n_at(first + columnB + ${i * b.step});`)}`;
}

/** Brings a step's vectors of both operands, `pitch` of them a row, as the numbers of which a tile is made. */
export function loads(constants: Constants, pitch = PITCH, made = (v: string) => v): string {
  const [a, b] = [left(constants), right(constants)];
  const four = (name: string, read: (j: number) => string, k: string, inside: string) =>
    `      var v = vec4f(0);
${lines(4, (j) => `      if (${inside} && ${k} + ${j} < p.depth) { v.${"xyzw"[j]} = ${read(j)}; }`)}
      ${name}`;
  const ofA = lines(a.count, (i) => {
    const [row, k, at] = [`rowA + ${i * a.step}`, `start + 4 * (kA + ${i * a.stepK})`, `a${a.step ? i : 0}`];
    const store = `left[(${row}) * ${pitch} + kA + ${i * a.stepK}] = ${made("v")};`;
    return `    { let k = ${k};
${four(store, (j) => `a[${at} + k_at(k + ${j}).x]`, "k", `top + ${row} < bottom`)}
    }`;
  });
  const ofB = lines(b.count, (i) => {
    const [column, k] = [`columnB + ${i * b.step}`, `start + 4 * (kB + ${i * b.stepK})`];
    const at = `b${b.step ? i : 0}`;
    const store = `right[(${column}) * ${pitch} + kB + ${i * b.stepK}] = ${made("v")};`;
    const inside = `first + ${column} < p.columns`;
    if (constants.FOURS)
      return `    { let k = ${k};
      var v = vec4f(0);
      if (${inside} && k < p.depth) { v = four(p.b_at + ${at}.y, k / 4); }
      ${store}
    }`;
    const read = (j: number) => `number(${at} + k_at(k + ${j}))`;
    return `    { let k = ${k};
${four(store, read, "k", inside)}
    }`;
  });
  return `${ofA}\n${ofB}`;
}
