import type { Attention } from "../attention/layer.ts";
import { ownConfig } from "../family/biform.ts";
import type { Config } from "../family/config.ts";
import type { Model } from "../model/model.ts";
import { type Rotation, rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type LatentLayer, latentAttention, standardiseScale } from "./latent.ts";
import { fillMatrix, type Matrix, scaleMatrix } from "./matrix.ts";
import { type Factors, plainFactors, residualFactors } from "./residual.ts";
import { EPS, holdNorms, isBiased, type Still, wholeBottleneck } from "./still.ts";
import { tiesHead } from "./stock.ts";

/** The architectures that conversions are written as, in the order in which they are tried. */
export const architectures = ["deepseek_v3", "minicpm3", "youtu", "biform"] as const;
export type ArchitectureName = (typeof architectures)[number];

/** What is written: an architecture, in a folder or in a GGUF file. */
export interface Target {
  readonly architecture: ArchitectureName;
  readonly gguf: boolean;
  /** How the norms are kept from changing anything; undefined where there are none. */
  readonly still: Still | undefined;
  /** Why those tried before it would compute something else: the line that would lie, of each. */
  readonly refused: readonly string[];
}

/** What an architecture must have words for of a converted layer. */
export interface Outline {
  /** Latent, turned dims, key dims without position, value dims, rank of queries. */
  readonly sizes: readonly [c: number, r: number, n: number, v: number, q: number | null];
  readonly rotation: Rotation;
  readonly biased: boolean;
  readonly attention: Attention;
}

export const outlineOf = (layer: LatentLayer): Outline => ({
  sizes: sizesOf(layer),
  rotation: layer.rotation,
  biased: isBiased(layer),
  attention: latentAttention(layer).attention,
});

/** A model, its converted layers, and the config that it came from. */
export interface Wanted {
  readonly model: Model;
  /** Undefined where a layer stays as it is. */
  readonly layers: readonly (Outline | undefined)[];
  readonly source: Config;
}

/**
 * The first architecture that computes exactly these layers, or the asked one. Throws FormatError, naming the line of its config that
 * would lie, where the asked one does not.
 */
export function chooseTarget(wanted: Wanted, gguf: boolean, asked?: ArchitectureName): Target {
  const refused: string[] = [];
  for (const architecture of asked ? [asked] : architectures) {
    const reason = refuse(architecture, wanted, gguf);
    if (reason) {
      refused.push(`${architecture}: ${reason}`);
      continue;
    }
    const still =
      architecture === "biform" ? undefined : wanted.layers.some((layer) => layer?.biased) ? "constant" : "shrunk";
    return { architecture, gguf, still, refused };
  }
  throw new FormatError(refused[0]!);
}

/** Why an architecture computes another function than these layers; undefined where it computes just this one. */
function refuse(
  architecture: ArchitectureName,
  { model, layers: given, source }: Wanted,
  gguf: boolean,
): string | undefined {
  if (architecture === "biform") return undefined;
  const left = given.indexOf(undefined);
  if (left >= 0)
    return `model_type: got ${model.layers[left]!.attention.variant.name} that stays as it is in layer ${left}, expected MLA in all; the config has no words for both`;
  const layers = given as readonly Outline[];
  const first = layers[0]!;
  const { name } = first.attention.variant;
  if (name !== "MLA") return `model_type: got ${name}, expected MLA; no engine's config has words for it`;
  const h = first.attention.sizes.h;
  const [, r, n, v] = first.sizes;
  for (const [i, { sizes }] of layers.entries()) {
    const odd = sizes.findIndex((size, at) => size !== first.sizes[at]);
    if (odd >= 0)
      return `${sizeKeys[odd]}: got ${sizes[odd]} in layer ${i} and ${first.sizes[odd]} in layer 0, expected the same in all; the config has one`;
  }
  const turned = layers.findIndex(({ rotation }) => `${rotation.frequencies}` !== `${first.rotation.frequencies}`);
  if (turned >= 0)
    return `rope_scaling: got other frequencies in layer ${turned} than in layer 0, expected the same in all; the config has one list`;
  if (first.rotation.beyond) return "rope_scaling: got other angles from some position on, expected one list";
  if (!model.eps)
    return "rms_norm_eps: got 0, expected more; what stands for a norm that is not there divides by its root";
  const feed = model.layers.find(({ feed }) => feed.kind !== "dense" || feed.bias)?.feed;
  if (feed)
    return feed.kind === "dense"
      ? "mlp_bias: got biases in the feed-forward halves, expected none; there is no such key"
      : "n_routed_experts: got experts, expected dense layers; routers of other families differ";
  if (model.scales) return "scale_emb: got factors on embeddings or branches, expected none; there are no such keys";
  const biased = layers.some((layer) => layer.biased);
  if (architecture === "minicpm3") {
    if (biased) return "attention_bias: got biases, expected none; engines read minicpm3 without them";
    if (model.width % h) return `num_attention_heads: got ${h}, expected a divisor of ${model.width}`;
    if (v > n + r) return `v_head_dim: got ${v}, expected at most the key's ${n + r}; engines pad values to keys`;
    return undefined;
  }
  const series = isSeries(first, source);
  // Both are deepseek2 in a file. A folder of youtu is for transformers alone, in which it computes what deepseek_v3 does there.
  if (biased && gguf)
    return "attn_kv_a_mqa.bias: got biases, expected none; llama.cpp's deepseek2 has no tensors for them";
  if (!series && gguf)
    return "rope_scaling: got frequencies that are no geometric series, expected one; llama.cpp's deepseek2 has no tensor for a list";
  if (architecture === "youtu") return undefined;
  if (biased)
    return "attention_bias: got biases, expected none; vLLM makes layers of deepseek_v3 without them, and drops those of a file";
  if (!series)
    return "rope_scaling: got frequencies that are no geometric series, expected one; vLLM takes a list beside deepseek_v3 for YaRN";
  return undefined;
}

/** The keys of a config that `Outline.sizes` are under. */
const sizeKeys = ["kv_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "q_lora_rank"] as const;

const sizesOf = (of: LatentLayer) =>
  [of.latent.rows, of.shared.rows, of.n, of.v, of.bottleneck?.down.rows ?? null] as const;

const thetaOf = (source: Config) => {
  const scaling = (source.rope_parameters ?? source.rope_scaling ?? {}) as Config;
  return Number(scaling.rope_theta ?? source.rope_theta ?? 10000);
};

/** What each pair's frequency of the plain series is divided by. */
function divisors({ rotation: { frequencies } }: Pick<Outline, "rotation">, source: Config): number[] {
  const plain = rotation(2 * frequencies.length, thetaOf(source)).frequencies;
  return Array.from(plain, (f, i) => f / frequencies[i]!);
}

const isSeries = (layer: Pick<Outline, "rotation">, source: Config) =>
  divisors(layer, source).every((by) => Math.abs(by - 1) < 1e-12);

/** Keys of a source's config that mean the same in every decoder. */
const carried = [
  "vocab_size",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "max_position_embeddings",
  "tie_word_embeddings",
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
] as const;

/** Whether the head is the embedding. */
const isTied = ({ architecture, gguf }: Target, { tied }: Model) => tied && tiesHead(architecture, gguf);

/** The config of a target; `first` is its first layer as `targetLayer` gives it. */
export function targetConfig(target: Target, { model, layers, source }: Wanted, first: LatentLayer): Config {
  const { architecture, gguf, still } = target;
  const kept = Object.fromEntries(carried.flatMap((key) => (source[key] === undefined ? [] : [[key, source[key]]])));
  if (architecture === "biform") {
    const made = model.layers.map((layer, i) => ({ ...layer, attention: layers[i]?.attention ?? layer.attention }));
    const { max_position_embeddings, bos_token_id, eos_token_id } = kept;
    return JSON.parse(
      JSON.stringify(ownConfig({ ...model, layers: made }, { max_position_embeddings, bos_token_id, eos_token_id })),
    ) as Config;
  }
  const [c, r, n, v, q] = sizesOf(first);
  const sizes = {
    // Else each architecture has ids of its own that begin and end texts.
    ...{ bos_token_id: null, eos_token_id: null, pad_token_id: null },
    ...kept,
    vocab_size: model.vocabulary,
    // Where latents are made for it, all norms have the epsilon that transformers has for latents: see `residualFactors`.
    rms_norm_eps: still === "shrunk" ? EPS : model.eps,
    tie_word_embeddings: isTied(target, model),
    num_key_value_heads: first.h,
    hidden_act: "silu",
    q_lora_rank: q,
    kv_lora_rank: c,
    qk_nope_head_dim: n,
    qk_rope_head_dim: r,
    v_head_dim: v,
    attention_bias: still === "constant",
    use_cache: true,
    ...ropeConfig(first, source),
  };
  const pairs = { rope_interleave: true };
  if (architecture === "youtu")
    return { architectures: ["YoutuForCausalLM"], model_type: architecture, ...sizes, ...pairs };
  if (architecture === "deepseek_v3")
    return {
      architectures: ["DeepseekV3ForCausalLM"],
      model_type: architecture,
      ...sizes,
      ...pairs,
      first_k_dense_replace: model.layers.length,
    };
  const { embedding, branch, head } = minicpmScales(model, gguf);
  return {
    architectures: ["MiniCPM3ForCausalLM"],
    model_type: architecture,
    ...sizes,
    scale_emb: embedding,
    scale_depth: branch * Math.sqrt(model.layers.length),
    dim_model_base: head * model.width,
  };
}

/** How positions turn, as a config says it: a list with one range where the frequencies are no geometric series. */
function ropeConfig(layer: Pick<Outline, "rotation">, source: Config): Config {
  if (isSeries(layer, source)) return { rope_theta: thetaOf(source), rope_scaling: null };
  const factors = divisors(layer, source);
  return {
    rope_theta: thetaOf(source),
    rope_scaling: {
      rope_type: "longrope",
      factor: 1,
      attention_factor: 1,
      short_factor: factors,
      long_factor: factors,
      original_max_position_embeddings: Number(source.max_position_embeddings ?? 4096),
    },
  };
}

/** The factors that a config of MiniCPM3 says; readers of GGUF files know those of the released model by heart, and no others. */
function minicpmScales({ width, layers }: Model, gguf: boolean) {
  if (!gguf) return { embedding: 1, branch: 1, head: 1 };
  return { embedding: 12, branch: 1.4 / Math.sqrt(layers.length), head: 256 / width };
}

/** What the parameters outside attention are multiplied by in a target. */
export function targetFactors(target: Target, model: Model): Factors {
  const { architecture, gguf, still } = target;
  if (still !== "shrunk") return plainFactors;
  const scales = architecture === "minicpm3" ? minicpmScales(model, gguf) : undefined;
  return residualFactors({ ...model, tied: isTied(target, model) }, EPS, scales);
}

/** A layer as a target has it: under MLA's own scale, its norms held, its pairs where the target's rotation looks for them. */
export function targetLayer(target: Target, layer: LatentLayer, gains: ArrayLike<number>, model: Model): LatentLayer {
  const { architecture, still } = target;
  if (!still) return layer;
  const scaled = standardiseScale(foldMagnitude(evenKeys(layer)));
  const asked = architecture === "minicpm3" ? wholeBottleneck(halves(scaled)) : scaled;
  const { output, outputBias, ...held } = holdNorms(asked, gains, still);
  const { branch } = targetFactors(target, model);
  return { ...held, output: scaleMatrix(output, branch), outputBias: outputBias?.map((x) => x * branch) };
}

/** Keys without position of an even width, a zero more where it is odd: llama.cpp ends where turned dims begin at an odd place. */
function evenKeys(layer: LatentLayer): LatentLayer {
  const { n, h, content, keys } = layer;
  if (n % 2 === 0) return layer;
  const wider = ({ columns, values }: Matrix) =>
    fillMatrix(h * (n + 1), columns, (i, j) => {
      const [head, row] = [Math.floor(i / (n + 1)), i % (n + 1)];
      return row < n ? values[(head * n + row) * columns + j]! : 0;
    });
  return { ...layer, n: n + 1, content: wider(content), keys: wider(keys) };
}

/** YaRN's factor on both sides of the turned scores, as one of the queries. */
function foldMagnitude(layer: LatentLayer): LatentLayer {
  const { rotary, rotation } = layer;
  const by = rotation.magnitude ** 2;
  if (by === 1) return layer;
  return { ...layer, rotary: scaleMatrix(rotary, by), rotation: { ...rotation, magnitude: 1 } };
}

/** Turned rows whose pairs are halves of a head, where they were neighbours. */
function halves(layer: LatentLayer): LatentLayer {
  const { shared, rotary, h, rotation } = layer;
  if (rotation.layout === "half") return layer;
  const r = shared.rows;
  const order = ({ rows, columns, values }: Matrix) =>
    fillMatrix(rows, columns, (i, j) => {
      const at = i % r;
      return values[(i - at + (at < r / 2 ? 2 * at : 2 * at - r + 1)) * columns + j]!;
    });
  return {
    ...layer,
    shared: order(shared),
    rotary: h ? order(rotary) : rotary,
    rotation: { ...rotation, layout: "half" },
  };
}
