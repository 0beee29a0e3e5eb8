import { DeviceError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { rmsNorm } from "./index.ts";

/**
 * The norm of `x` that nobody has worked out yet. An op that knows it takes it from `x` as it reads (`ops/products`); any other finds
 * it in memory, where it is put when it is first looked at. Until then `x` must stay as it is.
 */
export class Normed extends Tensor {
  readonly x: Tensor;
  readonly gain: Tensor;
  readonly eps: number;
  #made: Tensor | undefined;

  private constructor(x: Tensor, gain: Tensor, eps: number) {
    super(x.device, x.shape, x);
    this.x = x;
    this.gain = gain;
    this.eps = eps;
  }

  /** The norm of x, `rmsNorm` at once where a tape records. Throws ShapeError. */
  static of(x: Tensor, gain: Tensor, eps: number): Tensor {
    return x.recorder || gain.recorder || gain.size !== x.shape.at(-1)
      ? rmsNorm(x, gain, eps)
      : new Normed(x, gain, eps);
  }

  /** Whether it lies in memory. */
  get made(): boolean {
    return this.#made !== undefined && !this.#made.freed;
  }

  /** Lets go of the memory that it lies in, if any: who looks at it again has it worked out anew. */
  forget(): void {
    if (this.made) this.#made!.free();
  }

  override get block() {
    if (this.x.freed) throw new DeviceError(`internal: the norm of [${this.shape}] used after that was freed`);
    if (!this.made) this.#made = rmsNorm(this.x, this.gain, this.eps);
    return this.#made!.block;
  }

  /** Itself, so that views of it are not taken for those of `x`. */
  override get origin(): Tensor {
    return this;
  }
}
