import { type Blueprint, blueprintOf } from "../../cost/blueprint.ts";
import { essay } from "../../cost/paper.ts";
import { buildModel, type ModelSettings } from "../../model/build.ts";
import { ShapeError } from "../../tensor/error.ts";

/** Sizes that the user gives beside a spec, or where a config has none. */
export type Given = Partial<Omit<ModelSettings, "base" | "scale" | "planned">>;

/**
 * The blueprint of a spec ("MLA:n128:r64:v128:c512") or a pattern of specs ("[GQA2-128*3,MLA]") at these sizes; those of
 * kexue.fm/archives/10907 unless given. Errors: ShapeError.
 */
export function blueprintOfSpec(spec: string, given: Given = {}): Blueprint {
  const settings = { ...essay, ...given };
  for (const key of ["vocabulary", "width", "heads", "layers", "intermediate"] as const) {
    const value = settings[key];
    if (value !== undefined && !(Number.isInteger(value) && value > 0 && value <= 2 ** 22))
      throw new ShapeError(`${key}: got ${value}, expected a whole number from 1 to ${2 ** 22}`);
  }
  if (settings.layers > 4096) throw new ShapeError(`layers: got ${settings.layers}, expected at most 4096`);
  // The essay's MLP belongs to its width.
  const { intermediate: _, ...unsized } = settings;
  const own = given.width === undefined || given.intermediate !== undefined;
  return blueprintOf(buildModel(spec, { ...(own ? settings : unsized), planned: true }), spec.trim(), "spec");
}
