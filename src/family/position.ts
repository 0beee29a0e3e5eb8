import { z } from "zod";
import type { Model } from "../model/model.ts";
import { rotation } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import type { Config } from "./config.ts";
import type { Entries } from "./gguf.ts";

/** Keys of a GGUF header that say how positions are scaled. */
export const scalingKeys = {
  context_length: z.number(),
  "rope.scaling.type": z.enum(["none", "linear", "yarn", "longrope"]).optional(),
  "rope.scaling.factor": z.number().optional(),
  "rope.scaling.original_context_length": z.number().optional(),
  "rope.scaling.attn_factor": z.literal(1).optional(),
  "rope.scaling.yarn_beta_fast": z.number().optional(),
  "rope.scaling.yarn_beta_slow": z.number().optional(),
  "rope.scaling.yarn_ext_factor": z.literal(1).optional(),
  "rope.scaling.yarn_attn_factor": z.literal(1).optional(),
  // Says how the model was trained, not how it runs.
  "rope.scaling.finetuned": z.boolean().optional(),
};
const schema = z.object(scalingKeys);

/** Tensors of a GGUF file that hold what each rotary pair's frequency is divided by: at all positions, or in LongRoPE's two ranges. */
export const [divisors, longDivisors, shortDivisors] = [
  "rope_freqs.weight",
  "rope_factors_long.weight",
  "rope_factors_short.weight",
] as const;

/** The scaling of positions under the hub's key `rope_scaling`, or undefined where there is none. Throws FormatError. */
export function scalingConfig(
  header: z.infer<typeof schema>,
  tables: ReadonlyMap<string, ArrayLike<number>>,
): Config | undefined {
  const [all, long, short] = [divisors, longDivisors, shortDivisors].map((name) => {
    const table = tables.get(name);
    return table && Array.from(table);
  });
  if (!long !== !short)
    throw new FormatError(`${long ? shortDivisors : longDivisors}: got no such tensor, expected both or neither`);
  if (all || long)
    return {
      rope_type: "longrope",
      factor: 1,
      short_factor: short ?? all,
      long_factor: long ?? all,
      original_max_position_embeddings: header.context_length,
    };
  const { "rope.scaling.factor": factor, "rope.scaling.type": kind } = header;
  if (kind === "linear") return { rope_type: kind, factor };
  if (kind !== "yarn") return undefined;
  return {
    rope_type: kind,
    factor,
    original_max_position_embeddings: header["rope.scaling.original_context_length"],
    beta_fast: header["rope.scaling.yarn_beta_fast"],
    beta_slow: header["rope.scaling.yarn_beta_slow"],
  };
}

/** What a config says of positions; older and newer ones have it under two keys. */
function scalingOf(config: Config): Config {
  return (config.rope_scaling ?? config.rope_parameters ?? {}) as Config;
}

/** A header's entries for a config's scaling of positions, but for what lies in tensors. */
export function scalingEntries(config: Config): Entries {
  const scaling = scalingOf(config);
  const kind = scaling.rope_type ?? scaling.type;
  const real = (key: string, otherwise?: number) => {
    const value = scaling[key] ?? otherwise;
    if (typeof value !== "number")
      throw new FormatError(`rope_scaling.${key}: got ${formatJson(value)}, expected a number`);
    return { type: "f32", value } as const;
  };
  const yarn = kind === "yarn";
  return {
    "rope.freq_base": real("rope_theta", Number(config.rope_theta ?? 10000)),
    "rope.scaling.type": yarn || kind === "linear" ? { type: "string", value: kind } : undefined,
    "rope.scaling.factor": yarn || kind === "linear" ? real("factor") : undefined,
    "rope.scaling.original_context_length": yarn
      ? { type: "u32", value: real("original_max_position_embeddings").value }
      : undefined,
    "rope.scaling.yarn_beta_fast": yarn ? real("beta_fast", 32) : undefined,
    "rope.scaling.yarn_beta_slow": yarn ? real("beta_slow", 1) : undefined,
  };
}

/**
 * The tensors among `known` that scale positions by a config: for Llama 3's kind, and where LongRoPE's two lists are the same, one
 * list; else LongRoPE's two.
 */
export function scalingTables(
  config: Config,
  model: Model,
  known: readonly string[],
): ReadonlyMap<string, Float32Array> {
  const scaling = scalingOf(config);
  const kind = scaling.rope_type ?? scaling.type;
  const list = (values: ArrayLike<number>) => Float32Array.from(values);
  const all: [string, Float32Array][] = [];
  if (kind === "longrope") {
    const { long_factor: long, short_factor: short } = scaling as Record<string, number[]>;
    all.push([longDivisors, list(long!)], [shortDivisors, list(short!)]);
    if (short!.every((by, i) => by === long![i])) all.push([divisors, list(short!)]);
  }
  if (kind === "llama3") {
    const { frequencies } = model.layers[0]!.attention.rotation;
    const base = Number(scaling.rope_theta ?? config.rope_theta ?? 10000);
    const plain = rotation(2 * frequencies.length, base, "half").frequencies;
    all.push([divisors, list(plain.map((f, i) => f / frequencies[i]!))]);
  }
  return new Map(all.filter(([name]) => known.includes(name)));
}
