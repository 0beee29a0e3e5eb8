import { nextAttending } from "../draft.ts";
import { graniteFeed, withoutFeed } from "../feed.ts";
import { deltaAt, kimiAt, kimiFeed, olmoAt } from "../hybrid.ts";
import * as library from "../library.ts";
import { bailingAt, minimaxAt } from "../lightning.ts";
import { besideAt, convolutionAt, graniteHybridAt, jambaAt, mambaAt, rwkvAt } from "../mixers.ts";
import { nemotronAt, nemotronDraft, nemotronFeed, nemotronLayers, searchedAt, searchedFeed } from "../nemotron.ts";
import { glmAt, qwenAt, qwenExtra, qwenFeed, qwenTables } from "../pooled.ts";
import * as rename from "../rename.ts";
import { type Architecture, grouped, latent, tied } from "./row.ts";

const gatedDelta = grouped({
  attention: deltaAt,
  qkNorm: "head",
  gate: true,
  sharedGate: true,
  draft: nextAttending,
});
const kimi = latent({ rename: library.kimi, attention: kimiAt, feed: kimiFeed, correction: true });

const glmFlash = latent({
  attention: glmAt,
  correction: true,
  draft: nextAttending,
  rename: rename.glmFlash,
  defaults: { first_k_dense_replace: 3 },
});
const qwenFlash = grouped({
  attention: qwenAt,
  feed: qwenFeed,
  extra: qwenExtra,
  tables: qwenTables,
  norms: 0,
  qkNorm: "head",
  gate: true,
  sharedGate: true,
  draft: nextAttending,
});

const nemotronH: Architecture = grouped({
  attention: nemotronAt,
  feed: nemotronFeed,
  norms: 1,
  matrices: 2,
  correction: true,
  unrotated: true,
  rename: nemotronLayers,
  draft: (s, _layers, config) => nemotronDraft(s, nemotronH, config),
});
const graniteHybrid = grouped({ attention: graniteHybridAt, feed: graniteFeed, rename: rename.graniteHybrid });
const olmoHybrid = grouped({ attention: olmoAt, qkNorm: "whole", rename: rename.olmoHybrid });

/** States beside caches, by `model_type`. */
export const hybridRows: Readonly<Record<string, Architecture>> = {
  qwen3_next: gatedDelta,
  qwen3_5_text: gatedDelta,
  qwen3_5_moe_text: gatedDelta,
  kimi_linear: kimi,
  kimi_k3: kimi,
  minimax: grouped({ attention: minimaxAt }),
  minimax_text_01: grouped({ attention: minimaxAt }),
  minimax_m1: grouped({ attention: minimaxAt }),
  bailing_moe_v2_5: latent({ correction: true, attention: bailingAt, draft: nextAttending }),
  bailing_hybrid: latent({ rename: library.ling, correction: true, attention: bailingAt, draft: nextAttending }),
  glm5_next: glmFlash,
  glm5_next_text: glmFlash,
  qwen4_exp: qwenFlash,
  qwen4_exp_text: qwenFlash,
  nemotron_h: nemotronH,
  "nemotron-nas": grouped({ attention: searchedAt, feed: searchedFeed }),
  granitemoehybrid: graniteHybrid,
  bamba: grouped({ attention: graniteHybridAt }),
  falcon_h1: grouped({ attention: besideAt }),
  jamba: grouped({ attention: jambaAt, unrotated: true, rename: rename.jamba }),
  lfm2: grouped({ attention: convolutionAt, qkNorm: "head", defaults: tied, rename: rename.convolution }),
  lfm2_moe: grouped({
    attention: convolutionAt,
    qkNorm: "head",
    correction: true,
    defaults: tied,
    rename: rename.convolution,
  }),
  olmo_hybrid: olmoHybrid,
  mamba2: grouped({ attention: mambaAt, feed: withoutFeed, norms: 1 }),
  rwkv7: grouped({ attention: rwkvAt, matrices: 2, norm: 2 }),
};
