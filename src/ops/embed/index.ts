import { ShapeError } from "../../tensor/error.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type Kernels, recorded } from "../op.ts";
import { gatherReference, scatterReference } from "./reference.ts";
import { gatherWasm, scatterWasm } from "./wasm.ts";

/** out[i] = table[ids[i]], rows of any width. */
export type GatherKernel = (table: Tensor, ids: Int32Array, out: Tensor) => void;
/** out[ids[i]] += g[i]; `out` holds the sum so far. */
export type ScatterKernel = (g: Tensor, ids: Int32Array, out: Tensor) => void;

const gatherKernel: Kernels<GatherKernel> = { reference: gatherReference, wasm: gatherWasm };
const scatterKernel: Kernels<ScatterKernel> = { reference: scatterReference, wasm: scatterWasm };

/** Rows of `table` (`[n, ...]`) by number: embedding lookup, `[ids, ...]`. Throws ShapeError for a number outside the table. */
export function gather(table: Tensor, ids: Int32Array): Tensor {
  const [n = 0, ...rest] = table.shape;
  const bad = ids.find((id) => id < 0 || id >= n);
  if (bad !== undefined) throw new ShapeError(`gather: got row ${bad}, expected 0 to ${n - 1}`);
  const { device } = table;
  const output = new Tensor(device, [ids.length, ...rest]);
  gatherKernel[device.kind](table, ids, output);
  return recorded({
    name: "gather",
    inputs: [table],
    output,
    saved: [],
    backward(g, _wanted, into) {
      const sum = into[0] ?? new Tensor(device, table.shape).write(new Float64Array(table.size));
      scatterKernel[device.kind](g, ids, sum);
      return [sum];
    },
  });
}
