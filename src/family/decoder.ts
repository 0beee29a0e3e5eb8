import { z } from "zod";
import type { Attention } from "../attention/layer.ts";
import type { FeedForward, Model } from "../model/model.ts";
import { type Config, count, limits } from "./config.ts";
import { perHead, type Rows, type Scales, type Source, type Sources } from "./source.ts";
import { type Place, type Places, place, type Table, within } from "./table.ts";

/** Whether the head is the embedding's transpose: `otherwise` where the config has no word of it, not where it says null, as in Python. */
export const tie = (otherwise: boolean) =>
  z
    .boolean()
    .nullish()
    .transform((tied) => (tied === undefined ? otherwise : tied === true));

/** What the config of every decoder says. */
export const decoderKeys = {
  vocab_size: count(limits.vocabulary),
  hidden_size: count(limits.width),
  intermediate_size: count(limits.width * 8),
  num_hidden_layers: count(limits.layers),
  num_attention_heads: count(limits.heads),
  num_key_value_heads: count(limits.heads).nullish(),
  head_dim: count(limits.width).nullish(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().min(0).max(1).default(1e-6),
  tie_word_embeddings: tie(false),
};
const decoderSchema = z.object(decoderKeys);
export type DecoderConfig = z.infer<typeof decoderSchema>;

/** How FP8 checkpoints with a scale per block say so (DeepSeek-V3, arXiv 2412.19437, section 3.3). */
export const fp8Schema = z.strictObject({
  quant_method: z.literal("fp8"),
  fmt: z.literal("e4m3").optional(),
  weight_block_size: z.tuple([count(limits.width), count(limits.width)]),
  // How activations are rounded where arithmetic is in 8 bits, and how the scales were chosen: neither changes the weights.
  activation_scheme: z.literal("dynamic").optional(),
  scale_fmt: z.string().optional(),
  modules_to_not_convert: z.array(z.string()).nullish(),
});

/** The same sources with each matrix's scales named, where the config says that there are any. */
export function withScales(sources: Sources, config: Config): Sources {
  if (!config.quantization_config) return sources;
  const scales: Scales = {
    suffix: "_scale_inv",
    block: fp8Schema.parse(config.quantization_config).weight_block_size,
  };
  return new Map([...sources].map(([name, s]) => [name, s.layout === "transposed" ? { ...s, scales } : s]));
}

/** What folders of a family call the parts of a decoder. */
export interface Names {
  readonly embedding: string;
  /** Within a layer: its attention, its dense feed-forward half, and one with experts. */
  readonly attention: string;
  readonly dense: string;
  readonly sparse: string;
  /** Matrices of each expert, and the bias that picks among them. */
  readonly expert: readonly [gate: string, up: string, down: string];
  readonly correction: string;
}

/** What most families call them. */
export const usualNames: Names = {
  embedding: "embed_tokens",
  attention: "self_attn",
  dense: "mlp",
  sparse: "mlp",
  expert: ["gate_proj", "up_proj", "down_proj"],
  correction: "e_score_correction_bias",
};

/** The places of all parameters of a decoder; `attention` gives those of one layer's attention. */
export function decoderPlaces(
  model: Model,
  attention: (attention: Attention) => Table,
  names: Names = usualNames,
): Places {
  const { width: d, vocabulary } = model;
  const all = new Map<string, Place>();
  const rows = (tensor: string): Source => ({ tensors: [tensor], shape: [vocabulary, d], layout: "stored" });
  all.set("embed", { hub: rows(`model.${names.embedding}.weight`), gguf: { usual: rows("token_embd.weight") } });
  model.layers.forEach((layer, i) => {
    const add = (ours: string, hub: string, table: Table) => {
      for (const [name, one] of Object.entries(table))
        if (one)
          all.set(`layers.${i}.${ours}${name}`, within({ hub: `model.layers.${i}.${hub}`, gguf: `blk.${i}.` }, one));
    };
    add("", "", { normAttention: place("input_layernorm.weight", "attn_norm.weight", [d]) });
    add("attention.", `${names.attention}.`, attention(layer.attention));
    add("", "", { normFeed: place("post_attention_layernorm.weight", "ffn_norm.weight", [d]) });
    if (layer.feed.kind === "dense") add("feed.", `${names.dense}.`, denseTable(layer.feed, d));
    else add("feed.", `${names.sparse}.`, expertTable(layer.feed, d, names));
  });
  all.set("norm", place("model.norm.weight", "output_norm.weight", [d]));
  if (!model.tied) all.set("head", place("lm_head.weight", "output.weight", [vocabulary, d]));
  return all;
}

function denseTable({ f, bias }: { readonly f: number; readonly bias?: boolean | undefined }, d: number): Table {
  return {
    wGate: place("gate_proj.weight", "ffn_gate.weight", [f, d]),
    bGate: bias ? place("gate_proj.bias", "ffn_gate.bias", [f]) : undefined,
    wUp: place("up_proj.weight", "ffn_up.weight", [f, d]),
    bUp: bias ? place("up_proj.bias", "ffn_up.bias", [f]) : undefined,
    wDown: place("down_proj.weight", "ffn_down.weight", [d, f]),
    bDown: bias ? place("down_proj.bias", "ffn_down.bias", [d]) : undefined,
  };
}

/** A folder has a tensor for each expert, a GGUF file all of a layer's in one: of newer files gates and ups in one as well. */
function expertTable(
  { x, f, shared, routing }: Extract<FeedForward, { kind: "experts" }>,
  d: number,
  { expert: [gate, up, down], correction }: Names,
): Table {
  const stacked = (tensor: string, out: number, inputs: number, rows?: Rows): Source => ({
    tensors: [tensor],
    shape: [x, out, inputs],
    slices: x,
    layout: "transposed",
    rows,
  });
  const experts = (tensor: string, out: number, inputs: number): Source => ({
    tensors: Array.from({ length: x }, (_, i) => `experts.${i}.${tensor}`),
    shape: [out, inputs],
    layout: "transposed",
  });
  const merged = (from: number, to: number) =>
    stacked("ffn_gate_up_exps.weight", 2 * f, d, perHead(1, 2 * f, from, to));
  return {
    wRoute: place("gate.weight", "ffn_gate_inp.weight", [x, d]),
    bRoute: routing.scores === "sigmoid" ? place(`gate.${correction}`, "exp_probs_b.bias", [x]) : undefined,
    wGate: {
      hub: experts(`${gate}.weight`, f, d),
      gguf: { apart: stacked("ffn_gate_exps.weight", f, d), merged: merged(0, f) },
    },
    wUp: {
      hub: experts(`${up}.weight`, f, d),
      gguf: { apart: stacked("ffn_up_exps.weight", f, d), merged: merged(f, 2 * f) },
    },
    wDown: {
      hub: experts(`${down}.weight`, d, f),
      gguf: { usual: stacked("ffn_down_exps.weight", d, f) },
    },
    "shared.wGate": shared ? place("shared_experts.gate_proj.weight", "ffn_gate_shexp.weight", [shared, d]) : undefined,
    "shared.wUp": shared ? place("shared_experts.up_proj.weight", "ffn_up_shexp.weight", [shared, d]) : undefined,
    "shared.wDown": shared ? place("shared_experts.down_proj.weight", "ffn_down_shexp.weight", [d, shared]) : undefined,
  };
}

/**
 * Old checkpoints carry the rotary frequencies as a buffer, tied ones sometimes the head a second time, and some after their last
 * layer those that predict further tokens.
 */
export function ignoresTensor(tensor: string, model: Model, config: Config): boolean {
  const layer = Number(/^model\.layers\.(\d+)\./.exec(tensor)?.[1] ?? 0) - model.layers.length;
  const further = Number(config.num_nextn_predict_layers ?? 0);
  return (
    /\.rotary_emb\.inv_freq$/.test(tensor) ||
    (model.tied && tensor === "lm_head.weight") ||
    (layer >= 0 && layer < further)
  );
}
