import { DeviceError } from "./error.ts";
import { Tensor } from "./tensor.ts";

/**
 * What several sequences hold, each in memory of its own, as one operand: rows of their caches, or their states. An op that knows of
 * sequences takes them one by one (`ops/sequence.ts`); one that does not finds no memory, and cannot misread it.
 */
export class Joined extends Tensor {
  /** One per sequence. */
  readonly each: readonly Tensor[];

  private constructor(each: readonly Tensor[]) {
    const [first] = each;
    const rows = each.reduce((sum, { shape }) => sum + shape[0]!, 0);
    super(first!.device, [rows, ...first!.shape.slice(1)], first);
    this.each = each;
  }

  /** Tensors of equal rows, one per sequence; a single one stays as it is. */
  static of(each: readonly Tensor[]): Tensor {
    return each.length === 1 ? each[0]! : new Joined(each);
  }

  override get block(): never {
    throw new DeviceError(
      `internal: [${this.shape}] belongs to ${this.each.length} sequences; take one after the other`,
    );
  }

  /** Itself, so that nothing of it is taken for the first sequence's. */
  override get origin(): Tensor {
    return this;
  }
}
