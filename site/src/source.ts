/** Where the planned model comes from: a preset, a file that was opened, or a spec with sizes. */
import { type Blueprint, blueprintOf, blueprintOfConfig, buildModel, FormatError, presetOf, presets } from "biform/web";
import type { State } from "./state.ts";

/** A file that is too long for a link, or is no config: it is there until the page is left. */
let held: { readonly file: string; readonly blueprint: Blueprint } | undefined;

/** Keeps a model that the address cannot hold. */
export function hold(file: string, blueprint: Blueprint): void {
  held = { file, blueprint };
}

const known = new Map<string, Blueprint>();

/** The blueprint of a preset, made once. Throws FormatError for a name that is none. */
export function presetBlueprint(name: string): Blueprint {
  const preset = presetOf(name);
  if (!preset)
    throw new FormatError(
      `preset: got "${name}", expected one of ${presets.length} names such as ${presets[0]!.name}; choose one from the list`,
    );
  const found = known.get(preset.name) ?? { ...blueprintOfConfig(preset.config, preset.name), source: preset.source };
  known.set(preset.name, found);
  return found;
}

// TEMPORARY until read knows all presets.
export const readable = presets.filter(({ name }) => {
  try {
    presetBlueprint(name);
    return true;
  } catch {
    return false;
  }
});

/** The blueprint of what a config.json says. Throws FormatError and ShapeError. */
export function configBlueprint(text: string, file: string): Blueprint {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new FormatError(
      `${file}: got text that is no JSON (${(error as Error).message}), expected a config.json; check the file`,
    );
  }
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new FormatError(
      `${file}: got ${JSON.stringify(config).slice(0, 40)}, expected an object of settings; open a model's config.json`,
    );
  return blueprintOfConfig(config as Record<string, unknown>, file);
}

/** The model that the state names. Throws FormatError and ShapeError. */
export function modelOf(state: State): Blueprint {
  if (state.kind === "preset") return presetBlueprint(state.model);
  if (state.kind === "spec") return specBlueprint(state.spec, state);
  if (state.config.trim() !== "") return configBlueprint(state.config, state.file || "config.json");
  if (held && held.file === state.file) return held.blueprint;
  throw new FormatError(
    state.file === ""
      ? "model: got no file, expected a config.json or a GGUF file; choose one, drop one, or paste a config"
      : `${state.file}: got its name alone, expected the file, which is too large for a link; open it again`,
  );
}

/** A model of alike layers around a spec. Throws ShapeError. */
export function specBlueprint(spec: string, { width, heads, layers, vocabulary }: State): Blueprint {
  return blueprintOf(buildModel(spec, { width, heads, layers, vocabulary, tied: false }), spec);
}

/** A preset's name, or else a spec at the state's sizes: what tables of several models list. Throws FormatError and ShapeError. */
export function namedBlueprint(name: string, state: State): Blueprint {
  return presetOf(name) ? presetBlueprint(name) : specBlueprint(name, state);
}
