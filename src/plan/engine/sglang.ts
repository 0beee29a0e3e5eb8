import type { Engine } from "./engine.ts";
import { exactParts } from "./exact.ts";
import { hasIndex, hasLatents, hasPools, hasWindows, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";
import { flashIndex, flashParts } from "./vllm.ts";

const { latent, sparse } = architecturesOf;
/** Tokens of a page of the sparse MLA; of every other cache it is 1. */
const SPARSE_PAGE = 64;

/** SGLang keeps one pool of rows for all sequences, and one page beside it that padding is written to; states likewise. */
export const sglangEngines: readonly Engine[] = [
  {
    engine: "SGLang",
    version: "0.3 and later",
    keeps: "the latent and the rotary key that all heads share, and a spare page",
    source: "lmsys.org/blog/2024-09-04-sglang-v0-3; MiniCPM3AttentionMLA in sglang/srt/models/minicpm3.py",
    covers: (blueprint) =>
      hasLatents(blueprint) &&
      [...latent, ...sparse, "minicpm3", "longcat_flash", "kimi_linear"].includes(blueprint.architecture),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
    parts: (rows, settings) =>
      exactParts(rows, settings, {
        spare: rows.some(({ index }) => index > 0) ? SPARSE_PAGE : 1,
        indexBytes: flashIndex,
        tail: 2,
      }),
  },
  {
    engine: "SGLang, FlashMLA",
    version: "0.5.4 and later, with --kv-cache-dtype fp8_e4m3",
    keeps: "512 bytes of float8, 4 scales, the rotary key in bfloat16; the indexer's key in float8 with a scale",
    source: "sgl-project/sglang#11309: its logs are in conformance/engines.json",
    covers: (blueprint) => hasLatents(blueprint) && sparse.includes(blueprint.architecture),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
    parts: (rows, settings) => flashParts(rows, settings, { spare: SPARSE_PAGE }),
  },
  {
    engine: "SGLang",
    version: "0.4 and later",
    keeps: "a row for every token, and a spare one; states in float32, inputs of convolutions in 16 bits",
    source: "SGLang 0.5.23, sglang/srt/mem_cache/memory_pool.py; a log in conformance/engines.json",
    // How a pool is cut between layers with and without a window is a setting of its own there.
    covers: (blueprint) =>
      !hasLatents(blueprint) && !hasPools(blueprint) && !hasIndex(blueprint) && !hasWindows(blueprint),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
    parts: (rows, settings) => exactParts(rows, settings, { spare: 1, tail: 2 }),
  },
];
