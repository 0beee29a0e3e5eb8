import type { Engine, EngineSettings } from "./engine.ts";
import { exactParts } from "./exact.ts";
import { hasIndex, hasLatents, hasPools, type LayerRows, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";
import type { Part } from "./part.ts";
import { plainBytes } from "./type.ts";

/** Tokens by which buffers grow, numbers that share a scale and an offset, bytes of these two (mlx_lm/models/cache.py, 0.32.2). */
const [STEP, GROUP, SCALES] = [256, 64, 4];

/** What mlx-lm allocates: buffers that grow by 256 tokens; those of a window are never quantised, and their steps end at the window. */
export function mlxParts(rows: readonly LayerRows[], settings: EngineSettings): Part[] | undefined {
  const quantised = settings.keyType === "int8" || settings.keyType === "int4";
  if (settings.keyType === "float8" || (quantised && rows.some(({ window }) => window !== undefined))) return undefined;
  return exactParts(rows, settings, { step: STEP, bytes: ({ keyType }) => numberBytes(keyType), tail: 2 });
}

function numberBytes(type: EngineSettings["keyType"]): number | undefined {
  if (type === "int8") return 1 + SCALES / GROUP;
  return type === "int4" ? 0.5 + SCALES / GROUP : plainBytes(type);
}

const { v3, lite, sparse } = architecturesOf;
const mlx = { engine: "mlx-lm", parts: mlxParts } as const;

export const mlxEngines: readonly Engine[] = [
  {
    ...mlx,
    version: "d78bf58e (2026)",
    keeps: "the latent and the rotary key that all heads share",
    source: "mlx_lm/models/deepseek_v3.py",
    covers: (blueprint) =>
      hasLatents(blueprint) && [...v3, ...sparse, ...lite, "youtu_llm", "kimi_linear"].includes(blueprint.architecture),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
  {
    ...mlx,
    version: "all",
    keeps: "keys and values of every head, the rotary key in each",
    source: "mlx_lm/models/deepseek_v2.py, minicpm3.py",
    covers: (blueprint) => hasLatents(blueprint) && ["deepseek_v2", "minicpm3"].includes(blueprint.architecture),
    rows: (blueprint) => rowsOf(blueprint, "heads"),
  },
  {
    ...mlx,
    version: "all with RotatingKVCache",
    keeps:
      "buffers that grow by 256 tokens; of layers with a window the window alone; states in float32, inputs of convolutions in 16 bits",
    source: "mlx_lm/models/cache.py, gemma3_text.py (0.32.2); gated_delta.py",
    covers: (blueprint) => !hasLatents(blueprint) && !hasPools(blueprint) && !hasIndex(blueprint),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
];
