import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { kda } from "../attention/variant/kda.ts";
import type { Model } from "../model/model.ts";
import { rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, mustBe } from "./config.ts";
import { type Entries, u32 } from "./gguf.ts";
import { latentWidths } from "./latent.ts";
import { numbers, type Source } from "./source.ts";
import { place, type Table } from "./table.ts";

// What families share whose layers are KDA, with a state of fixed size, or MLA, with a latent for each token.

/** Taps of a short convolution. */
export const taps = z.number().int().min(2).max(8);

/** What says how wide a KDA layer is: `c` is the rank of its gates, 0 for gates of one matrix each. */
type DeltaWidths = Readonly<Record<"d" | "h" | "n" | "c" | "w", number>> & Pick<Sizes, "eps" | "floor">;

/** One KDA layer of Moonshot's kind: as many key heads as value heads, of one width, and an output gate without a bias. */
export function deltaAttention({ d, h, n, c, w, eps, floor }: DeltaWidths): Attention {
  const own = { d, h, g: h, n, r: 0, e: n, v: n, c, q: 0, o: 0, w, eps };
  const bounded = floor !== undefined && { floor };
  const sizes: Sizes = { ...own, ...bounded, with: { plainGate: true, ...(bounded && { boundedDecay: true }) } };
  return { variant: kda, sizes, rotation: rotation(0) };
}

/**
 * Where a KDA layer's parameters lie. `rate` is the decay's: folders hold its logarithm A_log, in one shape or another, and GGUF
 * files what their kernels multiply by. Gates of one matrix stand in GGUF under the name of a bottleneck's first.
 */
export function deltaTable(
  { d, h, n, v, c, w = 0 }: Sizes,
  rate: { readonly hub: Source; readonly gguf: Source },
): Table {
  const filter = (part: string, channels: number) => ({
    hub: numbers(`${part}_conv1d.weight`, [channels, 1, w]),
    gguf: { usual: numbers(`ssm_conv1d_${part}.weight`, [1, channels, 1, w]) },
  });
  const gate = (part: "f" | "g", out: number) => ({
    down: c ? place(`${part}_a_proj.weight`, `ssm_${part}_a.weight`, [c, d]) : undefined,
    up: c ? place(`${part}_b_proj.weight`, `ssm_${part}_b.weight`, [out, c]) : undefined,
    whole: c ? undefined : place(`${part}_proj.weight`, `ssm_${part}_a.weight`, [out, d]),
  });
  const [fade, output] = [gate("f", h * n), gate("g", h * v)];
  return {
    wQ: place("q_proj.weight", "attn_q.weight", [h * n, d]),
    wK: place("k_proj.weight", "attn_k.weight", [h * n, d]),
    wV: place("v_proj.weight", "attn_v.weight", [h * v, d]),
    fQ: filter("q", h * n),
    fK: filter("k", h * n),
    fV: filter("v", h * v),
    wB: place("b_proj.weight", "ssm_beta.weight", [h, d]),
    wDF: fade.down,
    wUF: fade.up,
    wF: fade.whole,
    bT: place("dt_bias", "ssm_dt.bias", [h * n]),
    aLog: { hub: rate.hub, gguf: { usual: rate.gguf } },
    wDG: output.down,
    wUG: output.up,
    wG: output.whole,
    gO: place("o_norm.weight", "ssm_norm.weight", [v]),
    wO: place("o_proj.weight", "attn_output.weight", [d, h * v]),
  };
}

/** Keys of a GGUF header that say how wide both kinds of layers are; heads of keys are 0 where a layer is KDA. */
export const hybridKeys = {
  "attention.key_length": z.number().optional(),
  // Not said by converters: what is there may be the config's head_dim, which is of no layer.
  "attention.value_length": z.number().optional(),
  "attention.key_length_mla": z.number(),
  "attention.value_length_mla": z.number(),
  "rope.dimension_count": z.number(),
  "ssm.conv_kernel": z.number(),
  "kda.head_dim": z.number(),
};
const hybridSchema = z.object(hybridKeys);

/** MLA's widths under the hub's keys. Throws FormatError where the header says two things. */
export function hybridWidths(others: z.infer<typeof hybridSchema>, plain: Config): Config {
  const widths = latentWidths((key) => (others as Config)[key]);
  const [c, r] = [Number(plain.kv_lora_rank), Number(widths.qk_rope_head_dim)];
  mustBe("attention.key_length", others["attention.key_length"], c + r, "kv_lora_rank + rope.dimension_count");
  return widths;
}

/** Which layers are MLA, by the heads of keys that a header lists. Throws FormatError for a list of another length. */
export function fullLayers(heads: readonly number[], layers: number): boolean[] {
  if (heads.length < layers)
    throw new FormatError(
      `attention.head_count_kv: got ${heads.length} entries, expected one for each of ${layers} layers; use another file`,
    );
  return heads.slice(0, layers).map((g) => g > 0);
}

/** The same written; `full` says which layers are MLA. */
export function hybridEntries(
  config: Config,
  model: Model,
  linear: { readonly n: number; readonly w: number },
): Entries {
  const [c, r] = [Number(config.kv_lora_rank), Number(config.qk_rope_head_dim)];
  return {
    "attention.head_count_kv": {
      type: "i32[]",
      value: model.layers.map(({ attention }) => (attention.variant === kda ? 0 : 1)),
    },
    "attention.key_length": u32(c + r),
    "attention.value_length": u32(c),
    "attention.key_length_mla": u32(Number(config.qk_nope_head_dim) + r),
    "attention.value_length_mla": u32(Number(config.v_head_dim)),
    "rope.dimension_count": u32(r),
    "ssm.conv_kernel": u32(linear.w),
    "kda.head_dim": u32(linear.n),
  };
}
