import type { Config } from "../family/config.ts";
import type { Model } from "../model/model.ts";
import { rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { type LatentLayer, standardiseScale } from "./latent.ts";
import { fillMatrix, frobenius, type Matrix, matrix, scaleMatrix, stackRows } from "./matrix.ts";

/** Epsilon of the norms of latents in DeepSeek's models, whatever their configs say. */
const EPS = 1e-6;

/** How much longer the constant is than anything beside it can be: the norm then hangs on the rest by less than 2^-25. */
const REACH = 2 ** 12;

/**
 * The same function with a norm on the latent, which stock models of MLA have and the original has not. One more number of the latent
 * is a constant, a bias of the down-projection, and so large beside the rest that the root mean square is that of the constant:
 * the norm divides every token by the same number, which gains multiply back. The constant's own gain is 0, so that a cache holds a 0
 * for it. `gains` are those of the norm before attention: inputs are then no longer than sqrt(d) times these, which bounds the rest
 * without any text. (An idea that nobody has published, says field.md of this project's reference.)
 */
export function holdNorms(layer: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  const { latent, keys, values } = standardBottleneck(layer);
  const held = holdNorm(latent, gains);
  return {
    ...standardBottleneck(layer),
    latent: held.rows,
    norm: held.norm,
    keys: oneMore(keys),
    values: oneMore(values),
  };

  /** Stock queries have no bias but before a norm: with one, the bottleneck is the hidden state itself and a constant. */
  function standardBottleneck(of: LatentLayer): LatentLayer {
    const { content, rotary, d } = of;
    if (of.bottleneck || !(hasBias(content) || hasBias(rotary))) return of;
    const all = fillMatrix(d, d + 1, (i, j) => (i === j ? 1 : 0));
    const { rows, norm } = holdNorm(all, gains, 1);
    const behind = (x: Matrix) => fillMatrix(x.rows, d + 2, (i, j) => (j <= d ? x.values[i * (d + 1) + j]! : 0));
    return { ...of, bottleneck: { down: rows, norm }, content: behind(content), rotary: behind(rotary) };
  }
}

const hasBias = ({ rows, columns, values }: Matrix) =>
  Array.from({ length: rows }, (_, i) => values[i * columns + columns - 1]!).some((x) => x !== 0);

const oneMore = ({ rows, columns, values }: Matrix) =>
  fillMatrix(rows, columns + 1, (i, j) => (j < columns ? values[i * columns + j]! : 0));

/** Rows and a constant below them, and the norm that gives the rows back, and of the constant `kept`. */
function holdNorm(rows: Matrix, gains: ArrayLike<number>, kept = 0) {
  const [c, d] = [rows.rows + 1, rows.columns - 1];
  const bias = Array.from({ length: rows.rows }, (_, i) => rows.values[i * (d + 1) + d]!);
  const inputs = frobenius(fillMatrix(rows.rows, d, (i, j) => rows.values[i * (d + 1) + j]! * gains[j]!));
  const longest = inputs * Math.sqrt(d) + Math.hypot(...bias);
  // A power of two, so that no number is rounded by it.
  const by = 2 ** -Math.ceil(Math.log2(Math.max(longest, Number.MIN_VALUE) * REACH));
  const constant = matrix(1, d + 1);
  constant.values[d] = 1;
  const root = Math.sqrt(1 / c + EPS);
  const gain = new Float64Array(c).fill(root / by);
  gain[c - 1] = kept * root;
  return { rows: stackRows(scaleMatrix(rows, by), constant), norm: { gain, eps: EPS } };
}

/** A model's rotary frequencies as a stock config says them. Throws FormatError where layers have different ones. */
export function ropeConfig(layers: readonly LatentLayer[], source: Config): Config {
  const own = layers[0]!.rotation;
  const odd = layers.findIndex(({ rotation: { frequencies } }) => `${frequencies}` !== `${own.frequencies}`);
  if (odd >= 0)
    throw new FormatError(
      `rope_scaling: got other frequencies in layer ${odd} than in layer 0, expected the same in all; ` +
        "a stock config has one list, which would lie: choose pairs for all layers alike",
    );
  const scaling = (source.rope_parameters ?? source.rope_scaling ?? {}) as Config;
  const theta = Number(scaling.rope_theta ?? source.rope_theta ?? 10000);
  const plain = rotation(2 * own.frequencies.length, theta).frequencies;
  const factors = Array.from(plain, (f, i) => f / own.frequencies[i]!);
  if (own.magnitude === 1 && factors.every((x) => Math.abs(x - 1) < 1e-12))
    return { rope_theta: theta, rope_scaling: null };
  const length = Number(source.max_position_embeddings ?? 4096);
  return {
    rope_theta: theta,
    // LongRoPE with one list for all positions: what each pair's frequency is divided by.
    rope_scaling: {
      rope_type: "longrope",
      factor: 1,
      attention_factor: own.magnitude,
      short_factor: factors,
      long_factor: factors,
      original_max_position_embeddings: length,
    },
  };
}

/** Keys of a source's config that mean the same in every decoder. */
const carried = [
  "vocab_size",
  "hidden_size",
  "intermediate_size",
  "num_hidden_layers",
  "num_attention_heads",
  "rms_norm_eps",
  "max_position_embeddings",
  "tie_word_embeddings",
  "bos_token_id",
  "eos_token_id",
  "pad_token_id",
] as const;

/**
 * The config of `deepseek_v3` with all layers dense that computes exactly these layers, each with a norm (see `holdNorms`) and MLA's own
 * scale. Throws FormatError naming the key that would lie where there is none.
 */
export function stockConfig(model: Model, layers: readonly LatentLayer[], source: Config): Config {
  const feed = model.layers.find(({ feed }) => feed.kind !== "dense" || feed.bias)?.feed;
  if (feed)
    throw new FormatError(
      feed.kind === "dense"
        ? "mlp_bias: got biases in the feed-forward halves, expected none; deepseek_v3 has no such key"
        : "n_routed_experts: got experts, expected dense layers; routers of other families differ from deepseek_v3's",
    );
  if (model.scales)
    throw new FormatError(
      "scale_emb: got factors on embeddings or branches, expected none; deepseek_v3 has no such keys",
    );
  const first = layers[0]!;
  const sizes = (of: LatentLayer) => [of.latent.rows, of.shared.rows, of.n, of.v, of.bottleneck?.down.rows ?? null];
  const odd = layers.findIndex((layer) => `${sizes(layer)}` !== `${sizes(first)}`);
  if (odd >= 0)
    throw new FormatError(
      `kv_lora_rank: got ${sizes(layers[odd]!)} in layer ${odd} and ${sizes(first)} in layer 0, expected the same in all; a stock config has one`,
    );
  const [c, r, n, v, q] = sizes(first);
  return {
    architectures: ["DeepseekV3ForCausalLM"],
    model_type: "deepseek_v3",
    ...Object.fromEntries(carried.flatMap((key) => (source[key] === undefined ? [] : [[key, source[key]]]))),
    vocab_size: model.vocabulary,
    rms_norm_eps: model.eps,
    tie_word_embeddings: model.tied,
    num_key_value_heads: first.h,
    hidden_act: "silu",
    q_lora_rank: q,
    kv_lora_rank: c,
    qk_nope_head_dim: n,
    qk_rope_head_dim: r,
    v_head_dim: v,
    // The norm's constant is a bias of the down-projection.
    attention_bias: true,
    rope_interleave: true,
    ...ropeConfig(layers, source),
    first_k_dense_replace: model.layers.length,
    torch_dtype: "float32",
    use_cache: true,
  };
}

/** A layer as stock models have it: under MLA's scale, its norms held, with a bias wherever a config of biases asks for one. */
export function stockLayer(layer: LatentLayer, gains: ArrayLike<number>): LatentLayer {
  return { ...holdNorms(standardiseScale(layer), gains), outputBias: layer.outputBias ?? new Float64Array(layer.d) };
}
