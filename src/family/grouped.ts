import { z } from "zod";
import type { Feature, Sizes } from "../attention/define.ts";
import { gqa } from "../attention/variant/gqa.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { mustBe } from "./config.ts";
import type { DecoderConfig } from "./decoder.ts";
import { type Architecture, defineArchitecture, type Settings, u32 } from "./gguf.ts";
import { type RopeConfig, scaledRotation } from "./scaling.ts";
import type { Rows } from "./source.ts";
import { type Place, place, type Table } from "./table.ts";

/** What a config of a model of grouped heads says. */
type GroupedConfig = DecoderConfig &
  RopeConfig & { readonly attention_bias: boolean; readonly mlp_bias?: boolean | undefined };

/** A model of grouped-query attention over the whole head, half-split rotary pairs, and SwiGLU. Throws FormatError. */
export function groupedModel(config: GroupedConfig, features: readonly Feature[] = []): Model {
  const { hidden_size: d, num_attention_heads: h } = config;
  const g = config.num_key_value_heads ?? h;
  const e = config.head_dim ?? d / h;
  if (!Number.isInteger(e) || e % 2)
    throw new FormatError(
      `head_dim: got ${e} (hidden_size ${d} / ${h} heads), expected an even number; rotary dims come in pairs`,
    );
  if (h % g)
    throw new FormatError(
      `num_key_value_heads: got ${g}, expected a divisor of the ${h} attention heads; correct the config`,
    );
  const sizes: Sizes = {
    d,
    h,
    g,
    n: 0,
    r: e,
    e,
    v: e,
    c: 0,
    q: 0,
    o: 0,
    bias: config.attention_bias ? "all" : undefined,
    eps: features.length ? config.rms_norm_eps : undefined,
    with: features.length ? Object.fromEntries(features.map((feature) => [feature, true as const])) : undefined,
  };
  const { rotation } = scaledRotation(config, e, "half");
  return {
    vocabulary: config.vocab_size,
    width: d,
    layers: Array.from({ length: config.num_hidden_layers }, () => ({
      attention: { variant: gqa, sizes, rotation },
      feed: { kind: "dense" as const, f: config.intermediate_size, bias: config.mlp_bias },
    })),
    tied: config.tie_word_embeddings,
    eps: config.rms_norm_eps,
  };
}

/** Where a layer of grouped heads has its parameters; `queries` and `keys` reorder a GGUF file's rows of these. */
export function groupedTable(
  { d, h, g, e, v, bias, with: has }: Sizes,
  order?: { readonly queries: Rows; readonly keys: Rows },
): Table {
  const [queries, keys] = [order?.queries, order?.keys];
  return {
    wQ: reorder(place("q_proj.weight", "attn_q.weight", [h * e, d]), queries),
    bQ: bias ? reorder(place("q_proj.bias", "attn_q.bias", [h * e]), queries) : undefined,
    wK: reorder(place("k_proj.weight", "attn_k.weight", [g * e, d]), keys),
    bK: bias ? reorder(place("k_proj.bias", "attn_k.bias", [g * e]), keys) : undefined,
    wV: place("v_proj.weight", "attn_v.weight", [g * v, d]),
    bV: bias ? place("v_proj.bias", "attn_v.bias", [g * v]) : undefined,
    wO: place("o_proj.weight", "attn_output.weight", [d, h * v]),
    bO: bias === "all" ? place("o_proj.bias", "attn_output.bias", [d]) : undefined,
    gQH: has?.qkNorm ? place("q_norm.weight", "attn_q_norm.weight", [e]) : undefined,
    gKH: has?.qkNorm ? place("k_norm.weight", "attn_k_norm.weight", [e]) : undefined,
  };
}

/** The place with other rows in a GGUF file. */
function reorder({ hub, gguf }: Place, rows: Rows | undefined): Place {
  return { hub, gguf: { usual: { ...gguf.usual!, rows } } };
}

/** The settings of an architecture of grouped heads. */
export const groupedSettings: Settings = {
  "attention.head_count_kv": { hub: "num_key_value_heads", absent: null },
  "attention.key_length": { hub: "head_dim", absent: null },
};

/** An architecture of grouped heads, of the hub's `type`. */
export function groupedArchitecture(type: "llama" | "qwen3", tables?: readonly string[]): Architecture {
  return defineArchitecture({
    name: type,
    tables,
    settings: groupedSettings,
    others: {
      "attention.value_length": z.number().optional(),
      "rope.dimension_count": z.number().optional(),
    },
    read(others, plain, { shapeOf }) {
      const e = (plain.head_dim ?? Number(plain.hidden_size) / Number(plain.num_attention_heads)) as number;
      mustBe("attention.value_length", others["attention.value_length"], e, "attention.key_length");
      mustBe("rope.dimension_count", others["rope.dimension_count"], e, "attention.key_length");
      return {
        model_type: type,
        head_dim: e,
        attention_bias: shapeOf("blk.0.attn_q.bias") !== undefined,
        // Qwen3's configs have no such key.
        mlp_bias: type === "llama" ? shapeOf("blk.0.ffn_up.bias") !== undefined : undefined,
      };
    },
    write(_config, model) {
      const { g, e } = model.layers[0]!.attention.sizes;
      return {
        "attention.head_count_kv": u32(g),
        "attention.key_length": u32(e),
        "attention.value_length": u32(e),
        "rope.dimension_count": u32(e),
      };
    },
  });
}
