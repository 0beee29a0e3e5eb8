import { ShapeError } from "../../tensor/error.ts";

/** A loop of a contraction: its length, and the step it makes in each operand and in the result, in elements. */
export interface Axis {
  readonly size: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

/**
 * A contraction as a strided, batched matrix product C[m, n] = sum_k A[m, k] B[k, n]. Every letter is of one of four kinds:
 * in a, b and c (batch); a and c (m); b and c (n); a and b (k). Neighbouring letters of one kind are fused into one axis
 * where all strides allow, so `"t d, d h e -> t h e"` is a single product.
 */
export interface Plan {
  readonly spec: string;
  readonly shape: readonly number[];
  readonly batch: readonly Axis[];
  readonly m: readonly Axis[];
  readonly n: readonly Axis[];
  readonly k: readonly Axis[];
  /** Multiplications and additions. */
  readonly flops: number;
  /** The specs of the two gradients: of a from (gradient of c, b), of b from (gradient of c, a). */
  readonly gradients: readonly [string, string];
}

/** A plan and the shapes it was made for. */
interface Known {
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly plan: Plan;
}

/** The latest plans of each spec, the last one asked for in front. */
const plans = new Map<string, Known[]>();

/** Plans of a spec that are kept: those of a step's layers. A length that grows by a token per step pushes out what it was. */
const KEPT = 16;

function same(x: readonly number[], y: readonly number[]): boolean {
  if (x.length !== y.length) return false;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
}

/** The plan of `spec` at these shapes; computed once, then looked up. Throws ShapeError. */
export function planOf(spec: string, a: readonly number[], b: readonly number[]): Plan {
  const list = plans.get(spec) ?? [];
  let at = 0;
  while (at < list.length && !(same(list[at]!.a, a) && same(list[at]!.b, b))) at++;
  if (at === 0 && list.length) return list[0]!.plan;
  const known = list[at] ?? { a, b, plan: makePlan(spec, lettersOf(spec, a, b)) };
  list.splice(at === list.length ? KEPT - 1 : at, 1);
  list.unshift(known);
  plans.set(spec, list);
  return known.plan;
}

/** The letters of a spec by operand and of its result, and their sizes. */
export interface Letters {
  readonly la: readonly string[];
  readonly lb: readonly string[];
  readonly out: readonly string[];
  readonly sizes: ReadonlyMap<string, number>;
}

/** Reads a spec. Throws ShapeError where it and the shapes do not fit. */
export function lettersOf(spec: string, aShape: readonly number[], bShape: readonly number[]): Letters {
  const [left = "", right = ""] = spec.split("->");
  const operands = left.split(",").map((s) => s.trim().split(/\s+/).filter(Boolean));
  const out = right.trim().split(/\s+/).filter(Boolean);
  const [la, lb] = operands;
  if (operands.length !== 2 || !la || !lb || !spec.includes("->"))
    throw new ShapeError(`einsum "${spec}": expected the form "a b, b c -> a c"`);
  const sizes = new Map<string, number>();
  for (const [letters, shape] of [
    [la, aShape],
    [lb, bShape],
  ] as const) {
    if (letters.length !== shape.length || new Set(letters).size !== letters.length)
      throw new ShapeError(`einsum "${spec}": got shape [${shape}], expected axes ${letters.join(" ")}`);
    letters.forEach((letter, i) => {
      const known = sizes.get(letter);
      if (known !== undefined && known !== shape[i])
        throw new ShapeError(`einsum "${spec}": axis ${letter} got ${shape[i]}, expected ${known}`);
      sizes.set(letter, shape[i]!);
    });
  }
  return { la, lb, out, sizes };
}

/** A piece of a contraction: `count` of the places of one letter. b holds that piece alone, a and c are whole. */
export type Cut = readonly [letter: string, count: number];

/** The plan of a contraction or of a piece of it. Throws ShapeError where a letter stands alone. */
export function makePlan(spec: string, letters: Letters, cut?: Cut): Plan {
  const { la, lb, out } = letters;
  const sizes = cut ? new Map(letters.sizes).set(...cut) : letters.sizes;
  const a = strides(la, letters.sizes);
  const b = strides(lb, sizes);
  const c = strides(out, letters.sizes);
  const groups = { batch: [] as Axis[], m: [] as Axis[], n: [] as Axis[], k: [] as Axis[] };
  for (const letter of [...out, ...la.filter((l) => !out.includes(l))]) {
    const where = `${a.has(letter) ? "a" : ""}${b.has(letter) ? "b" : ""}${c.has(letter) ? "c" : ""}`;
    const kind = ({ abc: "batch", ac: "m", bc: "n", ab: "k" } as const)[where];
    if (!kind) throw new ShapeError(`einsum "${spec}": axis ${letter} stands alone; name it in two places`);
    const at = (s: Map<string, number>) => s.get(letter) ?? 0;
    groups[kind].push({ size: sizes.get(letter)!, a: at(a), b: at(b), c: at(c) });
  }
  const lone = lb.find((l) => !a.has(l) && !c.has(l));
  if (lone) throw new ShapeError(`einsum "${spec}": axis ${lone} stands alone; name it in two places`);
  let flops = 2;
  for (const n of sizes.values()) flops *= n;
  return {
    spec,
    shape: out.map((l) => sizes.get(l)!),
    batch: fuse(groups.batch),
    m: fuse(groups.m),
    n: fuse(groups.n),
    k: fuse(groups.k),
    flops,
    gradients: [
      `${out.join(" ")}, ${lb.join(" ")} -> ${la.join(" ")}`,
      `${out.join(" ")}, ${la.join(" ")} -> ${lb.join(" ")}`,
    ],
  };
}

/** Steps of row-major axes, in elements. */
export function strides(letters: readonly string[], sizes: ReadonlyMap<string, number>): Map<string, number> {
  const result = new Map<string, number>();
  let step = 1;
  for (const letter of letters.toReversed()) {
    result.set(letter, step);
    step *= sizes.get(letter) ?? 1;
  }
  return result;
}

/** Axes of length 1 vanish; an outer axis that continues its neighbour in all three operands joins it. */
export function fuse(axes: readonly Axis[]): Axis[] {
  const result: Axis[] = [];
  for (const axis of axes) {
    if (axis.size === 1) continue;
    const outer = result.at(-1);
    const { size, a, b, c } = axis;
    if (outer && outer.a === a * size && outer.b === b * size && outer.c === c * size)
      result[result.length - 1] = { size: outer.size * size, a, b, c };
    else result.push(axis);
  }
  return result;
}
