import type { Blueprint } from "../../cost/blueprint.ts";
import type { Engine, EngineSettings } from "./engine.ts";
import { exactParts } from "./exact.ts";
import { hasIndex, hasLatents, hasPools, type LayerRows, type Layout, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";
import { compressedParts, pooledParts, type SharedFormat, sharedParts } from "./packed.ts";
import { pagedParts } from "./page.ts";
import type { Part } from "./part.ts";
import { plainBytes } from "./type.ts";

/** Tokens of a block unless another is given. */
const BLOCK = 16;
/** Of the sparse MLA, whose kernels want this many (vllm/v1/attention/backends/mla). */
const SPARSE_BLOCK = 64;
/** Of MiniMax-M3, whose page is what its index chooses at a time. */
const SPARSE_STEP = 128;

/** FlashMLA's row of 656 bytes: 512 of float8, a float32 scale for each 128 of them, the rotary key of 64 in bfloat16. */
export const flashRow = (latent: number, rotary: number) => latent + (4 * latent) / 128 + 2 * rotary;
/** An indexer's key in float8 with a float32 scale for each 128 numbers. */
export const flashIndex = (index: number) => index + (4 * index) / 128;

/**
 * Models whose states vLLM keeps in 16 bits where nothing is said; the others say float32 in their config or in vLLM's code
 * (`gated_delta_net_state_dtype`, `kda_state_dtype`; `mamba_ssm_dtype` of a Qwen3.5 config).
 */
const halfStates = ["qwen3_next"];

/**
 * What vLLM allocates on one rank (0.33). One kind of layer: whole blocks of rows, each layer's page by itself. Several: pages of one
 * size. Keys and values in float8 have one scale for all; those in 8 and 4 bits have a float32 scale for each head and token.
 */
export function vllmParts(rows: readonly LayerRows[], settings: EngineSettings, architecture = ""): Part[] | undefined {
  const { keyType, valueType, drafts } = settings;
  if (keyType !== valueType) return undefined;
  const kinds = new Set(rows.map(({ window, memory, tail }) => `${window} ${memory + tail > 0}`));
  const number = numberBytes(rows, settings);
  if (number === undefined) return undefined;
  if (rows.some(({ index }) => index > 0))
    return exactParts(rows, settings, { step: SPARSE_BLOCK, bytes: () => number, indexBytes: flashIndex });
  if (kinds.size === 1 && rows.every(({ memory, tail }) => memory + tail === 0) && rows[0]!.window === undefined)
    return exactParts(rows, settings, { step: BLOCK, bytes: () => number });
  if (rows.every(({ keys, values }) => keys + values === 0)) return exactParts(rows, settings, { tail: 2 });
  const memory = halfStates.includes(architecture) ? 2 : 4;
  return pagedParts(rows, settings, {
    row: ({ keys, values }) => (keys + values) * number,
    state: (layer) => layer.memory * memory + 2 * layer.tail * (layer.taps ? (layer.taps + drafts) / layer.taps : 1),
  });
}

/** Bytes of a cached number, its share of a scale included; undefined for types that vLLM does not have. */
function numberBytes(rows: readonly LayerRows[], { keyType }: EngineSettings): number | undefined {
  if (keyType !== "int8" && keyType !== "int4") return plainBytes(keyType);
  const heads = rows.filter(({ keys, values }) => keys > 0 && values > 0);
  const widths = new Set(heads.map(({ keys, heads }) => keys / heads));
  const equal = heads.every(({ keys, values }) => keys === values);
  const [width] = widths;
  if (width === undefined || widths.size > 1 || !equal) return undefined;
  return (keyType === "int8" ? 1 : 0.5) + 4 / width;
}

const vllm = { engine: "vLLM", parts: vllmParts } as const;
const layout = (of: Layout) => (blueprint: Blueprint) => rowsOf(blueprint, of);
/** vLLM 0.33 on one kind of processor, which decides the format of DeepSeek-V4.1's entries. */
const reusing = (version: string, keeps: string, format: SharedFormat): Engine => ({
  engine: "vLLM, FlashMLA",
  version,
  keeps: `${keeps}; entries and index keys of the owners alone, every layer's window in blocks as large, rings of the tokens that are pooled next`,
  source: "vllm/models/deepseek_v41 (attention.py, compressor.py) and vllm/v1/core/kv_cache_planning.py",
  covers: ({ architecture }) => /^deepseek_v41/.test(architecture),
  rows: layout("latents"),
  parts: (rows, settings) => sharedParts(rows, settings, format, flashIndex),
});
/** Qwen3.8-Flash-Next in vLLM 0.33, by the kernel that reads prompts in layers with a state. */
const choosing = (version: string, more: string, checkpoints: number): Engine => ({
  engine: "vLLM",
  version,
  keeps: `keys and values, and index keys of four tokens in 16 bits whatever the cache's type; states in pages of rows${more}`,
  source:
    "vllm/models/qwen4_exp (nvidia/qsa.py, nvidia/ple_layer.py, common/qsa_cache.py) and vllm/v1/core/kv_cache_planning.py",
  covers: ({ architecture }) => /^qwen4_exp/.test(architecture),
  rows: layout("latents"),
  parts(rows, settings) {
    const number = plainBytes(settings.keyType);
    if (number === undefined || number > 2 || settings.valueType !== settings.keyType) return undefined;
    const row = ({ keys, values }: LayerRows) => (keys + values) * number;
    return pooledParts(rows, settings, { row, measure: row, step: BLOCK, checkpoints }, (index) => 2 * index);
  },
});
const isOf = (names: readonly string[]) => (blueprint: Blueprint) =>
  hasLatents(blueprint) && names.includes(blueprint.architecture);
const asPadded = "keys and values of every head, values padded to the width of keys";
const { v2, v3, lite, sparse } = architecturesOf;

export const vllmEngines: readonly Engine[] = [
  {
    ...vllm,
    version: "0.7.1 and later",
    keeps: "the latent and the rotary key that all heads share, in blocks of tokens; a state in pages as large",
    source: "vLLM 0.7.1 release notes; is_deepseek_mla in vllm/transformers_utils/model_arch_config_convertor.py",
    covers: isOf([...v2, ...v3, ...sparse, "kimi_linear", "longcat_flash"]),
    rows: layout("latents"),
  },
  {
    ...vllm,
    version: "since 2026-01-19",
    keeps: "the latent and the rotary key that all heads share",
    source: "vllm-project/vllm#32614, which adds glm4_moe_lite to the models it knows as MLA",
    covers: isOf(lite),
    rows: layout("latents"),
  },
  {
    ...vllm,
    version: "before 0.7.1, or VLLM_MLA_DISABLE=1",
    keeps: asPadded,
    source: "DeepseekV2Attention in vllm/model_executor/models/deepseek_v2.py",
    covers: isOf([...v2, ...v3]),
    rows: layout("padded"),
  },
  {
    ...vllm,
    version: "0.11 (as read)",
    keeps: asPadded,
    source: "vllm/model_executor/models/minicpm3.py",
    covers: isOf(["minicpm3"]),
    rows: layout("padded"),
  },
  {
    ...vllm,
    engine: "vLLM, FlashMLA",
    version: "fp8_ds_mla",
    keeps: "512 bytes of float8, 4 scales, the rotary key in bfloat16; the indexer's key in float8 with a scale",
    source: "FlashMLA README: 656 bytes a token; vLLM's DeepSeek-V3.2 indexer cache",
    covers: isOf(sparse),
    rows: layout("latents"),
    parts: (rows, settings) => flashParts(rows, settings, { step: SPARSE_BLOCK }),
  },
  {
    ...vllm,
    engine: "vLLM, FlashMLA",
    version: "0.28, fp8_ds_mla, --block-size 256",
    keeps:
      "584 bytes an entry of 512 numbers, index keys with their scale, windows and compressors' states in blocks as large; a prompt that is being read takes blocks of states for its chunk beside that",
    source: "vllm/models/deepseek_v4 (attention.py, compressor.py); vllm-project/vllm#54703 has its pages",
    covers: ({ architecture }) => architecture === "deepseek_v4",
    rows: layout("latents"),
    parts: (rows, settings) => compressedParts(rows, settings, flashIndex),
  },
  reusing("0.33, fp8_ds_mla, Hopper", "584 bytes an entry of 512 numbers", {
    row: 584,
    page: 576,
    stride: 1,
    block: 64,
  }),
  reusing("0.33, fp8_ds_mla, Blackwell (100)", "528 bytes an entry of 512 numbers", {
    row: 528,
    page: 512,
    stride: 528,
    block: 128,
  }),
  {
    ...vllm,
    version: "0.33",
    keeps: "keys, values and an index key in blocks of 128 tokens; the index key in 16 bits whatever the cache's type",
    source: "vllm/models/minimax_m3/common (sparse_attention.py, indexer.py)",
    covers: ({ architecture }) => /^minimax_m3/.test(architecture),
    rows: layout("latents"),
    parts: (rows, settings) => exactParts(rows, settings, { step: SPARSE_STEP, indexBytes: (numbers) => 2 * numbers }),
  },
  {
    ...vllm,
    version: "0.33",
    keeps: "the latent and the rotary key that all heads share, in blocks whose page holds a state",
    source: "vllm/model_executor/models/bailing_moe_v3.py",
    covers: (blueprint) =>
      isOf(["bailing_hybrid"])(blueprint) &&
      blueprint.layers.some(({ attention }) => attention.variant.name.startsWith("KDA")),
    rows: layout("latents"),
  },
  {
    ...vllm,
    engine: "vLLM, FlashMLA",
    version: "2026-09, fp8",
    keeps:
      "656 bytes a latent, though none is rotary; index keys of four tokens with a scale; states in pages of latents",
    source: "vllm-project/vllm#57346 with its _get_kv_cache_groups_glm5_next, which 0.33 no longer has",
    covers: isOf(["glm5_next", "glm5_next_text"]),
    rows: layout("latents"),
    parts: (rows, settings) => {
      const row = flashRow(ROPELESS, 64);
      return pooledParts(rows, settings, { row: () => row, measure: () => row, step: 256, checkpoints: 0 }, flashIndex);
    },
  },
  {
    ...vllm,
    version: "0.33, FlashKDA",
    keeps:
      "latents in 16 bits, index keys of four tokens in float8 with a scale; states in pages of latents, one more for a prompt that is being read",
    source: "vllm/models/glm5next/common (attention.py, kda.py) and vllm/v1/core/kv_cache_planning.py",
    covers: isOf(["glm5_next", "glm5_next_text"]),
    rows: layout("latents"),
    parts(rows, settings) {
      const number = plainBytes(settings.keyType);
      if (number !== 2 || settings.valueType !== settings.keyType) return undefined;
      const row = number * ROPELESS;
      return pooledParts(rows, settings, { row: () => row, measure: () => row, step: 128, checkpoints: 1 }, flashIndex);
    },
  },
  {
    ...vllm,
    engine: "vLLM, FlashMLA",
    version: "0.33, fp8_ds_mla, FlashKDA",
    keeps:
      "656 bytes a latent, though none is rotary; index keys of four tokens with a scale; states in pages of 512 bytes a token, one more for a prompt that is being read",
    source: "vllm/models/glm5next/common (attention.py, kda.py) and vllm/v1/core/kv_cache_planning.py",
    covers: isOf(["glm5_next", "glm5_next_text"]),
    rows: layout("latents"),
    parts: (rows, settings) =>
      pooledParts(
        rows,
        settings,
        { row: () => flashRow(ROPELESS, 64), measure: () => ROPELESS, step: 128, checkpoints: 1 },
        flashIndex,
      ),
  },
  choosing("0.33, Triton", "", 0),
  choosing("0.33, FlashInfer", ", one more for a prompt that is being read", 1),
  {
    ...vllm,
    version: "since 2026-09",
    keeps:
      "the latent and the rotary key that all heads share; index keys in float8 with a scale, in layers that choose tokens",
    source: "vllm-project/vllm#54160; vllm/models/hy_v4/nvidia/attention.py",
    covers: isOf(["hy_v4"]),
    rows: layout("latents"),
  },
  {
    ...vllm,
    version: "0.33 (as read)",
    keeps: "the latent and the rotary key that all heads share",
    source: "SarvamMLAAttention in vllm/model_executor/models/sarvam.py: the layer that DeepSeek-V2 has",
    covers: isOf(["sarvam_mla"]),
    rows: layout("latents"),
  },
  {
    ...vllm,
    version: "0.11 and later",
    keeps: "blocks of 16 tokens; windows and states in pages of one size with all others, kinds of layers in groups",
    source: "vLLM 0.33, vllm/v1/core/kv_cache_planning.py; logs in conformance/engines.json",
    covers: (blueprint) => !hasLatents(blueprint) && !hasPools(blueprint) && !hasIndex(blueprint),
    rows: layout("latents"),
  },
];

/** Rows of FlashMLA's format, whatever type is asked for: it is the only one that they have. */
export function flashParts(
  rows: readonly LayerRows[],
  settings: EngineSettings,
  rounding: { readonly step?: number; readonly spare?: number },
): Part[] | undefined {
  if (rows.some(({ keys }) => keys <= ROPELESS)) return undefined;
  const packed = rows.map((row) => ({ ...row, keys: flashRow(ROPELESS, row.keys - ROPELESS) }));
  const alike = { ...settings, valueType: settings.keyType };
  return exactParts(packed, alike, { ...rounding, bytes: () => 1, indexBytes: flashIndex });
}

/** Numbers of a row that FlashMLA keeps in float8. */
const ROPELESS = 512;
