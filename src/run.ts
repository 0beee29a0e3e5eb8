// What a page runs models with, in a worker of its own: fetched or unpacked only where a model is to run, apart from `web.ts`, which
// plans and has no kernels. Nothing here needs Node.
export { type Preset, presetConfig } from "./checkpoint/preset.ts";
export { sampleGguf } from "./checkpoint/sample.ts";
export { commonMachine } from "./cost/crossover.ts";
export { storySource } from "./data/story.ts";
export { WasmDevice } from "./device/wasm.ts";
export { WebgpuDevice } from "./device/webgpu.ts";
export { type Conversation, conversation } from "./generate/chat.ts";
export { generate } from "./generate/generate.ts";
export { type LoadedModel, load } from "./generate/load.ts";
export { Session } from "./generate/session.ts";
export type { TextSession } from "./generate/text.ts";
export { match } from "./lab/match.ts";
export { modelSize } from "./model/model.ts";
export { byteTokenizer } from "./tokenizer/tokenizer.ts";
export { optimiserDefaults } from "./train/optimiser.ts";
export { type Curve, type TrainResult, train } from "./train/train.ts";
