import { ShapeError } from "../../tensor/error.ts";
import { isShape, sizeOf, Tensor } from "../../tensor/tensor.ts";
import { addBias } from "../bias/index.ts";
import { einsum } from "../einsum/index.ts";
import { type Plan, planOf } from "../einsum/plan.ts";
import { addFlops } from "../flops.ts";
import { gate } from "../gate/index.ts";
import { kernel } from "../op.ts";
import { type After, finish } from "./after.ts";

/** What `einsum` is told of a product besides its first operand: a spec, a weight, a bias where the result has one, and what becomes of it. */
export type Factor<W extends Tensor | undefined = Tensor> = readonly [
  spec: string,
  weight: W,
  bias?: Tensor | undefined,
  after?: After | undefined,
];

/** A contraction with a weight, the bias that is added, and what becomes of the sum. */
export interface Contraction {
  readonly plan: Plan;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly after: After | undefined;
}

/**
 * A result of a launch: a contraction of `x`, which may be `Normed` and not yet in memory, or silu of the first number by number
 * times the second. Where `by` is given, it is added to what is there, so many times.
 */
export interface Product {
  readonly x: Tensor;
  readonly of: readonly [Contraction, Contraction?];
  readonly by: number | undefined;
}

/** Fills each of `outs` with its product. */
export type ProductsKernel = (list: readonly Product[], outs: readonly Tensor[]) => void;

const launch = kernel("products", { writes: [], updates: [1] });

/** A product of x that is asked for: of one factor, or silu of the product with the first times that with the second (SwiGLU's inner half). */
export interface Asked {
  readonly x: Tensor;
  readonly of: readonly [Factor, Factor?];
}

/** What products give: nothing where a weight may be missing and is. */
export type Results<F extends readonly Factor<Tensor | undefined>[]> = {
  -readonly [I in keyof F]: F[I] extends Factor ? Tensor : Tensor | undefined;
};

/**
 * Several products, of one tensor or of several that have as many rows, each `einsum` plus its bias and what becomes of that:
 * together they are launched once where a device can. Throws ShapeError.
 */
export function productsOf<const L extends readonly (Asked | undefined)[]>(
  ...list: L
): { -readonly [I in keyof L]: L[I] extends Asked ? Tensor : Tensor | undefined } {
  type Made = ReturnType<typeof productsOf<L>>;
  if (isRecorded(list)) return list.map((one) => one && plain(one)) as Made;
  // Loops, since every layer of every token comes this way.
  const made: Product[] = [];
  const shapes: (readonly number[])[] = [];
  for (const one of list) {
    if (!one) continue;
    const product = productOf(one);
    made.push(product);
    shapes.push(product.of[0].plan.shape);
  }
  const [first] = made;
  if (!first) return list.map(() => undefined) as Made;
  const outs = outsOf(first.x, shapes);
  launch(first.x.device)(made, outs);
  let at = 0;
  return list.map((one) => one && outs[at++]) as Made;
}

/** Whether some operand is on a tape. */
function isRecorded(list: readonly (Asked | undefined)[]): boolean {
  for (const one of list) {
    if (!one) continue;
    if (one.x.recorder) return true;
    for (const factor of one.of) {
      if (!factor) continue;
      const [, weight, bias, after] = factor;
      if (weight.recorder || bias?.recorder || after?.rate?.recorder) return true;
    }
  }
  return false;
}

function productOf({ x, of: [one, other] }: Asked): Product {
  const first = contractionOf(x, one);
  if (!other) return { x, of: [first], by: undefined };
  const second = contractionOf(x, other);
  if (!isShape(first.plan.shape, second.plan.shape))
    throw new ShapeError(`gatedProduct: got [${second.plan.shape}], expected [${first.plan.shape}]`);
  return { x, of: [first, second], by: undefined };
}

/** Numbers that each of them begins at a multiple of. */
const STEP = 64;

/** Tensors of these shapes for the results of a launch over `x`, of few rows in one block where a device asks for that. */
export function outsOf({ device, shape }: Tensor, shapes: readonly (readonly number[])[]): Tensor[] {
  if (shape[0]! > (device.together ?? 0) || shapes.length === 1) return shapes.map((own) => new Tensor(device, own));
  const room = (own: readonly number[]) => STEP * Math.ceil(sizeOf(own) / STEP);
  const all = new Tensor(device, [shapes.reduce((sum, own) => sum + room(own), 0)]);
  let at = 0;
  return shapes.map((own) => {
    at += room(own);
    return new Tensor(device, own, all, at - room(own));
  });
}

function plain({ x, of }: Asked): Tensor {
  const [a, b] = of.map((one) => one && finish(addBias(einsum(one[0], x, one[1]), one[2]), one[3]));
  return b ? gate(a!, b) : a!;
}

/** The same of one tensor. One whose weight is missing is undefined. Throws ShapeError. */
export function products<const F extends readonly Factor<Tensor | undefined>[]>(x: Tensor, ...factors: F): Results<F> {
  return productsOf(...factors.map((one) => (one[1] ? { x, of: [one as Factor] as const } : undefined))) as Results<F>;
}

/** The inner half of SwiGLU: silu of one product of x, number by number times another. Throws ShapeError. */
export function gatedProduct(x: Tensor, of: Factor, by: Factor): Tensor {
  return productsOf({ x, of: [of, by] })[0];
}

/** What a result is added to in place, so many times. */
export interface Residual {
  readonly into: Tensor;
  readonly by: number;
}

/** A product of x, added in place to a residual where there is one; gives what holds the result. Recorded without one alone. Throws ShapeError. */
export function addProduct(x: Tensor, factor: Factor, residual: Residual | undefined): Tensor {
  if (!residual) return products(x, factor)[0];
  const { into, by } = residual;
  const one = contractionOf(x, factor);
  if (!isShape(one.plan.shape, into.shape))
    throw new ShapeError(`addProduct: got [${into.shape}], expected [${one.plan.shape}]`);
  launch(x.device)([{ x, of: [one], by }], [into]);
  return into;
}

function contractionOf(x: Tensor, [spec, weight, bias, after]: Factor): Contraction {
  const plan = planOf(spec, x.shape, weight.shape);
  if (bias && `${bias.shape}` !== `${plan.shape.slice(1)}`)
    throw new ShapeError(
      `products: got a bias [${bias.shape}], expected [${plan.shape.slice(1)}], one row of "${spec}"`,
    );
  if (after?.rate && after.rate.size !== plan.shape[1])
    throw new ShapeError(`products: got rates [${after.rate.shape}], expected one for each of ${plan.shape[1]} heads`);
  addFlops(plan.flops);
  return { plan, weight, bias, after };
}
