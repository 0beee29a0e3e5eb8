/** The flags that let an engine propose tokens as a plan does. */
import type { Blueprint } from "../../cost/blueprint.ts";
import { FormatError } from "../../tensor/error.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";

/** What proposes tokens where it is no layer of the model itself: its name on the command line and its blueprint. */
export interface Proposer {
  readonly path: string;
  readonly blueprint: Blueprint;
}

/**
 * Models whose own further layers each engine uses, by model_type: `hf_config_override` in vllm/config/speculative.py, and
 * `_config_draft_model` in sglang/srt/configs/model_config.py.
 */
const proposing: Readonly<Record<EngineName, RegExp>> = {
  vllm: /^(deepseek_v3|deepseek_v32|deepseek_v4|glm_moe_dsa|glm4_moe|glm4_moe_lite|glm5_next|kimi_k3|mimo|mimo_v2\w*|ernie4_5_moe|nemotron_h|qwen3_next|qwen4_exp|qwen3_5\w*|bailing_hybrid|exaone_moe|longcat_flash|step3p5|step3p7|hy_v3|hy_v4|inkling\w*|minimax_m3_vl)(_text)?$/,
  sglang:
    /^(deepseek_v3|deepseek_v32|deepseek_v4|glm_moe_dsa|glm4_moe|glm4_moe_lite|glm5_next|mimo|mimo_v2\w*|ernie4_5_moe|nemotron_h|qwen3_next|qwen4_exp|qwen3_5\w*|bailing_hybrid|exaone_moe|longcat_flash|step3p5|step3p7|hy_v3|hy_v4|inkling\w*)(_text)?$/,
};

/** The kind of proposer as each engine calls it. */
const methods = {
  MTP: { vllm: "mtp", sglang: "NEXTN" },
  DSpark: { vllm: "dspark", sglang: "DSPARK" },
  eagle: { vllm: "eagle", sglang: "EAGLE" },
  eagle3: { vllm: "eagle3", sglang: "EAGLE3" },
  model: { vllm: "draft_model", sglang: "STANDALONE" },
} as const;

/**
 * The flags of speculative decoding with `step` new tokens, of which one is the model's own: none where a step has one token and nothing
 * else proposes. Throws FormatError where the engine cannot use what proposes.
 */
export function draftFlags(
  engine: EngineName,
  blueprint: Blueprint,
  { step, proposer }: { readonly step: number; readonly proposer?: Proposer | undefined },
): Flag[] {
  if (step === 1) return [];
  const { title, version } = enginesBy[engine];
  const kind = kindOf(blueprint, proposer);
  if (kind === undefined)
    throw new FormatError(
      `--step: got ${step} with ${blueprint.name}, whose plan has no layers that propose tokens, expected --draft with what does`,
    );
  const sparks =
    kind === "DSpark" && (engine === "vllm" ? /^deepseek_v41/ : /^deepseek_v4/).test(blueprint.architecture);
  if (!proposer && !sparks && (kind === "DSpark" || !proposing[engine].test(blueprint.architecture)))
    throw new FormatError(
      `--step: got ${step}, expected 1: ${title} ${version} does not use the ${kind} layers of ${blueprint.architecture}; name another proposer with --draft`,
    );
  const [method, tokens] = [methods[kind][engine], step - 1];
  const what = proposer ? proposer.blueprint.name : `the model's own ${kind} layers`;
  const why = `${what} propose ${tokens} ${tokens === 1 ? "token" : "tokens"} of the ${step} of a step`;
  if (engine === "vllm") {
    const config = { method, model: proposer?.path, num_speculative_tokens: tokens };
    return [{ flag: "--speculative-config", value: JSON.stringify(config), why }];
  }
  return [
    { flag: "--speculative-algorithm", value: method, why },
    ...(proposer ? [{ flag: "--speculative-draft-model-path", value: proposer.path, why: "what proposes" }] : []),
    { flag: "--speculative-num-steps", value: String(tokens), why: "one after the other" },
    { flag: "--speculative-eagle-topk", value: "1", why: "a chain, as the plan counts it, and no tree" },
    { flag: "--speculative-num-draft-tokens", value: String(step), why: "those, and the model's own" },
  ];
}

function kindOf({ draft }: Blueprint, proposer?: Proposer): keyof typeof methods | undefined {
  if (!proposer) return draft && (draft.name === "DSpark" ? "DSpark" : "MTP");
  const { architecture } = proposer.blueprint;
  return architecture === "eagle" || architecture === "eagle3" ? architecture : "model";
}
