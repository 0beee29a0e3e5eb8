import { nearest } from "../read/spelling.ts";
import { deepseek } from "./deepseek.ts";
import { dense } from "./dense.ts";
import { gemma } from "./gemma.ts";
import { grouped } from "./grouped.ts";
import { hybrids } from "./hybrid.ts";
import { kimi } from "./kimi.ts";
import { latent } from "./latent.ts";
import { llama } from "./llama.ts";
import { mixtures } from "./mixture.ts";
import { nemotrons } from "./nemotron.ts";
import { qwen } from "./qwen.ts";
import { recent } from "./recent.ts";
import { recurrent } from "./recurrent.ts";
import { season } from "./season.ts";
import { shippedKeys } from "./shipped.ts";
import { summer } from "./summer.ts";

/** A public model's sizes as its publisher's config has them: the keys that decide about cost, by their own names. */
export interface Preset {
  /** As people type it: "deepseek-r1". */
  readonly name: string;
  readonly aliases?: readonly string[];
  /** Where the sizes stand, and what they were compared with; it says so where some are from memory. */
  readonly source: string;
  /** Parameters as the publisher counts them. */
  readonly published?: { readonly total?: number; readonly active?: number };
  /** Why a count from the sizes differs from the published total by more than one percent. */
  readonly differs?: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Public models, the latent ones first. */
export const presets: readonly Preset[] = [
  ...season,
  ...summer,
  ...deepseek,
  ...kimi,
  ...latent,
  ...llama,
  ...qwen,
  ...hybrids,
  ...nemotrons,
  ...recurrent,
  ...gemma,
  ...mixtures,
  ...recent,
  ...dense,
  ...grouped,
].map((preset) => ({ ...preset, config: { ...preset.config, ...shippedKeys[preset.name] } }));

/** The preset of this name or alias, whatever its case; undefined where there is none. */
export function presetOf(name: string): Preset | undefined {
  const wanted = name.toLowerCase();
  return presets.find((preset) => preset.name === wanted || preset.aliases?.includes(wanted));
}

/** The name or alias of a preset that is nearest to what was written; undefined where none is near. */
export function nearestPreset(wanted: string): string | undefined {
  return nearest(
    wanted,
    presets.flatMap(({ name, aliases = [] }) => [name, ...aliases]),
  );
}
