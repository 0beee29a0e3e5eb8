import type { Blueprint, LayerKind } from "../cost/blueprint.ts";
import { bytesPerToken, layerBytes, layerValues } from "../cost/cost.ts";
import { keptOf } from "../cost/keep.ts";
import { type Dtype, dtypes } from "../cost/type.ts";
import { latentClaims, windowClaims } from "./claim.ts";
import type { Plan } from "./schema.ts";

/** What an engine keeps of a model: a row of a plan's `engines`. */
export type EngineRow = Plan["engines"][number];

const everyone = "vLLM, SGLang, TensorRT-LLM, llama.cpp, mlx-lm, transformers";
const compressing = "vLLM, SGLang, mlx-lm, transformers";

/**
 * What named engines and versions keep of a model, where it is known: `bytes` are those of `context` tokens in each of `batch`
 * sequences, states of fixed size included. Models without latents are kept the same by all, but for tokens behind a window.
 */
export function enginesOf(
  blueprint: Blueprint,
  cacheType: Dtype,
  { context = 1, batch = 1 }: { readonly context?: number; readonly batch?: number } = {},
): EngineRow[] {
  const { layers, architecture } = blueprint;
  const count = layers.reduce((sum, kind) => sum + kind.count, 0);
  const total = (of: (kind: LayerKind) => number) => layers.reduce((sum, kind) => sum + kind.count * of(kind), 0);
  if (layers.some((kind) => keptOf(kind).absorbed))
    return latentClaims
      .filter((row) => row.models?.includes(architecture) ?? true)
      .map(({ engine, version, keeps, source, values, bytes }) => {
        const valuesAt = (kind: LayerKind) =>
          isLatent(kind) ? values(kind.attention.sizes, kind) : layerValues(kind, "expanded");
        const bytesAt = (kind: LayerKind) =>
          bytes && isLatent(kind) ? bytes(kind.attention.sizes) : valuesAt(kind) * dtypes[cacheType];
        const held = (kind: LayerKind) =>
          isLatent(kind)
            ? bytesAt(kind) * Math.min(context, kind.attention.window ?? context)
            : layerBytes(kind, "expanded", cacheType, context);
        return {
          engine,
          version,
          keeps,
          source,
          valuesPerTokenPerLayer: total(valuesAt) / count,
          bytesPerToken: total(bytesAt),
          bytes: batch * total(held),
        };
      });
  const same = {
    valuesPerTokenPerLayer: total((kind) => layerValues(kind, "expanded")) / count,
    bytesPerToken: bytesPerToken(blueprint, "expanded", cacheType),
  };
  const bytesAt = (kind: LayerKind) => layerBytes(kind, "expanded", cacheType, context);
  const compressed = layers.some(({ keeping }) => keeping?.every);
  if (compressed || !layers.some(({ attention }) => attention.window))
    return [
      {
        engine: compressed ? compressing : everyone,
        version: "those that run it",
        keeps: "what the model declares",
        ...same,
        bytes: batch * total(bytesAt),
        source: "one form: nothing to fold",
      },
    ];
  return windowClaims.map(({ whole, ...row }) => ({
    ...row,
    ...same,
    bytes: batch * total(whole ? (kind) => layerBytes(dropWindow(kind), "expanded", cacheType, context) : bytesAt),
  }));
}

const isLatent = (kind: LayerKind) => keptOf(kind).absorbed !== undefined;

/** A layer of which every token is kept. */
function dropWindow(kind: LayerKind): LayerKind {
  const { window: _, ...attention } = kind.attention;
  return { ...kind, attention };
}
