import type { Kernel, Operation } from "../tensor/device.ts";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import type { Device, Recorder, TapeNode, Tensor } from "../tensor/tensor.ts";
import type { Fused, Kernels } from "./kernel.ts";

/**
 * Declares a kernel: which of its arguments it writes, or updates in place, by their places. Gives a device's own code for it,
 * which throws DeviceError where the device has none.
 */
export function kernel<Name extends keyof Kernels>(
  name: Name,
  effects: Omit<Operation, "name">,
): (device: Device) => Kernels[Name] {
  const operation: Operation = { name, ...effects };
  let [asked, found]: [Device["kernel"] | undefined, Kernel | undefined] = [undefined, undefined];
  return (device) => {
    if (device.kernel !== asked) {
      found = device.kernel(operation) ?? refuseKernel(name, device);
      asked = device.kernel;
    }
    return found as Kernels[Name];
  };
}

/** The same of a kernel that is several ops in one: undefined on a device that has none, where these run one after the other. */
export function fused<Name extends keyof Fused>(
  name: Name,
  effects: Omit<Operation, "name">,
): (device: Device) => Fused[Name] | undefined {
  const operation: Operation = { name, ...effects };
  return (device) => device.kernel(operation) as Fused[Name] | undefined;
}

function refuseKernel(name: string, { kind }: Device): never {
  throw new DeviceError(
    `${name}: got a ${kind} device, which has no kernel for it, expected one that has; use another device`,
  );
}

/** The tape that the inputs are recorded on, if any of them is. */
export function recorderOf(inputs: readonly (Tensor | undefined)[]): Recorder | undefined {
  for (let i = 0; i < inputs.length; i++) if (inputs[i]?.recorder) return inputs[i]!.recorder;
  return undefined;
}

/** Records `node` where an input is on a tape, and returns its output either way. */
export function record(node: TapeNode): Tensor {
  const recorder = recorderOf(node.inputs);
  if (recorder) recorder.record(node);
  else for (const t of node.saved) t.free();
  return node.output;
}

/** Tokens in each of the `batch` sequences that lie one after the other along axis 0. Throws ShapeError. */
export function tokensOf(subject: string, x: Tensor, batch: number): number {
  const rows = x.shape[0]!;
  if (!(batch >= 1) || rows % batch)
    throw new ShapeError(`${subject}: got ${rows} rows, expected a multiple of the batch ${batch}`);
  return rows / batch;
}

/**
 * Checks what a sequence carries over from the call before: one sequence, that shape, and on no tape, since no gradient
 * flows into it. Throws ShapeError.
 */
export function stateOf(subject: string, state: Tensor | undefined, shape: readonly number[], batch: number): void {
  if (!state) return;
  if (batch !== 1) throw new ShapeError(`${subject}: got a batch of ${batch}, expected one sequence`);
  if (`${state.shape}` !== `${shape}`) throw new ShapeError(`${subject}: got [${state.shape}], expected [${shape}]`);
  if (state.recorder) throw new ShapeError(`${subject}: got a tensor on a tape, expected one that needs no gradient`);
}
