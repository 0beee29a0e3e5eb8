import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { addBias } from "../bias/index.ts";
import { einsum } from "../einsum/index.ts";
import { type Plan, planOf } from "../einsum/plan.ts";
import { addFlops } from "../flops.ts";
import { gate } from "../gate/index.ts";
import { kernel, recorderOf } from "../op.ts";

/** What `einsum` is told of a product besides its first operand: a spec, a weight, and a bias where the result has one. */
export type Factor<W extends Tensor | undefined = Tensor> = readonly [
  spec: string,
  weight: W,
  bias?: Tensor | undefined,
];

/** A contraction with a weight, and the bias that is added. */
export interface Contraction {
  readonly plan: Plan;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
}

/**
 * A result of a launch: its one contraction, or silu of the first number by number times the second. Where `by` is given, it is
 * added to what is there, so many times.
 */
export interface Product {
  readonly of: readonly [Contraction, Contraction?];
  readonly by: number | undefined;
}

/** Fills each of `outs` with its product of `x`, which may be `Normed` and not yet in memory. */
export type ProductsKernel = (x: Tensor, list: readonly Product[], outs: readonly Tensor[]) => void;

const launch = kernel("products", { writes: [], updates: [2] });

/** What products give: nothing where a weight may be missing and is. */
export type Results<F extends readonly Factor<Tensor | undefined>[]> = {
  -readonly [I in keyof F]: F[I] extends Factor ? Tensor : Tensor | undefined;
};

/**
 * Several products of one tensor, each `einsum` plus its bias: together they are launched once where a device can. One whose weight
 * is missing is undefined. Throws ShapeError.
 */
export function products<const F extends readonly Factor<Tensor | undefined>[]>(x: Tensor, ...factors: F): Results<F> {
  if (recorderOf([x, ...factors.flatMap(([, weight, bias]) => [weight, bias])]))
    return factors.map(([spec, weight, bias]) => weight && addBias(einsum(spec, x, weight), bias)) as Results<F>;
  const list = factors.map((factor) => (factor[1] ? contractionOf(x, factor as Factor) : undefined));
  const outs = list.map((one) => one && new Tensor(x.device, one.plan.shape));
  const there = list.filter((one) => one !== undefined);
  launch(x.device)(
    x,
    there.map((one): Product => ({ of: [one], by: undefined })),
    outs.filter((out) => out !== undefined),
  );
  return outs as Results<F>;
}

/** The inner half of SwiGLU: silu of one product of x, number by number times another. Throws ShapeError. */
export function gatedProduct(x: Tensor, of: Factor, by: Factor): Tensor {
  if (recorderOf([x, of[1], of[2], by[1], by[2]])) {
    const [a, b] = [of, by].map(([spec, weight, bias]) => addBias(einsum(spec, x, weight), bias));
    return gate(a!, b!);
  }
  const both = [contractionOf(x, of), contractionOf(x, by)] as const;
  if (`${both[0].plan.shape}` !== `${both[1].plan.shape}`)
    throw new ShapeError(`gatedProduct: got [${both[1].plan.shape}], expected [${both[0].plan.shape}]`);
  const out = new Tensor(x.device, both[0].plan.shape);
  launch(x.device)(x, [{ of: both, by: undefined }], [out]);
  return out;
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
  if (`${one.plan.shape}` !== `${into.shape}`)
    throw new ShapeError(`addProduct: got [${into.shape}], expected [${one.plan.shape}]`);
  launch(x.device)(x, [{ of: [one], by }], [into]);
  return into;
}

function contractionOf(x: Tensor, [spec, weight, bias]: Factor): Contraction {
  const plan = planOf(spec, x.shape, weight.shape);
  if (bias && `${bias.shape}` !== `${plan.shape.slice(1)}`)
    throw new ShapeError(
      `products: got a bias [${bias.shape}], expected [${plan.shape.slice(1)}], one row of "${spec}"`,
    );
  addFlops(plan.flops);
  return { plan, weight, bias };
}
