import { compressedExtra } from "../compressed.ts";
import { compressedDraft, nextTokens } from "../draft.ts";
import { hunyuanAt, hunyuanExtra } from "../indexed.ts";
import { sparseAt } from "../latent.ts";
import * as library from "../library.ts";
import { motif, motifAt, motifFeed } from "../motif.ts";
import { closedAt, ngramExtra, ngramTables, shortcutFeed, someExtra, someTables, streamingAt } from "../particular.ts";
import * as rename from "../rename.ts";
import { eitherAt, engramTables, reusingAt, reusingFeed, unhashed } from "../reuse.ts";
import { type Architecture, latent, tied } from "./row.ts";

const third = latent({ correction: true, draft: nextTokens });
const thirdSparse = latent({ rename: library.indexed, attention: sparseAt, correction: true, draft: nextTokens });

const fourthReusing = latent({
  attention: reusingAt,
  feed: reusingFeed,
  tables: engramTables,
  draft: compressedDraft("plain"),
  rename: unhashed,
  correction: true,
});

const fourth = latent({
  attention: eitherAt,
  feed: reusingFeed,
  extra: compressedExtra,
  tables: engramTables,
  draft: compressedDraft("streams"),
  correction: true,
});

/** Latents and what comes of them, by `model_type`. */
export const latentRows: Readonly<Record<string, Architecture>> = {
  deepseek_v2: latent(),
  deepseek_v3: third,
  deepseek_v32: thirdSparse,
  kimi_k2: third,
  kimi_k25: third,
  glm4_moe_lite: latent({ correction: true, draft: nextTokens, defaults: { first_k_dense_replace: 1 } }),
  glm_moe_dsa: thirdSparse,
  hy_v4: latent({
    attention: hunyuanAt,
    extra: hunyuanExtra,
    correction: true,
    draft: nextTokens,
    rename: rename.hunyuanFourth,
  }),
  sarvam_mla: third,
  mistral4: latent(),
  axk1: latent({ attention: closedAt, correction: true }),
  youtu: latent({ defaults: tied }),
  youtu_llm: latent({ defaults: tied }),
  minicpm3: latent({ defaults: tied }),
  plm: latent({ matrices: 2, defaults: tied }),
  longcat_flash: latent({ feed: shortcutFeed, rename: rename.longcat }),
  longcat_flash_ngram: latent({
    feed: shortcutFeed,
    rename: rename.longcat,
    tables: ngramTables,
    extra: ngramExtra,
  }),
  longcat_flash_sparse: latent({
    attention: streamingAt,
    feed: shortcutFeed,
    rename: rename.longcatSparse,
    tables: someTables,
    extra: someExtra,
  }),
  motif3: latent({ attention: motifAt, feed: motifFeed, correction: true, rename: motif }),
  deepseek_v4: fourth,
  // DeepSeek-V4 as its publisher's own code calls it (a copy on the hub in FP8).
  deepseek_ref: fourth,
  deepseek_v41: fourthReusing,
  deepseek_v41_text: fourthReusing,
};
