import { referenceKernel } from "../ops/reference.ts";
import type { Block, Device, Numbers, Tensor } from "../tensor/tensor.ts";
import { dataOf, type Floats } from "./float.ts";
import { availableBytes } from "./memory.ts";

/** Float64 in plain TypeScript, written to be read: what every other device is compared with. */
export class ReferenceDevice implements Device {
  readonly kind = "reference";
  readonly kernel = referenceKernel;
  readonly elementBytes = 8;
  owner: Set<Tensor> | undefined;
  liveBytes = 0;
  peakBytes = 0;

  get freeBytes(): number {
    return availableBytes();
  }

  allocate(elements: number): Floats {
    this.liveBytes += elements * 8;
    this.peakBytes = Math.max(this.peakBytes, this.liveBytes);
    // NaN, so that a kernel that leaves a hole is seen.
    return { elements, data: new Float64Array(elements).fill(Number.NaN) };
  }

  release(block: Block): void {
    this.liveBytes -= block.elements * 8;
  }

  write(tensor: Tensor, values: ArrayLike<number>): void {
    dataOf(tensor).set(values);
  }

  async read(tensor: Tensor): Promise<Numbers> {
    return dataOf(tensor).slice();
  }

  view(tensor: Tensor): Numbers {
    return dataOf(tensor);
  }

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  close(): void {}
}
