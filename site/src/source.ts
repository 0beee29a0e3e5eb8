/** Where the planned model comes from: a preset, a file that was opened, or a spec with sizes. */
import {
  type Blueprint,
  blobSource,
  blueprintOfConfig,
  blueprintOfGguf,
  blueprintOfSpec,
  blueprintOfText,
  FormatError,
  formatJson,
  hubConfig,
  type Outline,
  openHeader,
  parseJson,
  presetOf,
  presets,
  readOutline,
} from "biform/web";
import { longestConfig, type State } from "./state.ts";

type Reading = { readonly as?: string };

/** The last GGUF file, or config that is too long for a link, with what the link has of it: it is there until the page is left. */
let held: { readonly title: string; readonly config: string; read(reading: Reading): Blueprint } | undefined;

const known = new Map<string, Blueprint>();

/** The blueprint of a preset, made once. Throws FormatError for a name that is none. */
export function presetBlueprint(name: string, reading: Reading = {}): Blueprint {
  const preset = presetOf(name);
  if (!preset)
    throw new FormatError(
      `preset: got "${name}", expected one of ${presets.length} names such as ${presets[0]!.name}; choose one from the list`,
    );
  const key = `${preset.name} ${reading.as ?? ""}`;
  const found = known.get(key) ?? {
    ...blueprintOfConfig(preset.config, preset.name, reading),
    source: preset.source,
  };
  known.set(key, found);
  return found;
}

/** The model that the state names. Throws FormatError and ShapeError. */
export function modelOf(state: State): Blueprint {
  const reading = state.as.trim() === "" ? {} : { as: state.as.trim() };
  if (state.kind === "preset") return presetBlueprint(state.model, reading);
  if (state.kind === "spec") return specBlueprint(state.spec, state);
  const { title, config } = state;
  if (held && held.title === title && held.config === config) return held.read(reading);
  if (config.trim() !== "") return counted(blueprintOfText(config, title || "config.json", reading), state);
  throw new FormatError(
    title === ""
      ? "model: got no file, expected a config.json or a GGUF file; choose one, drop one, or paste a config"
      : `${title}: got its name alone, expected the file, which a link cannot hold; open it again`,
  );
}

/** With the bytes and the parameters that a GGUF file was seen to have beyond what its keys say. */
function counted(blueprint: Blueprint, { bytes, rest, as }: Pick<State, "bytes" | "rest" | "as">): Blueprint {
  if (bytes === 0 || as.trim() !== "") return blueprint;
  return { ...blueprint, extra: blueprint.extra + rest, weightBytes: bytes };
}

/** A model of alike layers around a spec. Throws ShapeError. */
function specBlueprint(spec: string, { width, heads, layers, vocabulary }: State): Blueprint {
  return blueprintOfSpec(spec, { width, heads, layers, vocabulary });
}

/** A preset's name, or else a spec at the state's sizes: what tables of several models list. Throws FormatError and ShapeError. */
export function namedBlueprint(name: string, state: State): Blueprint {
  return presetOf(name) ? presetBlueprint(name) : specBlueprint(name, state);
}

/**
 * The part of the state that stands for a config.json. One of a model that cannot be planned is kept, for its variant can be named.
 * Throws FormatError and ShapeError for what is no model's.
 */
export function openConfig(text: string, file: string): Partial<State> {
  try {
    blueprintOfText(text, file);
  } catch (error) {
    if (!/"model_type"/.test(text)) throw error;
  }
  const config = formatJson(parseJson(text));
  const title = file.slice(0, 200);
  if (config.length <= longestConfig) return { kind: "file", title, config, bytes: 0, rest: 0, as: "" };
  held = { title, config: "", read: (reading) => blueprintOfText(text, file, reading) };
  return { kind: "file", title, config: "", as: "" };
}

/**
 * The same of a GGUF file, of which only the header is read. Its keys go into the link as a config, where that reads back as the
 * same model; else its name alone does. Errors: FormatError and ShapeError.
 */
export async function openGguf(file: File): Promise<Partial<State>> {
  const outline = await readOutline(blobSource(file.name, file));
  const name = file.name.replace(/\.gguf$/i, "");
  const blueprint = blueprintOfGguf(outline, name);
  const title = file.name.slice(0, 200);
  const linked = linkedConfig(blueprint, outline, title) ?? { config: "", bytes: 0, rest: 0 };
  held = { title, config: linked.config, read: (reading) => blueprintOfGguf(outline, name, reading) };
  return { kind: "file", title, as: "", ...linked };
}

function linkedConfig(
  blueprint: Blueprint,
  outline: Outline,
  title: string,
): Pick<State, "config" | "bytes" | "rest"> | undefined {
  try {
    const config = JSON.stringify(hubConfig(openHeader(outline)));
    const plain = blueprintOfText(config, title);
    const [bytes, rest] = [blueprint.weightBytes ?? 0, blueprint.extra - plain.extra];
    const again = counted(plain, { bytes, rest, as: "" });
    return config.length <= longestConfig && same(again, blueprint) ? { config, bytes, rest } : undefined;
  } catch {
    // A config of these keys alone cannot be read: the file is needed.
    return undefined;
  }
}

/** Whether two blueprints cost the same; names of variants stand for their functions. */
function same(a: Blueprint, b: Blueprint): boolean {
  const [one, two] = [a, b].map(({ layers, name: _, architecture: __, ...rest }) =>
    JSON.stringify([
      Object.entries(rest).toSorted(([x], [y]) => x.localeCompare(y)),
      layers.map((layer) => ({ ...layer, attention: { ...layer.attention, variant: layer.attention.variant.name } })),
    ]),
  );
  return one === two;
}
