import type { Blueprint } from "../../cost/blueprint.ts";
import type { Engine } from "./engine.ts";
import { rowParts } from "./exact.ts";
import { hasLatents, hasPools, type Layout, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";

const { later, sparse } = architecturesOf;
const layout = (of: Layout) => (blueprint: Blueprint) => rowsOf(blueprint, of);
const isOf = (names: readonly string[]) => (blueprint: Blueprint) =>
  hasLatents(blueprint) && names.includes(blueprint.architecture);
const transformers = { engine: "transformers", parts: rowParts } as const;
const asHeads = "keys and values of every head, the rotary key in each";

/** Hugging Face's libraries in Python and JavaScript: tensors as long as the sequence. */
export const transformersEngines: readonly Engine[] = [
  {
    ...transformers,
    version: "since 2026-08",
    keeps: "the latent and the rotary key that all heads share",
    source: "huggingface/transformers#47761 (unfolded at every step, not absorbed)",
    covers: isOf(later),
    rows: layout("latents"),
  },
  {
    ...transformers,
    version: "before 2026-08",
    keeps: asHeads,
    source: "modular_deepseek_v3.py before huggingface/transformers#47761; deepseek-ai/DeepSeek-R1#238",
    covers: isOf(later),
    rows: layout("heads"),
  },
  {
    ...transformers,
    version: "up to 2026-09",
    keeps: asHeads,
    source: "huggingface/transformers#48761 (closed): models with an indexer were left out of #47761",
    covers: isOf(sparse),
    rows: layout("heads"),
  },
  {
    ...transformers,
    engine: "transformers.js",
    version: "5ed4c5c0 (2026-05-17)",
    keeps: "keys and values of every head, values padded to the width of keys",
    source: "packages/transformers/src/configs.js: as many values as keys, and as wide",
    covers: isOf(["youtu", "deepseek_v3", "glm_moe_dsa", "mistral4"]),
    rows: layout("padded"),
  },
  {
    ...transformers,
    engine: "transformers, TensorRT-LLM",
    version: "those that run it",
    keeps: "what the model declares; pages and padding are not counted",
    source: "one form: nothing to fold",
    covers: (blueprint) => !hasLatents(blueprint) && !hasPools(blueprint),
    rows: layout("latents"),
  },
  {
    ...transformers,
    engine: "vLLM, SGLang, mlx-lm, transformers",
    version: "those that run it",
    keeps: "what the model declares; pages, padding and what compressors hold are not counted",
    source: "one form: nothing to fold",
    covers: (blueprint) => !hasLatents(blueprint) && hasPools(blueprint),
    rows: layout("latents"),
  },
  {
    ...transformers,
    engine: "TensorRT-LLM",
    version: "all with DeepSeek-V3",
    keeps: "the latent and the rotary key that all heads share",
    source: "NVIDIA/TensorRT-LLM#2738",
    covers: isOf(architecturesOf.v3),
    rows: layout("latents"),
  },
];
