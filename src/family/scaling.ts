import { z } from "zod";
import { type Rotation, rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { refuse } from "./config.ts";

const positive = z.number().positive().max(1e12);
const magnitude = z.number().min(0).max(1e6);

/** What every kind of scaling may say. `type` is the hub's older word for `rope_type`. */
const shared = {
  type: z.string().optional(),
  rope_type: z.string().optional(),
  rope_theta: z.number().gt(1).max(1e15).optional(),
  partial_rotary_factor: z.literal(1).optional(),
};

const kinds = {
  default: z.strictObject(shared),
  linear: z.strictObject({ ...shared, factor: positive }),
  llama3: z.strictObject({
    ...shared,
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: positive,
  }),
  yarn: z.strictObject({
    ...shared,
    factor: positive.nullish(),
    original_max_position_embeddings: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    mscale: magnitude.nullish(),
    mscale_all_dim: magnitude.nullish(),
    attention_factor: positive.nullish(),
    truncate: z.boolean().optional(),
  }),
  longrope: z.strictObject({
    ...shared,
    factor: positive.nullish(),
    original_max_position_embeddings: positive.nullish(),
    long_factor: z.array(positive).max(2 ** 17),
    short_factor: z.array(positive).max(2 ** 17),
    attention_factor: positive.nullish(),
  }),
};
type LongRope = z.infer<typeof kinds.longrope>;
type Yarn = z.infer<typeof kinds.yarn>;

/** The keys of a config that say how positions turn. */
export const ropeKeys = {
  rope_theta: z.number().gt(1).max(1e15).nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
  max_position_embeddings: z.number().int().positive().max(1e12).nullish(),
};

/** What a config says of positions, as zod reads it by `ropeKeys`. */
export type RopeConfig = { readonly [K in keyof typeof ropeKeys]?: z.infer<(typeof ropeKeys)[K]> };

/** A rotation, and what YaRN does to the softmax scale in models that ask for it (DeepSeek): a factor. */
export interface Scaled {
  readonly rotation: Rotation;
  /** mscale(factor, mscale_all_dim)^2 where that key is set, else 1. */
  readonly softmax: number;
}

/**
 * The rotation of `dims` rotary dims by a checkpoint's config: `rope_theta` and `rope_scaling` (hub style), or
 * `rope_parameters` (transformers v5). Known kinds: default, linear, llama3, yarn, longrope. Throws FormatError naming the key.
 * Sources: Chen et al. (arXiv 2306.15595) for linear; Peng et al., YaRN (arXiv 2309.00071), section 3; Ding et al., LongRoPE
 * (arXiv 2402.13753), section 3; for llama3 the Llama 3.1 model card; the order in which keys override each other is that of transformers.
 */
export function scaledRotation(config: RopeConfig, dims: number, layout: Rotation["layout"]): Scaled {
  if (config.rope_scaling && config.rope_parameters)
    throw new FormatError(
      "rope_scaling and rope_parameters: got both, expected one of them; remove the one that is stale",
    );
  const key = config.rope_parameters ? "rope_parameters" : "rope_scaling";
  const raw = config.rope_parameters ?? config.rope_scaling ?? {};
  const kind = raw.rope_type ?? raw.type ?? "default";
  const schema = typeof kind === "string" && Object.hasOwn(kinds, kind) ? kinds[kind as keyof typeof kinds] : undefined;
  if (!schema)
    throw new FormatError(
      `${key}.rope_type: got ${formatJson(kind).slice(0, 80)}, expected one of ${Object.keys(kinds).join(", ")}; ` +
        "this kind of position scaling is not supported",
    );
  const result = schema.safeParse(raw);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    if (issue.code === "unrecognized_keys")
      throw new FormatError(
        `${key}.${issue.keys[0]}: got a key that ${formatJson(kind)} has not, expected it absent; ` +
          "it could change the numbers, so it is not ignored",
      );
    throw refuse(`${key}.${issue.path.join(".")}`, raw[String(issue.path[0])], issue.message);
  }
  const plain = rotation(dims, result.data.rope_theta ?? config.rope_theta ?? 10000, layout);
  const turned = (frequencies: Float64Array, size = 1): Rotation => ({ ...plain, frequencies, magnitude: size });
  switch (kind) {
    case "linear": {
      const { factor } = result.data as z.infer<typeof kinds.linear>;
      return { rotation: turned(plain.frequencies.map((f) => f / factor)), softmax: 1 };
    }
    case "llama3":
      return {
        rotation: turned(llama3(plain.frequencies, result.data as z.infer<typeof kinds.llama3>, key)),
        softmax: 1,
      };
    case "yarn":
      return yarn(plain, result.data as Yarn, config, key);
    case "longrope":
      return { rotation: longrope(plain, result.data as LongRope, config, key), softmax: 1 };
    default:
      return { rotation: plain, softmax: 1 };
  }
}

/** Long waves are stretched by the factor, short ones left alone, those between blended. */
function llama3(frequencies: Float64Array, s: z.infer<typeof kinds.llama3>, key: string): Float64Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: length } = s;
  if (low >= high)
    throw new FormatError(
      `${key}.low_freq_factor: got ${low}, expected less than high_freq_factor (${high}); correct the config`,
    );
  return frequencies.map((f) => {
    const turns = (length * f) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return ((1 - kept) * f) / factor + kept * f;
  });
}

function yarn(plain: Rotation, s: Yarn, config: RopeConfig, key: string): Scaled {
  const longest = config.max_position_embeddings;
  const length = s.original_max_position_embeddings ?? longest;
  const factor = s.factor ?? (longest && length ? longest / length : undefined);
  if (!length || !factor)
    throw new FormatError(
      `${key}: got yarn without factor and original_max_position_embeddings, expected both; add them`,
    );
  const { frequencies } = plain;
  const dims = 2 * frequencies.length;
  const base = s.rope_theta ?? config.rope_theta ?? 10000;
  // The (fractional) pair that makes `turns` turns over the original length.
  const pairAt = (turns: number) => (dims * Math.log(length / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const [fast, slow] = [pairAt(s.beta_fast || 32), pairAt(s.beta_slow || 1)];
  const whole = s.truncate ?? true;
  const low = Math.max(whole ? Math.floor(fast) : fast, 0);
  const top = Math.min(whole ? Math.ceil(slow) : slow, dims - 1);
  const high = top === low ? low + 0.001 : top;
  const blended = frequencies.map((f, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return stretched * (f / factor) + (1 - stretched) * f;
  });
  const size =
    s.mscale && s.mscale_all_dim ? mscale(factor, s.mscale) / mscale(factor, s.mscale_all_dim) : mscale(factor, 1);
  return {
    rotation: { ...plain, frequencies: blended, magnitude: s.attention_factor ?? size },
    softmax: s.mscale_all_dim ? mscale(factor, s.mscale_all_dim) ** 2 : 1,
  };
}

/**
 * One factor per pair for positions within the original length and another beyond it. Which a token gets follows from where it
 * stands alone: transformers switches for all tokens of a call that reaches beyond, so that its numbers depend on how a
 * sequence is cut; decoding across the border step by step it does the same as we.
 */
function longrope(plain: Rotation, s: LongRope, config: RopeConfig, key: string): Rotation {
  const { frequencies } = plain;
  const longest = config.max_position_embeddings;
  const length = s.original_max_position_embeddings ?? longest;
  if (!length)
    throw new FormatError(`${key}.original_max_position_embeddings: got nothing, expected a number of tokens; add it`);
  for (const name of ["long_factor", "short_factor"] as const)
    if (s[name].length !== frequencies.length)
      throw new FormatError(
        `${key}.${name}: got ${s[name].length} numbers, expected one for each of ${frequencies.length} rotary pairs; correct the config`,
      );
  const factor = s.factor ?? (longest ? longest / length : 1);
  const size = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(length));
  const near = {
    ...plain,
    frequencies: frequencies.map((f, i) => f / s.short_factor[i]!),
    magnitude: s.attention_factor ?? size,
  };
  if (s.short_factor.every((by, i) => by === s.long_factor[i])) return near;
  return { ...near, beyond: { from: length, frequencies: frequencies.map((f, i) => f / s.long_factor[i]!) } };
}

/** YaRN's temperature: how much a stretched context sharpens attention (its section 3.4, with DeepSeek's multiplier). */
function mscale(factor: number, multiplier: number): number {
  return factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1;
}
