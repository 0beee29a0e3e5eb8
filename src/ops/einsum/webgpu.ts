import { packedGeometry } from "../../device/gpu/geometry.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Absorbing } from "../attend/gpu/absorb.wgsl.ts";
import { Apart } from "../attend/gpu/up.wgsl.ts";
import type { ContractKernel } from "./index.ts";
import { launchLoops, type Operands } from "./launch.wgsl.ts";
import { type Loops, lengthOf, loopsOf } from "./loops.wgsl.ts";
import type { Plan } from "./plan.ts";

/** A plan as it runs: its loops, and whether operands change places (C^T = B^T A^T). */
interface Form {
  readonly loops: Loops;
  readonly turned: boolean;
}

/** Forms by plan, and of packed operands by how these lie. */
const known = new WeakMap<Plan, Map<string, Form>>();

function formOf(plan: Plan, a: Tensor, b: Tensor): Form {
  let forms = known.get(plan);
  if (!forms) {
    forms = new Map();
    known.set(plan, forms);
  }
  const { packing } = b;
  const key = packing ? `${packing.format} ${packing.rows} ${packing.columns}` : "";
  let form = forms.get(key);
  if (!form) {
    const loops = loopsOf(plan, a, b);
    const turned = !packing && betterTurned(loops);
    form = { loops: turned ? loopsOf(turn(plan), b, a) : loops, turned };
    forms.set(key, form);
  }
  return form;
}

/** Few rows rather than few columns, and neighbours of the result side by side. */
function betterTurned({ m, n }: Loops): boolean {
  const [rows, columns] = [lengthOf(m), lengthOf(n)];
  if (Math.min(rows, columns) <= 8) return columns < rows;
  return m.some(({ c }) => c === 1);
}

function turn(plan: Plan): Plan {
  const swap = (axes: Plan["m"]) => axes.map(({ a, b, ...rest }) => ({ ...rest, a: b, b: a }));
  return { ...plan, batch: swap(plan.batch), m: swap(plan.n), n: swap(plan.m), k: swap(plan.k) };
}

export const contractWebgpu: ContractKernel = (plan, a, b, out, mode) => {
  if (out.size === 0) return;
  const { loops, turned } = formOf(plan, a, b);
  const operands = turned ? { ...weightOf(a), a: b, c: out } : { ...weightOf(b), a, c: out };
  const device = out.device as WebgpuDevice;
  const { withheld } = device;
  if (mode === "set" && withheld instanceof Apart && withheld.multiply(loops, operands)) return;
  const absorbing = mode === "set" ? Absorbing.of(device, loops, operands) : undefined;
  const launch = (of: Operands) => launchLoops(device, loops, of, mode);
  if (!absorbing) launch(operands);
  else device.withhold(absorbing, () => launch({ ...operands, a: absorbing.a, ...absorbing.heads.operands }));
};

/** b as kernels take it. */
export function weightOf(b: Tensor): Omit<Operands, "a" | "c"> {
  const { packing, block, start } = b;
  if (!packing) return { b, format: "F32", upper: 0, scales: 0 };
  const { bytes, upper, scales } = packedGeometry(b.shape, packing);
  return { b: { block, start, size: bytes / 4 }, format: packing.format, upper, scales };
}
