// The public library: what a user imports from "biform". docs/api.md lists it with signatures.
export { Cache, declaredBytes } from "./attention/cache.ts";
export {
  type At,
  type Cost,
  cacheValues,
  costFlops,
  type Definition,
  decodeBytes,
  defineAttention,
  type Feature,
  type Form,
  formNames,
  parameterCount,
  type Sizes,
  stateValues,
  type Variant,
} from "./attention/define.ts";
export { type Attention, checkSizes, formOf, type Pass, runAttention } from "./attention/layer.ts";
export { specHelp } from "./attention/names.ts";
export { parseSpec, type SpecOptions } from "./attention/spec.ts";
export { expandedCache } from "./attention/unfold.ts";
export { variants } from "./attention/variants.ts";
export { Engine, type EngineOptions } from "./batch/engine.ts";
export type { Figures } from "./batch/figures.ts";
export { type Event, type Reason, Refused, type Request, type Usage } from "./batch/request.ts";
export { type Blueprint, blueprintOf, type LayerKind } from "./cost/blueprint.ts";
export { longestContext, stepBytes, stepFlops } from "./cost/cost.ts";
export {
  chooseForm,
  commonMachine,
  crossoverChunk,
  crossoverContext,
  type Machine,
  predict,
  roofline,
} from "./cost/crossover.ts";
export { type Group, groupOf, groups, isGroup } from "./cost/group.ts";
export { type Host, hostOf, hostOfMeasured } from "./cost/host.ts";
export { layOut } from "./cost/layout.ts";
export { machineOf, machines } from "./cost/machine.ts";
export { type PaperRow, paperRows } from "./cost/paper.ts";
export { copyingSource } from "./data/copying.ts";
export { recallSource } from "./data/recall.ts";
export type { Batch, Source } from "./data/source.ts";
export { storySource } from "./data/story.ts";
export { openText } from "./data/text.ts";
export { ReferenceDevice } from "./device/reference.ts";
export { WasmDevice, type WasmOptions } from "./device/wasm.ts";
export { WebgpuDevice, type WebgpuOptions } from "./device/webgpu.ts";
export { type ByteSource, blobSource, memorySource } from "./file/bytes.ts";
export { openGguf, openSafetensors, writeSafetensors } from "./file/disk.ts";
export { type Chosen, chosenFiles, type Files } from "./file/files.ts";
export { decodeGguf, type Gguf } from "./file/gguf.ts";
export { type Outline, readOutline } from "./file/outline.ts";
export { readRemote, remoteSource } from "./file/remote.ts";
export { decodeSafetensors, encodeSafetensors } from "./file/safetensors.ts";
export { type GgufTensor, writeGguf } from "./file/writer.ts";
export { type Conversation, conversation } from "./generate/chat.ts";
export type { FormCounts, Keep } from "./generate/forms.ts";
export { type GenerateOptions, generate } from "./generate/generate.ts";
export { type LoadedModel, type LoadOptions, load } from "./generate/load.ts";
export type { LogitsOptions } from "./generate/logits.ts";
export { type Sampler, type Sampling, sampler } from "./generate/sampling.ts";
export { type Likelihood, type Scored, scoreToken } from "./generate/score.ts";
export { type AppendOptions, cacheBytes, Session, type SessionOptions } from "./generate/session.ts";
export type { Prompt, Speaker, TextSession } from "./generate/text.ts";
export { appendTogether, type Entry, EntryError } from "./generate/together.ts";
export type { Constraint, Finish, Step, WriteOptions } from "./generate/writer.ts";
export { type Gradients, gradients } from "./grad/tape.ts";
export { compare } from "./lab/compare.ts";
export { match } from "./lab/match.ts";
export { report } from "./lab/report.ts";
export { type Comparison, comparisonSchema, parseComparison } from "./lab/result.ts";
export type { CompareSettings } from "./lab/schedule.ts";
export { crossoverGrid, type GridPoint } from "./measure/grid.ts";
export { measure } from "./measure/measure.ts";
export { tune } from "./measure/tune.ts";
export { buildModel, type ModelSettings } from "./model/build.ts";
export { forwardFlops, type Model, modelSize, parametersOf } from "./model/model.ts";
export { forward, type Weights } from "./model/transformer.ts";
export { accumulate } from "./ops/accumulate/index.ts";
export { add, reshape, scaleBy } from "./ops/add/index.ts";
export { attend, type Stick, type Term, type View } from "./ops/attend/index.ts";
export { addBias } from "./ops/bias/index.ts";
export { conv } from "./ops/conv/index.ts";
export { delta } from "./ops/delta/index.ts";
export { einsum } from "./ops/einsum/index.ts";
export { gather, gatherRows } from "./ops/embed/index.ts";
export { attendFactored } from "./ops/factored/index.ts";
export { gate } from "./ops/gate/index.ts";
export { crossEntropy } from "./ops/loss/index.ts";
export { type Mapping, map } from "./ops/map/index.ts";
export { merge } from "./ops/merge/index.ts";
export { multiply } from "./ops/multiply/index.ts";
export { rmsNorm } from "./ops/norm/index.ts";
export { contiguous } from "./ops/pages/index.ts";
export { previous } from "./ops/previous/index.ts";
export { baseHolds, leastBase } from "./ops/rope/bound.ts";
export { rope } from "./ops/rope/index.ts";
export { positionsOf, type Rotation, rotation } from "./ops/rope/rotation.ts";
export { select } from "./ops/select/index.ts";
export { fitsOn, smallestGroup } from "./plan/choose.ts";
export { conformance } from "./plan/conformance.ts";
export { comparePlans, type Difference, differenceJsonSchema, differenceSchema } from "./plan/difference.ts";
export type { EngineSettings } from "./plan/engine/engine.ts";
export { enginesOf } from "./plan/engine/known.ts";
export { startOf } from "./plan/engine/start.ts";
export { matchFamily, parseTarget } from "./plan/match.ts";
export { type OpenOptions, openPlan } from "./plan/open.ts";
export { type PlanSettings, plan } from "./plan/plan.ts";
export { type Preset, presetOf, presets } from "./plan/preset/preset.ts";
export { blueprintOfConfig } from "./plan/read/config.ts";
export { blueprintOfSpec } from "./plan/read/spec.ts";
export { blueprintOfSource, blueprintOfText } from "./plan/read/text.ts";
export { type Plan, planJsonSchema, planSchema } from "./plan/schema.ts";
export { DeviceError, FormatError, ShapeError } from "./tensor/error.ts";
export { type CacheType, pageTokens } from "./tensor/page.ts";
export { dequantise } from "./tensor/quant.ts";
export { quantise } from "./tensor/quantise.ts";
export { Random } from "./tensor/random.ts";
export { type Device, scope, Tensor, tensor } from "./tensor/tensor.ts";
export { applyTemplate } from "./tokenizer/apply.ts";
export { type TextStream, textStream } from "./tokenizer/stream.ts";
export { type Message, openTemplate, type RenderOptions, type Template } from "./tokenizer/template.ts";
export { loadTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";
export { initialWeights } from "./train/initial.ts";
export { Optimiser, type OptimiserSettings, optimiserDefaults } from "./train/optimiser.ts";
export { type TrainHooks, type TrainResult, type TrainSettings, train, trainFlopsPerToken } from "./train/train.ts";
export { agree } from "./verify/agree.ts";
export { verifyGolden } from "./verify/golden/golden.ts";
