/**
 * What kernels between contractions read and write, where each is one of its own, as in the engines whose figures are published: an
 * addition to the residual with the norm after it (`fused_add_rms_norm`), rotation and storing (`rotary_embedding`,
 * `reshape_and_cache`), a gate and what it gates (`silu_and_mul`), tokens gathered for experts and added up again (`moe_permute`,
 * `moe_unpermute`): the kernels of vLLM's csrc.
 */
import type { Blueprint, LayerKind } from "./blueprint.ts";

/** Numbers of one token that these kernels of a layer read and write, at the width of the model. */
function layerNumbers({ attention: { sizes }, feed }: LayerKind, width: number): number {
  // Twice a layer the residual and what is added to it are read, and both are written.
  const norms = 2 * 4 * width;
  // Queries and keys are rotated where they lie.
  const rotated = 2 * sizes.e * (sizes.h + (sizes.g || 1));
  // Three matrices of an MLP: its width is what is left of its parameters.
  const inner = (parameters: number) => parameters / (3 * width);
  const { always, expert, experts, chosen } = feed;
  const gated = 3 * (inner(Math.max(0, always - width * experts)) + chosen * inner(expert));
  const moved = experts ? 2 * (1 + chosen) * width : 0;
  return norms + rotated + gated + moved;
}

/** Bytes of so many tokens in all layers, numbers of `bytes` each. */
export function betweenBytes({ layers, width }: Blueprint, tokens: number, bytes: number): number {
  return tokens * bytes * layers.reduce((sum, kind) => sum + kind.count * layerNumbers(kind, width), 0);
}
