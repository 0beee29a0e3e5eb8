import { layerSpecs, parseSpec, type SpecOptions } from "../attention/spec.ts";
import type { Model } from "./model.ts";

/** The sizes of a model around its attention. */
export interface ModelSettings {
  readonly vocabulary: number;
  readonly width: number;
  readonly heads: number;
  readonly layers: number;
  /** Width of the gated MLP; 8/3 of the width, rounded up to a multiple of 8, unless given. */
  readonly intermediate?: number | undefined;
  readonly tied?: boolean | undefined;
  readonly dims?: SpecOptions["dims"] | undefined;
  readonly base?: number | undefined;
  /** Shrinks the spec's dims besides (see `match`). */
  readonly scale?: number | undefined;
  readonly planned?: SpecOptions["planned"] | undefined;
}

/** A model whose layers follow `pattern`: a spec for all, or one such as `[GQA2-128*3,MLA]`. Throws ShapeError. */
export function buildModel(pattern: string, settings: ModelSettings): Model {
  const { vocabulary, width, heads, layers, tied = true } = settings;
  const f = settings.intermediate ?? 8 * Math.ceil(width / 3);
  const { dims, base, scale, planned } = settings;
  return {
    vocabulary,
    width,
    tied,
    eps: 1e-6,
    layers: layerSpecs(pattern, layers).map((spec) => ({
      attention: parseSpec(spec, { width, heads, dims, base, scale, planned }),
      feed: { kind: "dense", f },
    })),
  };
}
