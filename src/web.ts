// The library for a page: what a user imports from "biform/web". Nothing here, or reached from here, needs Node: no files, no
// threads, no server. `test/web.test.ts` says so.
export { Cache, declaredBytes } from "./attention/cache.ts";
export {
  arithmetic,
  type Contestant,
  chooseForm,
  commonMachine,
  crossoverChunk,
  crossoverContext,
  type Machine,
  type Prediction,
  pairsOf,
  predict,
  rivalsOf,
  roofline,
  type Step,
} from "./attention/crossover.ts";
export {
  type Cost,
  type Costed,
  type Costing,
  cacheValues,
  costFlops,
  decodeBytes,
  defineAttention,
  formNames,
  type Parts,
  parameterCount,
  paramsOf,
  type Sizes,
  shapeOf,
  stateValues,
  type Variant,
} from "./attention/define.ts";
export { type Attention, checkSizes, formOf, type Pass, runAttention } from "./attention/layer.ts";
export { mla } from "./attention/mla.ts";
export { specHelp } from "./attention/names.ts";
export { parseSpec, splitSpecs } from "./attention/spec.ts";
export { expandedCache } from "./attention/unfold.ts";
export { variants } from "./attention/variants.ts";
export { ReferenceDevice } from "./device/reference.ts";
export { type ByteSource, blobSource, memorySource } from "./file/bytes.ts";
export { type Gguf, readGguf } from "./file/gguf.ts";
export { type Outline, readOutline } from "./file/outline.ts";
export { type Agreement, agree, type Drawn, drawn, partsOn, roundingOf } from "./lab/agree.ts";
export * from "./lab/axis.ts";
export * from "./lab/canvas.ts";
export { chapters, heading } from "./lab/chapter.ts";
export * from "./lab/cost.ts";
export { formsText, type VariantRow, variantRows } from "./lab/family.ts";
export { escaped, facts, grid, section, stacked } from "./lab/html.ts";
export * from "./lab/picture.ts";
export * from "./lab/quantity.ts";
export { type Comparison, parseComparison } from "./lab/result.ts";
export { style } from "./lab/style.ts";
export { buildModel, type ModelSettings } from "./model/build.ts";
export { forwardFlops, type Model, modelSize } from "./model/model.ts";
export { attend } from "./ops/attend/index.ts";
export { einsum } from "./ops/einsum/index.ts";
export { positionsOf, type Rotation, rotation } from "./ops/rope/rotation.ts";
export { bytesOf, tokensOf } from "./plan/amount.ts";
export { answers } from "./plan/answer.ts";
export { type Blueprint, blueprintOf, parametersOf } from "./plan/blueprint.ts";
export { activationBytes } from "./plan/cost.ts";
export { decodeCurves, memoryCurves, prefillCurves, roofsOf } from "./plan/curve.ts";
export { sizesText } from "./plan/detail.ts";
export { type Kept, keptOf } from "./plan/keep.ts";
export { layOut } from "./plan/layout.ts";
export { type Datasheet, hostOf, machineOf, machines } from "./plan/machine.ts";
export { matchFamily, parseTarget, targets } from "./plan/match.ts";
export { decodePicture, memoryPicture, prefillPicture } from "./plan/picture.ts";
export { type Host, type PlanSettings, plan } from "./plan/plan.ts";
export { type Preset, presetOf, presets } from "./plan/preset/preset.ts";
export { blueprintOfConfig } from "./plan/read/config.ts";
export { blueprintOfGguf } from "./plan/read/gguf.ts";
export { hubConfig } from "./plan/read/header.ts";
export { blueprintOfSpec } from "./plan/read/spec.ts";
export { blueprintOfBlob, blueprintOfText } from "./plan/read/text.ts";
export { cacheGrid, enginesGrid, layoutsGrid, machinesGrid, workGrids } from "./plan/report.ts";
export { rooflinePicture } from "./plan/roofline.ts";
export { type CachedForm, type Dtype, dtypes, type Plan, planSchema } from "./plan/schema.ts";
export { cachedForms, crossoverText, parametersText, settingsText, tokens } from "./plan/table.ts";
export { DeviceError, FormatError, ShapeError } from "./tensor/error.ts";
export { Random } from "./tensor/random.ts";
export { type Device, scope, Tensor, tensor } from "./tensor/tensor.ts";
