import type { Device, Recorder, TapeNode, Tensor } from "../tensor/tensor.ts";

/** One implementation of an op per kind of device. Adding a device adds a column to each op, and nothing above changes. */
export type Kernels<K> = Readonly<Record<Device["kind"], K>>;

/** The tape that the inputs are recorded on, if any of them is. */
export function recorderOf(inputs: readonly (Tensor | undefined)[]): Recorder | undefined {
  for (const t of inputs) if (t?.recorder) return t.recorder;
  return undefined;
}

/** Records `node` where an input is on a tape, and returns its output either way. */
export function recorded(node: TapeNode): Tensor {
  const recorder = recorderOf(node.inputs);
  if (recorder) recorder.record(node);
  else for (const t of node.saved) t.free();
  return node.output;
}
