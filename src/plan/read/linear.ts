import { type Costed, paramsOf, shapeOf } from "../../attention/define.ts";
import type { Blueprint } from "../../cost/blueprint.ts";
import type { Part } from "../../cost/part.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** Matrices that are alike in some layers of a model: what a quantization config says of modules by their names. */
export interface Linear {
  readonly part: Part;
  /** What checkpoints call it, with # for the layer's number. */
  readonly names: readonly string[];
  /** Numbers of all of these layers together, and how many layers there are. */
  readonly parameters: number;
  readonly layers: number;
  /** Numbers that one output sums over. */
  readonly inner: number;
}

/** What checkpoints call the modules of which a variant's parameter is all or a part; the rest of a name is put before. */
const modules: Readonly<Record<string, string>> = {
  wQ: "q_proj q_b_proj qkv_proj wq wq_b in_proj_qkv in_proj_qkvz query_key_value",
  wUQ: "q_proj q_b_proj wq_b",
  wQR: "q_proj q_b_proj wq_b",
  wDQ: "q_a_proj wq_a fused_qkv_a_proj",
  wK: "k_proj qkv_proj wk in_proj_qkv in_proj_qkvz query_key_value",
  wV: "v_proj qkv_proj wv in_proj_qkv in_proj_qkvz query_key_value",
  wDKV: "kv_a_proj_with_mqa fused_qkv_a_proj wkv_a",
  wKR: "kv_a_proj_with_mqa fused_qkv_a_proj wkv_a",
  wUK: "kv_b_proj wkv_b",
  wUV: "kv_b_proj wkv_b",
  wO: "o_proj out_proj dense wo wo_b",
  wDO: "o_a_proj wo_a",
  wC: "kv_proj wkv",
  wG: "g_proj gate_proj in_proj_z in_proj_qkvz",
  wA: "in_proj_a in_proj_ba a_proj",
  wB: "in_proj_b in_proj_ba b_proj",
  wDF: "f_a_proj",
  wUF: "f_b_proj",
  wDG: "g_a_proj",
  wUG: "g_b_proj",
  wQI: "indexer.wq_b",
  wKI: "indexer.wk",
  wWI: "indexer.weights_proj",
  wPV: "compressor.wkv",
  wPG: "compressor.wgate",
};

const feeds = ["mlp", "block_sparse_moe", "feed_forward", "ffn", "moe"];
const layerNames = ["model.layers.#.", "model.language_model.layers.#.", "language_model.model.layers.#."];
const mlp = ["gate_proj gate_up_proj w1", "up_proj gate_up_proj w3", "down_proj w2"];

const [attends, keepsState] = [
  ["self_attn", "attention", "attn"],
  ["linear_attn", "mixer", "mamba"],
];
const either = [...attends, ...keepsState];

/** What attention is called within a layer: where some layers have a state, those have a name of their own, but for Kimi's. */
function holdersOf({ name, state }: Costed): readonly string[] {
  if (!state) return attends;
  return name.startsWith("KDA") ? either : keepsState;
}

/** Names of a module: within each layer, by each way to say it. */
const namesOf = (holders: readonly string[], module: readonly string[]): readonly string[] =>
  layerNames.flatMap((layer) => holders.flatMap((holder) => module.map((name) => `${layer}${holder}.${name}`)));

const known = new Map<readonly string[], Map<string, readonly string[]>>();

/** Names of the module that a parameter of attention belongs to; made once, for there are few. */
function attentionNames(variant: Costed, parameter: string): readonly string[] {
  const holders = holdersOf(variant);
  const some = known.get(holders) ?? new Map<string, readonly string[]>();
  known.set(holders, some);
  const found = some.get(parameter) ?? namesOf(holders, (modules[parameter] ?? parameter).split(" "));
  some.set(parameter, found);
  return found;
}

/** Names of the matrices of an MLP: the gate, up and down; of a dense one, of shared experts, and of one expert that stands for all. */
const mlpNames = mlp.map((text) => {
  const within = (...holders: string[]) =>
    namesOf(
      feeds,
      holders.flatMap((holder) => text.split(" ").map((name) => holder + name)),
    );
  return {
    dense: within(""),
    shared: within("shared_experts.", "shared_expert."),
    expert: within("experts.0.", "experts."),
  };
});

/** The matrices of a blueprint's layers. Routers, filters and vectors are none: no scheme that is known quantises them. */
export function linearsOf({ layers, width }: Blueprint): Linear[] {
  const linears = new Map<string, Linear>();
  const add = (key: string, { parameters, layers, ...rest }: Linear) => {
    const known = linears.get(key) ?? { parameters: 0, layers: 0 };
    linears.set(key, { ...rest, parameters: known.parameters + parameters * layers, layers: known.layers + layers });
  };
  for (const { count, attention, feed } of layers) {
    const { variant, sizes } = attention;
    for (const [name, axes] of paramsOf(variant, sizes)) {
      const shape = shapeOf(axes, sizes);
      if (!name.startsWith("w") || shape.length < 2) continue;
      const names = attentionNames(variant, name);
      const inner = axes.endsWith(" d") ? sizeOf(shape.slice(0, -1)) : shape[0]!;
      add(`${variant.name} ${name}`, { part: "attention", names, layers: count, parameters: sizeOf(shape), inner });
    }
    const router = feed.experts * width;
    for (const [i, { dense, shared, expert }] of mlpNames.entries()) {
      const alike = { layers: count, inner: width } as const;
      const always = Math.max(0, feed.always - router) / 3;
      const [kind, own] = feed.experts ? ["shared", shared] : ["dense", dense];
      add(`${kind} ${i}`, { ...alike, part: "feed", names: own, parameters: always });
      if (feed.experts)
        add(`expert ${i}`, {
          ...alike,
          part: "expert",
          names: expert,
          parameters: (feed.experts * feed.expert) / 3,
        });
    }
  }
  return [...linears.values()];
}
