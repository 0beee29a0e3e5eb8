// The library for a page: what a user imports from "biform/web". Nothing here, or reached from here, needs Node: no files, no
// threads, no server. `test/web.test.ts` says so.
export { Cache, declaredBytes } from "./attention/cache.ts";
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
  pairsOf,
  parameterCount,
  paramsOf,
  type Sizes,
  shapeOf,
  stateValues,
  type Variant,
} from "./attention/define.ts";
export { type Attention, checkSizes, formOf, type Pass, runAttention } from "./attention/layer.ts";
export { specHelp } from "./attention/names.ts";
export { parseSpec, splitSpecs } from "./attention/spec.ts";
export { expandedCache } from "./attention/unfold.ts";
export { mla } from "./attention/variant/mla.ts";
export { variants } from "./attention/variants.ts";
export { type Blueprint, blueprintOf, countParameters } from "./cost/blueprint.ts";
export { formsText, type VariantRow, variantRows } from "./cost/catalogue.ts";
export { activationBytes } from "./cost/cost.ts";
export {
  arithmetic,
  type Contestant,
  chooseForm,
  commonMachine,
  crossoverChunk,
  crossoverContext,
  type Machine,
  type Prediction,
  predict,
  rivalsOf,
  roofline,
} from "./cost/crossover.ts";
export type { Datasheet } from "./cost/datasheet.ts";
export { deviceMemory, type Group, groupOf, groups, isGroup } from "./cost/group.ts";
export { type Host, hostOf } from "./cost/host.ts";
export { type CachedForm, type Kept, keptOf } from "./cost/keep.ts";
export { layOut } from "./cost/layout.ts";
export { machineOf, machines } from "./cost/machine.ts";
export { type Offload, parseOffload } from "./cost/offload.ts";
export { parseSplit, type Split, splitName } from "./cost/split.ts";
export { type Dtype, dtypes } from "./cost/type.ts";
export type { StepSizes } from "./cost/work.ts";
export { ReferenceDevice } from "./device/reference.ts";
export * from "./draw/axis.ts";
export * from "./draw/canvas.ts";
export * from "./draw/colour.ts";
export { escapeHtml, facts, grid, section, stackLines } from "./draw/html.ts";
export * from "./draw/quantity.ts";
export { style } from "./draw/style.ts";
export { type ByteSource, blobSource, memorySource } from "./file/bytes.ts";
export { addFigures, figuresText, type Measured, readFigures } from "./file/figures.ts";
export { type Gguf, readGguf } from "./file/gguf.ts";
export { type Outline, readOutline } from "./file/outline.ts";
export { chapters, heading } from "./lab/chapter.ts";
export * from "./lab/picture.ts";
export { type Comparison, parseComparison } from "./lab/result.ts";
export * from "./lab/tradeoff.ts";
export { buildModel, type ModelSettings } from "./model/build.ts";
export { forwardFlops, type Model, modelSize } from "./model/model.ts";
export { attend } from "./ops/attend/index.ts";
export { einsum } from "./ops/einsum/index.ts";
export { positionsOf, type Rotation, rotation } from "./ops/rope/rotation.ts";
export { bytesOf, tokensOf } from "./plan/amount.ts";
export { fitsOn, smallestGroup } from "./plan/choose.ts";
export { decodeCurves, memoryCurves, prefillCurves, roofsOf } from "./plan/curve.ts";
export { startOf } from "./plan/engine/start.ts";
export { groupRow } from "./plan/group.ts";
export { pathOfPreset, smallestLaunch } from "./plan/launch/find.ts";
export { type Launch, launchOf } from "./plan/launch/launch.ts";
export { machineRows } from "./plan/machine.ts";
export { matchFamily, parseTarget, targets } from "./plan/match.ts";
export { type PlanSettings, plan } from "./plan/plan.ts";
export { type Preset, presetOf, presets } from "./plan/preset/preset.ts";
export { blueprintOfConfig } from "./plan/read/config.ts";
export { blueprintOfGguf } from "./plan/read/gguf.ts";
export { hubConfig, openHeader } from "./plan/read/header.ts";
export { blueprintOfSpec } from "./plan/read/spec.ts";
export { blueprintOfBlob, blueprintOfText } from "./plan/read/text.ts";
export { type Plan, planSchema } from "./plan/schema.ts";
export { answers } from "./plan/show/answer.ts";
export { sizesText } from "./plan/show/detail.ts";
export { enginesGrid } from "./plan/show/engine.ts";
export { groupAnswers, groupsGrid, groupText, layoutsGrid, offloadsGrid } from "./plan/show/group.ts";
export { commandText, launchGrid } from "./plan/show/launch.ts";
export { besideGrid, costsGrid, layersGrid, workGrids } from "./plan/show/layer.ts";
export { decodePicture, memoryPicture, prefillPicture } from "./plan/show/picture.ts";
export { cacheGrid, machinesGrid } from "./plan/show/report.ts";
export { rooflinePicture } from "./plan/show/roofline.ts";
export { cachedForms, crossoverText, parametersText, settingsText, tokens } from "./plan/show/table.ts";
export { DeviceError, FormatError, ShapeError } from "./tensor/error.ts";
export { formatJson, parseJson } from "./tensor/json.ts";
export { Random } from "./tensor/random.ts";
export { type Device, scope, Tensor, tensor } from "./tensor/tensor.ts";
export { type Agreement, agree, type Drawn, drawNumbers, partsOn, roundingOf } from "./verify/agree.ts";
