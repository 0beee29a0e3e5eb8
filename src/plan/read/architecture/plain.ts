import { nextTokens, nextWindowed } from "../draft.ts";
import * as library from "../library.ts";
import * as pattern from "../pattern.ts";
import { apertusAt, gatedSparseAt, lagunaAt, stepAt } from "../plain.ts";
import { type Architecture, grouped, latent, tied, unwindowed } from "./row.ts";

const step = grouped({
  attention: stepAt,
  draft: nextWindowed,
  qkNorm: "head",
  correction: true,
  rename: pattern.stepFlash,
  defaults: { sliding_window: 512 },
});
const muse = grouped({ norms: 4, gate: true, rename: pattern.muse, defaults: { sliding_window: 2048 } });
const glm4 = grouped({ bias: "inputs", norms: 4, defaults: { attention_bias: true } });
const glmVision = grouped({ bias: "inputs", qkNorm: "head", qkNormOptional: true, correction: true });
const axk2 = latent({
  attention: gatedSparseAt,
  correction: true,
  rename: library.indexed,
  defaults: { first_k_dense_replace: 1 },
});

/** Models of 2026 that differ from older ones in little, by `model_type`. */
export const plainRows: Readonly<Record<string, Architecture>> = {
  arcee: grouped({ matrices: 2 }),
  laguna: grouped({ attention: lagunaAt, qkNorm: "head", correction: true, rename: pattern.firstDense }),
  solar_open: grouped({ correction: true }),
  exaone_moe: grouped({
    qkNorm: "head",
    correction: true,
    draft: nextTokens,
    defaults: { first_k_dense_replace: 1, sliding_window_pattern: 4 },
  }),
  afmoe: grouped({ norms: 4, qkNorm: "head", gate: true, correction: true, rename: pattern.afmoe }),
  apertus: grouped({ attention: apertusAt, matrices: 2, qkNorm: "head" }),
  cohere2_moe: grouped({
    norms: 1,
    rename: pattern.cohereMixture,
    defaults: { ...tied, sliding_window: 4096, sliding_window_pattern: 4 },
  }),
  granite_swa: grouped({ sinks: true, rename: pattern.graniteWindows, defaults: { ...tied, sliding_window: 128 } }),
  glm4v_text: glm4,
  glm4v_moe_text: glmVision,
  qwen3_omni_moe_text: grouped({ qkNorm: "head", defaults: unwindowed }),
  hunyuan_vl_text: grouped({ qkNorm: "head", defaults: tied }),
  nanochat: grouped({ matrices: 2, norm: 0, norms: 0 }),
  vaultgemma: grouped({ defaults: { ...tied, head_dim: 256, sliding_window: 4096, sliding_window_pattern: 2 } }),
  hy_v3: grouped({
    qkNorm: "head",
    correction: true,
    draft: nextTokens,
    rename: pattern.firstDense,
    defaults: { head_dim: 128 },
  }),
  sarvam_moe: grouped({ qkNorm: "head", qkNormOptional: true, correction: true }),
  step3p5: step,
  step3p7: step,
  step3p7_text: step,
  muse_glimmer: muse,
  muse_glimmer_text: muse,
  axk2,
};
