/** Which of an engine's classes runs a model, if any: the stock engine's own list decides. */
import type { Blueprint } from "../../cost/blueprint.ts";
import { FormatError } from "../../tensor/error.ts";
import { sglangClasses, vllmClasses } from "./classes.ts";
import { type EngineName, enginesBy } from "./flag.ts";

const lists: Readonly<Record<EngineName, readonly string[]>> = {
  vllm: vllmClasses.trim().split(/\s+/),
  sglang: sglangClasses.trim().split(/\s+/),
};

/** Classes that are called otherwise than the model_type of what they run. */
const named: Readonly<Record<string, readonly string[]>> = {
  llama: ["LlamaForCausalLM"],
  kimi_k2: ["DeepseekV3ForCausalLM"],
  minimax_m3: ["MiniMaxM3SparseForCausalLM"],
  minimax_m3_vl: ["MiniMaxM3SparseForConditionalGeneration"],
  step3_text: ["Step3TextForCausalLM", "Step3VLForConditionalGeneration"],
  hunyuan_v1_dense: ["HunYuanDenseV1ForCausalLM"],
  hunyuan_v1_moe: ["HunYuanMoEV1ForCausalLM"],
};

const plain = (name: string) => name.toLowerCase().replaceAll("_", "");
const ownName = (name: string) => plain(name.replace(/(ForCausalLM|LMHeadModel|ForConditionalGeneration|Model)$/, ""));

/** The class that runs models of a blueprint's architecture; undefined where the engine has none. */
export function classOf(engine: EngineName, { architecture, layers }: Blueprint): string | undefined {
  const list = lists[engine];
  if (architecture === "bailing_hybrid") {
    const third = layers.some(({ attention }) => attention.variant.name.startsWith("KDA"));
    return list.find((name) => name === (third ? "BailingMoeV3ForCausalLM" : "BailingMoeV2_5ForCausalLM"));
  }
  if (Object.hasOwn(named, architecture)) return named[architecture]!.find((name) => list.includes(name));
  const wanted = plain(architecture.replace(/_text$/, ""));
  return list.find((name) => ownName(name) === wanted);
}

/**
 * The class with which a stock engine runs a checkpoint; what its config names decides, where it names any.
 *
 * Errors: FormatError naming the class or the model_type that the engine does not have, or what a stock class would not heed.
 */
export function requireClass(engine: EngineName, blueprint: Blueprint): string {
  const { title, version } = enginesBy[engine];
  const { architecture, classes = [], unheeded = [] } = blueprint;
  const subject = `--serve ${engine}`;
  if (unheeded.length)
    throw new FormatError(
      `${subject}: got ${unheeded[0]}, expected what ${title} ${version} computes; biform convert writes what stock classes compute`,
    );
  const own = classes.length ? classes.find((name) => lists[engine].includes(name)) : classOf(engine, blueprint);
  if (own !== undefined) return own;
  throw new FormatError(
    classes.length
      ? `${subject}: got architectures ${classes[0]!.slice(0, 80)}, expected a class that ${title} ${version} has; another class of model_type ${architecture} would compute something else, so none is named in its place`
      : `${subject}: got model_type ${architecture}, expected one that ${title} ${version} has a class for; another engine, or a newer version, may run it`,
  );
}
