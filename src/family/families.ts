import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { biform } from "./biform.ts";
import type { Config } from "./config.ts";
import { deepseek, deepseek3, deepseek32 } from "./deepseek.ts";
import type { Family } from "./family.ts";
import type { Architecture } from "./gguf.ts";
import { glm } from "./glm.ts";
import { kimi } from "./kimi.ts";
import { ling } from "./ling.ts";
import { llama } from "./llama.ts";
import { minicpm } from "./minicpm.ts";
import { qwen } from "./qwen.ts";
import { youtu } from "./youtu.ts";

/** Every family of checkpoints there is; adding one is a file and a line here. */
export const families: readonly Family[] = [
  llama,
  qwen,
  deepseek,
  deepseek3,
  deepseek32,
  glm,
  youtu,
  minicpm,
  kimi,
  ling,
  biform,
];

/** Every architecture of GGUF files there is. */
export const architectures: readonly Architecture[] = [
  ...new Set(families.flatMap(({ gguf }) => (gguf ? [gguf] : []))),
];

/** The family that reads this `model_type`, if any. */
export function familyOf(modelType: unknown): Family | undefined {
  return families.find(({ modelTypes }) => modelTypes.some((known) => known === modelType));
}

/** The family that reads a config. Throws FormatError naming `model_type`. */
export function findFamily({ model_type: type }: Config): Family {
  const family = familyOf(type);
  if (family) return family;
  throw new FormatError(
    `model_type: got ${formatJson(type).slice(0, 80)}, ` +
      `expected one of ${families.flatMap(({ modelTypes }) => modelTypes).join(", ")}; other models are not supported`,
  );
}

/** The architecture of GGUF files of that name, if any. */
export function architectureOf(name: unknown): Architecture | undefined {
  return architectures.find((known) => known.name === name);
}
