/** What engines are known to keep of a token, each row with the versions and the source that it is true of. */
import { countValues, present, type Sizes } from "../attention/define.ts";
import type { LayerKind } from "../cost/blueprint.ts";
import { layerValues } from "../cost/cost.ts";

/** What one engine in some versions keeps of each token in a layer with latent attention. */
interface LatentClaim {
  readonly engine: string;
  readonly version: string;
  /** Which architectures, by `model_type` or a GGUF file's name of it; all unless given. */
  readonly models?: readonly string[];
  readonly keeps: string;
  readonly values: (z: Sizes, kind: LayerKind) => number;
  /** Bytes where the engine has a format of its own; values in the cache's type unless given. */
  readonly bytes?: (z: Sizes) => number;
  readonly source: string;
}

const v2 = ["deepseek_v2", "deepseek2"];
const v3 = ["deepseek_v3", "kimi_k2"];
const sparse = ["deepseek_v32", "glm_moe_dsa"];
const lite = ["glm4_moe_lite"];
const llamaCpp = [...v2, ...v3, ...lite];
const later = [...llamaCpp, "youtu", "mistral4", "longcat_flash", "axk1"];
/** Those that Biform runs. */
const own = [...llamaCpp, "deepseek_v32", "minicpm3", "youtu", "youtu_llm", "spec"];

/** An indexer's key, which is kept beside whatever else is. */
const index = (z: Sizes) => z.i ?? 0;
const latents = (z: Sizes) => z.c + z.r + index(z);
/** Keys and values of every head, the rotary key in each. */
const perHead = (z: Sizes) => z.h * (z.e + z.v) + index(z);
/** Values padded to the width of keys. */
const padded = (z: Sizes) => 2 * z.h * z.e + index(z);

const asLatents = "the latent and the rotary key that all heads share";
const asHeads = "keys and values of every head, the rotary key in each";
const asPadded = "keys and values of every head, values padded to the width of keys";

/** What engines keep of models with latents. */
export const latentClaims: readonly LatentClaim[] = [
  {
    engine: "vLLM",
    version: "0.7.1 and later",
    models: [...v2, ...v3, ...sparse, "kimi_linear", "longcat_flash"],
    keeps: asLatents,
    values: latents,
    source: "vLLM 0.7.1 release notes; is_deepseek_mla in vllm/transformers_utils/model_arch_config_convertor.py",
  },
  {
    engine: "vLLM",
    version: "since 2026-01-19",
    models: lite,
    keeps: asLatents,
    values: latents,
    source: "vllm-project/vllm#32614, which adds glm4_moe_lite to the models it knows as MLA",
  },
  {
    engine: "vLLM",
    version: "before 0.7.1, or VLLM_MLA_DISABLE=1",
    models: [...v2, ...v3],
    keeps: asPadded,
    values: padded,
    source: "DeepseekV2Attention in vllm/model_executor/models/deepseek_v2.py",
  },
  {
    engine: "vLLM",
    version: "0.11 (as read)",
    models: ["minicpm3"],
    keeps: asPadded,
    values: padded,
    source: "vllm/model_executor/models/minicpm3.py",
  },
  {
    engine: "vLLM, FlashMLA",
    version: "fp8_ds_mla",
    models: sparse,
    values: latents,
    keeps: "512 bytes of float8, 4 scales, the rotary key in bfloat16; the indexer's key in float8 with a scale",
    bytes: (z: Sizes) => z.c + (4 * z.c) / 128 + 2 * z.r + index(z) + (index(z) && 4),
    source: "FlashMLA README: 656 bytes a token; vLLM's DeepSeek-V3.2 indexer cache",
  },
  {
    engine: "SGLang",
    version: "0.3 and later",
    keeps: asLatents,
    values: latents,
    models: [...llamaCpp, ...sparse, "minicpm3", "longcat_flash", "kimi_linear"],
    source: "lmsys.org/blog/2024-09-04-sglang-v0-3; MiniCPM3AttentionMLA in sglang/srt/models/minicpm3.py",
  },
  {
    engine: "TensorRT-LLM",
    version: "all with DeepSeek-V3",
    models: v3,
    keeps: asLatents,
    values: latents,
    source: "NVIDIA/TensorRT-LLM#2738",
  },
  {
    engine: "llama.cpp",
    version: "since 2026-01-24",
    models: llamaCpp,
    keeps: asLatents,
    values: latents,
    source: "ggml-org/llama.cpp#19067: no values beside the latent",
  },
  {
    engine: "llama.cpp",
    version: "2025-04 to 2026-01",
    models: llamaCpp,
    keeps: "the latent twice, as key and as value, and the rotary key",
    values: (z: Sizes) => 2 * z.c + z.r,
    source: "ggml-org/llama.cpp#12801: K of c + r and V of c",
  },
  {
    engine: "llama.cpp",
    version: "before 2025-04",
    models: [...v2, ...v3],
    keeps: asHeads,
    values: perHead,
    source: "ggml-org/llama.cpp#11049, before #12801",
  },
  {
    engine: "llama.cpp",
    version: "all",
    models: ["minicpm3", "plm"],
    keeps: asHeads,
    values: perHead,
    source: "ggml-org/llama.cpp src/models/minicpm3.cpp, plm.cpp",
  },
  {
    engine: "Ollama, node-llama-cpp, wllama",
    version: "with a llama.cpp since 2026-01-24",
    models: llamaCpp,
    keeps: asLatents,
    values: latents,
    source: "as the llama.cpp inside: ggml-org/llama.cpp#19067",
  },
  {
    engine: "ik_llama.cpp",
    version: "-mla 2, -mla 3",
    models: llamaCpp,
    keeps: asLatents,
    values: latents,
    source: 'ikawrakow/ik_llama.cpp#235, #273 ("kv^T: not used")',
  },
  {
    engine: "ik_llama.cpp",
    version: "-mla 1 without flash attention",
    models: [...v2, ...v3],
    keeps: "the latent and the rotary key, and the latent transposed",
    values: (z: Sizes) => 2 * z.c + z.r,
    source: "ikawrakow/ik_llama.cpp#235",
  },
  {
    engine: "ik_llama.cpp",
    version: "-mla 0",
    models: [...v2, ...v3],
    keeps: asHeads,
    values: perHead,
    source: "ikawrakow/ik_llama.cpp#195",
  },
  {
    engine: "transformers",
    version: "since 2026-08",
    keeps: asLatents,
    values: latents,
    models: later,
    source: "huggingface/transformers#47761 (unfolded at every step, not absorbed)",
  },
  {
    engine: "transformers",
    version: "before 2026-08",
    keeps: asHeads,
    values: perHead,
    models: later,
    source: "modular_deepseek_v3.py before huggingface/transformers#47761; deepseek-ai/DeepSeek-R1#238",
  },
  {
    engine: "transformers",
    version: "up to 2026-09",
    models: sparse,
    keeps: asHeads,
    values: perHead,
    source: "huggingface/transformers#48761 (closed): models with an indexer were left out of #47761",
  },
  {
    engine: "transformers.js",
    version: "5ed4c5c0 (2026-05-17)",
    keeps: asPadded,
    values: padded,
    models: ["youtu", "deepseek_v3", "glm_moe_dsa", "mistral4"],
    source: "packages/transformers/src/configs.js: as many values as keys, and as wide",
  },
  {
    engine: "mlx-lm",
    version: "d78bf58e (2026)",
    keeps: asLatents,
    values: latents,
    models: [...v3, ...sparse, ...lite, "youtu_llm", "kimi_linear"],
    source: "mlx_lm/models/deepseek_v3.py",
  },
  {
    engine: "mlx-lm",
    version: "all",
    models: ["deepseek_v2", "minicpm3"],
    keeps: asHeads,
    values: perHead,
    source: "mlx_lm/models/deepseek_v2.py, minicpm3.py",
  },
  {
    engine: "Biform",
    version: "this one",
    models: own,
    keeps: "the latents that heads share",
    values: (_, kind) => layerValues(kind, "absorbed"),
    source: "src/attention: `cache` of each variant",
  },
  {
    engine: "Biform",
    version: "this one, unfolded",
    models: own,
    values: (_, kind) => unfoldedValues(kind),
    keeps: "keys and values of every head, what heads share once",
    source: "src/attention/unfold.ts",
  },
];

/** What engines give up of tokens behind a window. */
export const windowClaims = [
  {
    engine: "vLLM",
    version: "0.9.2 and later",
    whole: false,
    keeps: "of layers with a window the window alone",
    source: "vLLM, hybrid KV cache manager",
  },
  {
    engine: "llama.cpp",
    version: "since 2025-05",
    whole: false,
    keeps: "of layers with a window the window alone (and room for a batch, which is not in this figure)",
    source: "ggml-org/llama.cpp#13194; --swa-full keeps all",
  },
  {
    engine: "mlx-lm",
    version: "all with RotatingKVCache",
    whole: false,
    keeps: "of layers with a window the window alone",
    source: "mlx_lm/models/gemma3_text.py, make_cache",
  },
  {
    engine: "ik_llama.cpp",
    version: "up to 2026-04",
    whole: true,
    keeps: "all tokens in all layers",
    source: "ikawrakow/ik_llama.cpp#1607",
  },
  {
    engine: "llama.cpp",
    version: "before 2025-05, or --swa-full",
    whole: true,
    keeps: "all tokens in all layers",
    source: "ggml-org/llama.cpp#13194",
  },
] as const;

/** Numbers that a token's latent unfolds to. */
function unfoldedValues({ attention: { variant, sizes } }: LayerKind): number {
  return countValues(present(variant.unfolded!(sizes)), sizes);
}
