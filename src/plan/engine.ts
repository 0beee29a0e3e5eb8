import type { Blueprint } from "./blueprint.ts";
import type { Dtype, Plan } from "./schema.ts";

/** What an engine keeps of a model: a row of a plan's `engines` but for the bytes of a context. */
export type EngineRow = Omit<Plan["engines"][number], "bytes">;

/** What named engines and versions keep per token, on average over a model's layers; for models that they are known to run. */
export function enginesOf(_blueprint: Blueprint, _cacheType: Dtype): EngineRow[] {
  return [];
}
