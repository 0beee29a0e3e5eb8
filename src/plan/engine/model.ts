const v2 = ["deepseek_v2", "deepseek2"];
const v3 = ["deepseek_v3", "kimi_k2"];
const lite = ["glm4_moe_lite"];
const sparse = ["deepseek_v32", "glm_moe_dsa"];
const latent = [...v2, ...v3, ...lite];

/** Architectures that claims about latents are of, by `model_type` or a GGUF file's name of it. */
export const architecturesOf = {
  v2,
  v3,
  lite,
  sparse,
  /** Dense MLA that most engines run. */
  latent,
  /** What later versions of llama.cpp keep latents of too. */
  llamaLater: [...sparse, "deepseek32", "kimi_linear"],
  later: [...latent, "youtu", "mistral4", "longcat_flash", "axk1"],
  /** Those that Biform runs. */
  own: [...latent, "deepseek_v32", "kimi_linear", "bailing_hybrid", "minicpm3", "youtu", "youtu_llm", "spec"],
} as const satisfies Readonly<Record<string, readonly string[]>>;
