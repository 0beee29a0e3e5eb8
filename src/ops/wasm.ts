import type { Kernel, Operation } from "../tensor/device.ts";
import { accumulateWasm } from "./accumulate/wasm.ts";
import { combineWasm, updateWasm } from "./add/wasm.ts";
import { attendEachWasm } from "./attend/each/wasm.ts";
import { attendBackwardWasm, attendWasm } from "./attend/wasm.ts";
import { biasGradientWasm, biasWasm } from "./bias/wasm.ts";
import { convBackwardWasm, convWasm } from "./conv/wasm.ts";
import { deltaBackwardWasm, deltaWasm } from "./delta/wasm.ts";
import { divergenceBackwardWasm, divergenceWasm } from "./divergence/wasm.ts";
import { contractWasm } from "./einsum/wasm.ts";
import { gatherWasm, scatterWasm } from "./embed/wasm.ts";
import { contractEachWasm, groupWasm } from "./expert/wasm.ts";
import { factoredWasm } from "./factored/wasm.ts";
import { gateBackwardWasm, gateWasm } from "./gate/wasm.ts";
import type { Kernels } from "./kernel.ts";
import { leadersWasm } from "./leaders/wasm.ts";
import { lossBackwardWasm, lossWasm } from "./loss/wasm.ts";
import { mapBackwardWasm, mapWasm } from "./map/wasm.ts";
import { mergeWasm } from "./merge/wasm.ts";
import { multiplyBackwardWasm, multiplyWasm } from "./multiply/wasm.ts";
import { normBackwardWasm, normWasm } from "./norm/wasm.ts";
import { adamwWasm, squaresWasm } from "./optimise/wasm.ts";
import { packWasm } from "./pack/wasm.ts";
import { loadPagesWasm, storePagesWasm } from "./pages/wasm.ts";
import { nextWasm, previousWasm } from "./previous/wasm.ts";
import { productsWasm } from "./products/wasm.ts";
import { readyWasm } from "./ready/wasm.ts";
import { ropeWasm } from "./rope/wasm.ts";
import { routeWasm } from "./route/wasm.ts";
import { selectWasm } from "./select/wasm.ts";

const kernels: Kernels = {
  accumulate: accumulateWasm,
  adamw: adamwWasm,
  attend: attendWasm,
  attendBackward: attendBackwardWasm,
  attendEach: attendEachWasm,
  bias: biasWasm,
  biasGradient: biasGradientWasm,
  combine: combineWasm,
  contract: contractWasm,
  contractEach: contractEachWasm,
  conv: convWasm,
  convBackward: convBackwardWasm,
  delta: deltaWasm,
  deltaBackward: deltaBackwardWasm,
  factored: factoredWasm,
  gate: gateWasm,
  gateBackward: gateBackwardWasm,
  gather: gatherWasm,
  group: groupWasm,
  leaders: leadersWasm,
  loadPages: loadPagesWasm,
  divergence: divergenceWasm,
  divergenceBackward: divergenceBackwardWasm,
  loss: lossWasm,
  lossBackward: lossBackwardWasm,
  map: mapWasm,
  mapBackward: mapBackwardWasm,
  merge: mergeWasm,
  multiply: multiplyWasm,
  multiplyBackward: multiplyBackwardWasm,
  next: nextWasm,
  norm: normWasm,
  normBackward: normBackwardWasm,
  pack: packWasm,
  previous: previousWasm,
  products: productsWasm,
  ready: readyWasm,
  rope: ropeWasm,
  route: routeWasm,
  scatter: scatterWasm,
  select: selectWasm,
  squares: squaresWasm,
  storePages: storePagesWasm,
  update: updateWasm,
};

/** What the wasm device runs: every op as launches of its kernels, in float32. */
export function wasmKernel({ name }: Operation): Kernel | undefined {
  return kernels[name as keyof Kernels];
}
