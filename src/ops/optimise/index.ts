import type { Tensor } from "../../tensor/tensor.ts";
import { kernel } from "../op.ts";

/** out[at] = sum of x^2. */
export type SquaresKernel = (x: Tensor, out: Tensor, at: number) => void;

/** The settings of one AdamW step. `correction1` and `correction2` are 1 - beta^step. */
export interface AdamwStep {
  readonly rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly decay: number;
  readonly correction1: number;
  readonly correction2: number;
  /** The gradient is scaled by min(1, maxNorm / sqrt(sum of `squares`)); Infinity for no clipping. */
  readonly maxNorm: number;
}

/** One step in place on parameter, first and second moment. `squares` is `[n]`: every gradient's summed squares. */
export type AdamwKernel = (p: Tensor, g: Tensor, m: Tensor, v: Tensor, squares: Tensor, step: AdamwStep) => void;

const squaresKernel = kernel("squares", { writes: [1] });
const adamwKernel = kernel("adamw", { writes: [], updates: [0, 2, 3] });

/** Writes the sum of squares of `x` to `out[at]`, on the device: clipping by global norm needs no reading back. */
export function squares(x: Tensor, out: Tensor, at: number): void {
  squaresKernel(x.device)(x, out, at);
}

/** Adam with decoupled weight decay, in place. Source: Loshchilov and Hutter (2019), algorithm 2. */
export function adamw(p: Tensor, g: Tensor, m: Tensor, v: Tensor, sums: Tensor, step: AdamwStep): void {
  adamwKernel(p.device)(p, g, m, v, sums, step);
}
