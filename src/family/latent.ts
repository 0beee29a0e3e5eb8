import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { mla } from "../attention/variant/mla.ts";
import type { FeedForward, Model } from "../model/model.ts";
import type { Rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, count, limits, mustBe } from "./config.ts";
import type { DecoderConfig } from "./decoder.ts";
import { type Architecture, defineArchitecture, type Settings, u32 } from "./gguf.ts";
import { type RopeConfig, ropeKeys, scaledRotation } from "./scaling.ts";
import { linear, perHead, type Source } from "./source.ts";
import { type Place, place, type Table } from "./table.ts";

/** The keys that describe one MLA layer under the names of DeepSeek's configs. */
export const latentKeys = {
  hidden_size: count(limits.width),
  num_attention_heads: count(limits.heads),
  q_lora_rank: count(limits.width).nullish(),
  kv_lora_rank: count(limits.width),
  qk_nope_head_dim: count(limits.width),
  // 0: no position anywhere (NoPE).
  qk_rope_head_dim: z.number().int().min(0).max(limits.width),
  v_head_dim: count(limits.width),
  attention_bias: z.boolean().default(false),
  ...ropeKeys,
};
const latentSchema = z.object(latentKeys);

/** One MLA layer by the keys of `latentKeys`; YaRN's softmax factor is in its scale. Throws FormatError. */
export function latentAttention(
  config: z.infer<typeof latentSchema> & RopeConfig,
  layout: Rotation["layout"] = "interleaved",
): Attention {
  const [n, r] = [config.qk_nope_head_dim, config.qk_rope_head_dim];
  if (r % 2) throw new FormatError(`qk_rope_head_dim: got ${r}, expected an even number; rotary dims come in pairs`);
  const sizes: Sizes = {
    d: config.hidden_size,
    h: config.num_attention_heads,
    g: 0,
    n,
    r,
    e: n + r,
    v: config.v_head_dim,
    c: config.kv_lora_rank,
    q: config.q_lora_rank ?? 0,
    o: 0,
    bias: config.attention_bias ? "all" : undefined,
  };
  const { rotation, softmax } = scaledRotation(config, r, layout);
  return { variant: mla, sizes, rotation, scale: mla.scale(sizes) * softmax };
}

/** Sizes that follow from others and that MLA's configs say once more. */
export const impliedKeys = {
  // That of the rotary part, which may be none.
  head_dim: z.number().int().min(0).max(limits.width).nullish(),
  qk_head_dim: count(limits.width).nullish(),
  mlp_bias: z.literal(false).optional(),
};

/** Throws FormatError where a size of a config that follows from others is another. */
export function checkImplied(config: {
  readonly num_attention_heads: number;
  readonly qk_nope_head_dim: number;
  readonly qk_rope_head_dim: number;
  readonly num_key_value_heads?: number | null | undefined;
  readonly head_dim?: number | null | undefined;
  readonly qk_head_dim?: number | null | undefined;
}): void {
  const { num_attention_heads: h, qk_rope_head_dim: r, qk_nope_head_dim: n } = config;
  mustBe("num_key_value_heads", config.num_key_value_heads, h, "num_attention_heads");
  mustBe("head_dim", config.head_dim, r, "qk_rope_head_dim");
  mustBe("qk_head_dim", config.qk_head_dim, n + r, "qk_nope_head_dim + qk_rope_head_dim");
}

/**
 * Where an MLA layer's parameters lie: rows of `kv_a_proj_with_mqa` are [latent | rotary key]; those of `kv_b_proj`, per head,
 * [key | value]; those of the query projection, per head, [without position | rotary]. Newer GGUF files have key and value
 * up-projections apart, as absorption asks for them: `[h, c, n]` and `[h, v, c]`.
 */
export function latentTable({ d, h, n, r, e, v, c, q, bias }: Sizes): Table {
  const query = (from: number, to: number) =>
    q
      ? place("q_b_proj.weight", "attn_q_b.weight", [h * e, q], perHead(h, e, from, to))
      : place("q_proj.weight", "attn_q.weight", [h * e, d], perHead(h, e, from, to));
  const down = (ending: string, shape: readonly [number, number] | readonly [number], from: number, to: number) =>
    place(`kv_a_proj_with_mqa.${ending}`, `attn_kv_a_mqa.${ending}`, shape, perHead(1, c + r, from, to));
  const up = (from: number, to: number, absorbed: Source): Place => {
    const joint = (tensor: string) => linear(tensor, h * (n + v), c, perHead(h, n + v, from, to));
    return { hub: joint("kv_b_proj.weight"), gguf: { absorbed, joint: joint("attn_kv_b.weight") } };
  };
  return {
    wDQ: q ? place("q_a_proj.weight", "attn_q_a.weight", [q, d]) : undefined,
    bDQ: q && bias ? place("q_a_proj.bias", "attn_q_a.bias", [q]) : undefined,
    gQ: q ? place("q_a_layernorm.weight", "attn_q_a_norm.weight", [q]) : undefined,
    wUQ: query(0, n),
    wQR: r ? query(n, e) : undefined,
    wDKV: down("weight", [c + r, d], 0, c),
    bDKV: bias ? down("bias", [c + r], 0, c) : undefined,
    gKV: place("kv_a_layernorm.weight", "attn_kv_a_norm.weight", [c]),
    wKR: r ? down("weight", [c + r, d], c, c + r) : undefined,
    bKR: r && bias ? down("bias", [c + r], c, c + r) : undefined,
    wUK: up(0, n, { tensors: ["attn_k_b.weight"], shape: [h, c, n], layout: "swapped" }),
    wUV: up(n, n + v, { tensors: ["attn_v_b.weight"], shape: [h, v, c], layout: "transposed" }),
    wO: place("o_proj.weight", "attn_output.weight", [d, h * v]),
    bO: bias === "all" ? place("o_proj.bias", "attn_output.bias", [d]) : undefined,
  };
}

/** The settings of MLA in GGUF files but for the widths of its heads. */
export const latentSettings: Settings = {
  "attention.q_lora_rank": { hub: "q_lora_rank", absent: null },
  "attention.kv_lora_rank": { hub: "kv_lora_rank" },
};

/** Keys of a GGUF header that say how wide MLA's heads are. */
const widthKeys = {
  "attention.head_count_kv": z.number().optional(),
  "attention.key_length": z.number().optional(),
  "attention.value_length": z.number().optional(),
  "attention.key_length_mla": z.number().optional(),
  "attention.value_length_mla": z.number().optional(),
  "rope.dimension_count": z.number().optional(),
};

/**
 * The widths of MLA's heads under the hub's keys: older files have them under `key_length` and `value_length`, newer ones under
 * keys of their own and there the latent's, which stands for all heads. What is no number in the header is undefined.
 */
export function latentWidths(said: (key: string) => unknown) {
  const width = (key: string) => {
    const value = said(`attention.${key}_mla`) ?? said(`attention.${key}`);
    return typeof value === "number" ? value : undefined;
  };
  const [e, v, r] = [width("key_length"), width("value_length"), said("rope.dimension_count")];
  const turned = typeof r === "number" ? r : undefined;
  return {
    qk_rope_head_dim: turned,
    qk_nope_head_dim: e === undefined || turned === undefined ? undefined : e - turned,
    v_head_dim: v,
  };
}

/** An architecture of MLA by what it has beside: `read` and `write` as in `defineArchitecture`. */
export function latentArchitecture<S extends z.ZodRawShape>({
  others,
  ...own
}: Parameters<typeof defineArchitecture<S>>[0]): Architecture {
  return defineArchitecture({
    ...own,
    settings: { ...latentSettings, ...own.settings },
    others: { ...widthKeys, ...others },
    read(all, plain, header) {
      const keys = all as Config;
      const widths = latentWidths((key) => keys[key]);
      for (const [key, width] of [
        ["rope.dimension_count", widths.qk_rope_head_dim],
        ["attention.key_length", widths.qk_nope_head_dim],
      ] as const)
        if (width === undefined) throw new FormatError(`${key}: got nothing, expected a number; use another file`);
      const absorbed = keys["attention.key_length_mla"] !== undefined;
      if (absorbed !== (keys["attention.value_length_mla"] !== undefined))
        throw new FormatError(
          "attention.key_length_mla: got one of it and attention.value_length_mla, expected both or neither; use another file",
        );
      if (absorbed && header.shapeOf("blk.0.attn_k_b.weight")) {
        const [c, r] = [Number(plain.kv_lora_rank), widths.qk_rope_head_dim!];
        const said = (key: string) => keys[key] as number | undefined;
        mustBe("attention.key_length", said("attention.key_length"), c + r, "kv_lora_rank + rope.dimension_count");
        mustBe("attention.value_length", said("attention.value_length"), c, "kv_lora_rank");
      }
      return {
        ...widths,
        attention_bias: header.shapeOf("blk.0.attn_kv_a_mqa.bias") !== undefined,
        ...own.read(all as z.infer<z.ZodObject<S>>, plain, header),
      };
    },
    write(config, model, layout) {
      const { h, e, r, v, c } = model.layers[0]!.attention.sizes;
      const absorbed = layout === "absorbed";
      return {
        "rope.dimension_count": u32(r),
        "attention.head_count_kv": u32(absorbed ? 1 : h),
        "attention.key_length": u32(absorbed ? c + r : e),
        "attention.value_length": u32(absorbed ? c : v),
        "attention.key_length_mla": absorbed ? u32(e) : undefined,
        "attention.value_length_mla": absorbed ? u32(v) : undefined,
        ...own.write(config, model, layout),
      };
    },
  });
}

/** A model of layers with the attention of their number, and its experts or else a dense MLP. */
export function decoder(
  config: DecoderConfig,
  attention: (layer: number) => Attention,
  experts: (layer: number) => FeedForward | undefined,
): Model {
  return {
    vocabulary: config.vocab_size,
    width: config.hidden_size,
    layers: Array.from({ length: config.num_hidden_layers }, (_, i) => ({
      attention: attention(i),
      feed: experts(i) ?? { kind: "dense", f: config.intermediate_size },
    })),
    tied: config.tie_word_embeddings,
    eps: config.rms_norm_eps,
  };
}
