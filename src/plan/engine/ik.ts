import type { Blueprint } from "../../cost/blueprint.ts";
import type { Engine } from "./engine.ts";
import { hasLatents, hasPools, hasWindows, type Layout, rowsOf } from "./layer.ts";
import { llamaParts } from "./llamacpp.ts";
import { architecturesOf } from "./model.ts";

const { v2, v3, latent } = architecturesOf;
const isOf = (names: readonly string[]) => (blueprint: Blueprint) =>
  hasLatents(blueprint) && names.includes(blueprint.architecture);
const layout = (of: Layout) => (blueprint: Blueprint) => rowsOf(blueprint, of);
const ik = { engine: "ik_llama.cpp", parts: llamaParts } as const;

/** ik_llama.cpp, which lays out latents as it is told. */
export const ikEngines: readonly Engine[] = [
  {
    ...ik,
    version: "-mla 2, -mla 3",
    keeps: "the latent and the rotary key that all heads share",
    source: 'ikawrakow/ik_llama.cpp#235, #273 ("kv^T: not used")',
    covers: isOf(latent),
    rows: layout("latents"),
  },
  {
    ...ik,
    version: "-mla 1 without flash attention",
    keeps: "the latent and the rotary key, and the latent transposed, which cannot be quantised",
    source: "ikawrakow/ik_llama.cpp#235, #206",
    covers: isOf([...v2, ...v3]),
    rows: layout("twice"),
    parts: (rows, settings, architecture) =>
      llamaParts(
        rows,
        { ...settings, valueType: settings.keyType === "float32" ? "float32" : "float16" },
        architecture,
      ),
  },
  {
    ...ik,
    version: "-mla 0",
    keeps: "keys and values of every head, the rotary key in each",
    source: "ikawrakow/ik_llama.cpp#195",
    covers: isOf([...v2, ...v3]),
    rows: layout("heads"),
  },
  {
    ...ik,
    version: "up to 2026-04",
    keeps: "all tokens in all layers",
    source: "ikawrakow/ik_llama.cpp#1607",
    covers: (blueprint) => !hasLatents(blueprint) && !hasPools(blueprint) && hasWindows(blueprint),
    rows: layout("latents"),
    parts: (rows, settings, architecture) => llamaParts(rows, { ...settings, wholeWindows: true }, architecture),
  },
];
