import type { Kernel, Operation } from "../tensor/device.ts";
import { accumulateWebgpu } from "./accumulate/webgpu.ts";
import { combineWebgpu, updateWebgpu } from "./add/webgpu.ts";
import { attendBackwardWebgpu } from "./attend/gpu/webgpu.ts";
import { attendEachWebgpu, attendWebgpu } from "./attend/webgpu.ts";
import { biasGradientWebgpu, biasWebgpu } from "./bias/webgpu.ts";
import { blendWebgpu } from "./blend/webgpu.ts";
import { shortWebgpu } from "./conv/short.wgsl.ts";
import { convBackwardWebgpu, convWebgpu } from "./conv/webgpu.ts";
import { deltaBackwardWebgpu, deltaWebgpu } from "./delta/webgpu.ts";
import { divergenceBackwardWebgpu, divergenceWebgpu } from "./divergence/webgpu.ts";
import { contractWebgpu } from "./einsum/webgpu.ts";
import { gatherWebgpu, scatterWebgpu } from "./embed/webgpu.ts";
import { contractEachWebgpu, fewExpertsWebgpu, groupWebgpu } from "./expert/webgpu.ts";
import { factoredWebgpu } from "./factored/webgpu.ts";
import { gateBackwardWebgpu, gateWebgpu } from "./gate/webgpu.ts";
import type { Fused, Kernels } from "./kernel.ts";
import { leadersWebgpu } from "./leaders/webgpu.ts";
import { lossBackwardWebgpu, lossWebgpu } from "./loss/webgpu.ts";
import { mapBackwardWebgpu, mapWebgpu } from "./map/webgpu.ts";
import { mergeWebgpu } from "./merge/webgpu.ts";
import { multiplyBackwardWebgpu, multiplyWebgpu } from "./multiply/webgpu.ts";
import { gatedNormWebgpu, normBackwardWebgpu, normWebgpu } from "./norm/webgpu.ts";
import { adamwWebgpu, squaresWebgpu } from "./optimise/webgpu.ts";
import { packWebgpu } from "./pack/webgpu.ts";
import { loadPagesWebgpu, storePagesWebgpu } from "./pages/webgpu.ts";
import { nextWebgpu, previousWebgpu } from "./previous/webgpu.ts";
import { productsWebgpu } from "./products/webgpu.ts";
import { readyWebgpu } from "./ready/webgpu.ts";
import { ropePagedWebgpu, ropeWebgpu } from "./rope/webgpu.ts";
import { routeWebgpu } from "./route/webgpu.ts";
import { selectWebgpu } from "./select/webgpu.ts";

const kernels: Kernels & Fused = {
  accumulate: accumulateWebgpu,
  adamw: adamwWebgpu,
  attend: attendWebgpu,
  attendBackward: attendBackwardWebgpu,
  attendEach: attendEachWebgpu,
  bias: biasWebgpu,
  biasGradient: biasGradientWebgpu,
  blend: blendWebgpu,
  combine: combineWebgpu,
  contract: contractWebgpu,
  contractEach: contractEachWebgpu,
  conv: convWebgpu,
  convBackward: convBackwardWebgpu,
  delta: deltaWebgpu,
  deltaBackward: deltaBackwardWebgpu,
  factored: factoredWebgpu,
  factoredPaged: factoredWebgpu,
  fewExperts: fewExpertsWebgpu,
  gate: gateWebgpu,
  gateBackward: gateBackwardWebgpu,
  gatedNorm: gatedNormWebgpu,
  gather: gatherWebgpu,
  group: groupWebgpu,
  leaders: leadersWebgpu,
  loadPages: loadPagesWebgpu,
  divergence: divergenceWebgpu,
  divergenceBackward: divergenceBackwardWebgpu,
  loss: lossWebgpu,
  lossBackward: lossBackwardWebgpu,
  map: mapWebgpu,
  mapBackward: mapBackwardWebgpu,
  merge: mergeWebgpu,
  multiply: multiplyWebgpu,
  multiplyBackward: multiplyBackwardWebgpu,
  next: nextWebgpu,
  norm: normWebgpu,
  normBackward: normBackwardWebgpu,
  pack: packWebgpu,
  previous: previousWebgpu,
  products: productsWebgpu,
  ready: readyWebgpu,
  readyCentred: readyWebgpu,
  rope: ropeWebgpu,
  ropePaged: ropePagedWebgpu,
  route: routeWebgpu,
  scatter: scatterWebgpu,
  select: selectWebgpu,
  selectPaged: selectWebgpu,
  short: shortWebgpu,
  squares: squaresWebgpu,
  storePages: storePagesWebgpu,
  update: updateWebgpu,
};

/** What the WebGPU device runs: every op as launches of its shaders, in float32. */
export function webgpuKernel({ name }: Operation): Kernel | undefined {
  return kernels[name as keyof typeof kernels];
}
