import { referenceKernel } from "../ops/reference.ts";
import type { Block, Device, Span } from "../tensor/device.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, type Floats, floatsOf } from "./float.ts";
import { availableBytes } from "./memory.ts";

/** Float64 in plain TypeScript, written to be read: what every other device is compared with. */
export class ReferenceDevice implements Device {
  readonly kind = "reference";
  readonly kernel = referenceKernel;
  readonly elementBytes = 8;
  readonly threads = 1;
  readonly capacity = Number.POSITIVE_INFINITY;
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

  write(to: Span, values: ArrayLike<number>): void {
    floatsOf(to).set(values);
  }

  upload(to: Span, bytes: Uint8Array): void {
    bytesOf(to).set(bytes);
  }

  copy(from: Span, to: Span, home: Device = this): void {
    if (home.elementBytes !== 8) throw new DeviceError(`copy: got memory of a ${home.kind} device, expected float64`);
    floatsOf(to).set(floatsOf(from));
  }

  async download(from: Span): Promise<Uint8Array<ArrayBuffer>> {
    return bytesOf(from).slice();
  }

  async fence(): Promise<void> {}

  resetPeak(): void {
    this.peakBytes = this.liveBytes;
  }

  close(): void {}
}
