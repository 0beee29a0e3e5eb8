import { packedGeometry } from "../../device/gpu/geometry.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Axis, lettersOf, type Plan, strides } from "./plan.ts";

/**
 * A loop of a contraction as a GPU runs it. What `b` reads lies in rows: `b` is the step among them in 4-byte words, `column` that
 * along a row in numbers. A plain tensor is one whose axis of neighbours runs along the rows.
 */
export interface Loop extends Axis {
  readonly column: number;
}

/** The loops of each kind, outermost first. */
export interface Loops {
  readonly batch: readonly Loop[];
  readonly m: readonly Loop[];
  readonly n: readonly Loop[];
  readonly k: readonly Loop[];
}

/** Kinds of loops in the order in which kernels are told them. */
export const KINDS = ["batch", "m", "n", "k"] as const;

/** The loops of a plan. Those of a packed b follow from how its axes lie in storage. */
export function loopsOf(plan: Plan, a: Pick<Tensor, "shape">, b: Tensor): Loops {
  const { packing } = b;
  if (!packing) {
    const plain = (axis: Axis): Loop => (axis.b === 1 ? { ...axis, b: 0, column: 1 } : { ...axis, column: 0 });
    return { batch: plan.batch.map(plain), m: plan.m.map(plain), n: plan.n.map(plain), k: plan.k.map(plain) };
  }
  const { la, lb, out, sizes } = lettersOf(plan.spec, a.shape, b.shape);
  const { words } = packedGeometry(b.shape, packing);
  const along = (axes: readonly number[]) =>
    strides(
      axes.map((axis) => lb[axis]!),
      sizes,
    );
  const [inA, inC, rows, columns] = [
    strides(la, sizes),
    strides(out, sizes),
    along(packing.rows),
    along(packing.columns),
  ];
  const loops: Record<keyof Loops, Loop[]> = { batch: [], m: [], n: [], k: [] };
  for (const letter of [...out, ...la.filter((l) => !out.includes(l))]) {
    const [ofA, ofB, ofC] = [la.includes(letter), lb.includes(letter), out.includes(letter)];
    const kind = ofA && ofB && ofC ? "batch" : ofB ? (ofC ? "n" : "k") : "m";
    loops[kind].push({
      size: sizes.get(letter)!,
      a: inA.get(letter) ?? 0,
      b: (rows.get(letter) ?? 0) * words,
      column: columns.get(letter) ?? 0,
      c: inC.get(letter) ?? 0,
    });
  }
  return { batch: join(loops.batch), m: join(loops.m), n: join(loops.n), k: join(loops.k) };
}

/** Loops of one place vanish; an outer loop that continues its neighbour everywhere joins it. */
function join(loops: readonly Loop[]): Loop[] {
  const result: Loop[] = [];
  for (const loop of loops) {
    if (loop.size === 1) continue;
    const outer = result.at(-1);
    const { size } = loop;
    if (outer && (["a", "b", "c", "column"] as const).every((of) => outer[of] === loop[of] * size))
      result[result.length - 1] = { ...loop, size: outer.size * size };
    else result.push(loop);
  }
  return result;
}

/** Places that nested loops visit. */
export function lengthOf(loops: readonly Loop[]): number {
  return loops.reduce((product, { size }) => product * size, 1);
}

/** Loops of one kind at most that kernels take. */
export const MOST = 3;

/** What a kernel is told of each loop: no more than its kind has. */
const steps = {
  batch: ["a", "b", "column", "c"],
  m: ["a", "c"],
  n: ["b", "column", "c"],
  k: ["a", "b", "column"],
} as const;

/** Numbers of a launch that tell a kernel the loops. */
export const loopNumbers: Readonly<Record<string, "u32">> = Object.fromEntries(
  KINDS.flatMap((kind) =>
    Array.from({ length: MOST }, (_, i) => ["size", ...steps[kind]].map((of) => [`${kind}${i}_${of}`, "u32"])).flat(),
  ),
);

/** Their values. */
export function numbersOf(loops: Loops): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const kind of KINDS)
    for (let i = 0; i < MOST; i++) {
      numbers[`${kind}${i}_size`] = loops[kind][i]?.size ?? 1;
      for (const of of steps[kind]) numbers[`${kind}${i}_${of}`] = loops[kind][i]?.[of] ?? 0;
    }
  return numbers;
}

/** How many loops of each kind there are, as constants of a shader. */
export function countsOf(loops: Loops): Record<(typeof KINDS)[number], number> {
  return { batch: loops.batch.length, m: loops.m.length, n: loops.n.length, k: loops.k.length };
}

/** WGSL: `batch_at(i)`, `m_at(i)`, ...: the steps of place i in a, in b, along b's row, and in c. */
export function loopCode(counts: Readonly<Record<string, unknown>>): string {
  return KINDS.map((kind) => {
    const count = counts[kind] as number;
    const lines = Array.from({ length: count }, (_, at) => {
      const i = count - 1 - at;
      const of = (name: string) => ((steps[kind] as readonly string[]).includes(name) ? `p.${kind}${i}_${name}` : "0u");
      const [place, rest] = i === 0 ? ["left", ""] : [`left % p.${kind}${i}_size`, ` left /= p.${kind}${i}_size;`];
      return `  at += (${place}) * vec4u(${["a", "b", "column", "c"].map(of).join(", ")});${rest}`;
    });
    return `fn ${kind}_at(i: u32) -> vec4u {
  var left = i;
  var at = vec4u(0);
${lines.join("\n")}
  return at;
}`;
  }).join("\n");
}
