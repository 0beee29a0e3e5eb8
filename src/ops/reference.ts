import type { Kernel, Operation } from "../tensor/device.ts";
import { accumulateReference } from "./accumulate/reference.ts";
import { combineReference, updateReference } from "./add/reference.ts";
import { attendBackwardReference, attendEachReference, attendReference } from "./attend/reference.ts";
import { biasGradientReference, biasReference } from "./bias/reference.ts";
import { convBackwardReference, convReference } from "./conv/reference.ts";
import { deltaBackwardReference, deltaReference } from "./delta/reference.ts";
import { divergenceBackwardReference, divergenceReference } from "./divergence/reference.ts";
import { contractReference } from "./einsum/reference.ts";
import { gatherReference, scatterReference } from "./embed/reference.ts";
import { contractEachReference, groupReference } from "./expert/reference.ts";
import { factoredReference } from "./factored/reference.ts";
import { gateBackwardReference, gateReference } from "./gate/reference.ts";
import type { Kernels } from "./kernel.ts";
import { leadersReference } from "./leaders/reference.ts";
import { lossBackwardReference, lossReference } from "./loss/reference.ts";
import { mapBackwardReference, mapReference } from "./map/reference.ts";
import { mergeReference } from "./merge/reference.ts";
import { multiplyBackwardReference, multiplyReference } from "./multiply/reference.ts";
import { normBackwardReference, normReference } from "./norm/reference.ts";
import { adamwReference, squaresReference } from "./optimise/reference.ts";
import { loadPagesReference, storePagesReference } from "./pages/reference.ts";
import { nextReference, previousReference } from "./previous/reference.ts";
import { productsReference } from "./products/reference.ts";
import { readyReference } from "./ready/reference.ts";
import { ropeReference } from "./rope/reference.ts";
import { routeReference } from "./route/reference.ts";
import { selectReference } from "./select/reference.ts";

const kernels: Omit<Kernels, "pack"> = {
  accumulate: accumulateReference,
  adamw: adamwReference,
  attend: attendReference,
  attendBackward: attendBackwardReference,
  attendEach: attendEachReference,
  bias: biasReference,
  biasGradient: biasGradientReference,
  combine: combineReference,
  contract: contractReference,
  contractEach: contractEachReference,
  conv: convReference,
  convBackward: convBackwardReference,
  delta: deltaReference,
  deltaBackward: deltaBackwardReference,
  factored: factoredReference,
  gate: gateReference,
  gateBackward: gateBackwardReference,
  gather: gatherReference,
  group: groupReference,
  leaders: leadersReference,
  loadPages: loadPagesReference,
  divergence: divergenceReference,
  divergenceBackward: divergenceBackwardReference,
  loss: lossReference,
  lossBackward: lossBackwardReference,
  map: mapReference,
  mapBackward: mapBackwardReference,
  merge: mergeReference,
  multiply: multiplyReference,
  multiplyBackward: multiplyBackwardReference,
  next: nextReference,
  norm: normReference,
  normBackward: normBackwardReference,
  previous: previousReference,
  products: productsReference,
  ready: readyReference,
  rope: ropeReference,
  route: routeReference,
  scatter: scatterReference,
  select: selectReference,
  squares: squaresReference,
  storePages: storePagesReference,
  update: updateReference,
};

/** What the reference device runs: every op by its definition, in float64. */
export function referenceKernel({ name }: Operation): Kernel | undefined {
  return kernels[name as keyof typeof kernels];
}
