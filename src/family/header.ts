import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import type { Config } from "./config.ts";
import { architectures, familyOf } from "./families.ts";
import type { Entries, Entry, GgufHeader } from "./gguf.ts";
import { scalingTables } from "./position.ts";
import type { Sources } from "./source.ts";
import { ggufTargets, type MlaLayout } from "./table.ts";

/** What a GGUF file of a model says and has. */
export interface GgufModel {
  readonly architecture: string;
  /** The header's entries under their keys without the architecture's name. */
  readonly entries: Entries;
  /** Tensors that are settings, by name. */
  readonly tables: ReadonlyMap<string, Float32Array>;
  /** Where the parameters are to lie. */
  readonly sources: Sources;
}

/**
 * A folder's config as a GGUF file says it. What is said is read again, so that a file never stands for another model.
 *
 * Errors: FormatError for a family that GGUF files do not have, and naming what of the config they have no words for.
 */
export function describeGguf(config: Config, wanted: MlaLayout): GgufModel {
  const family = familyOf(config.model_type);
  if (!family?.gguf)
    throw new FormatError(
      `model_type: got ${formatJson(config.model_type)}, expected one that GGUF files have ` +
        `(${architectures.map(({ name }) => name).join(", ")}); write a folder`,
    );
  const { name, layout = wanted, tables: known } = family.gguf;
  const full = family.read(config);
  const model = family.model(config);
  const entries = family.gguf.entries(full, model, layout);
  const tables = scalingTables(full, model, known);
  const sources = ggufTargets(family.places(model), layout);
  const shapes = new Map(
    [...sources.values()].flatMap(({ tensors, shape }) => tensors.map((t) => [t, shape] as const)),
  );
  const header: GgufHeader = {
    settings: Object.fromEntries(
      Object.entries(entries).flatMap(([key, entry]) => (entry ? [[key, readBack(entry)]] : [])),
    ),
    tables,
    shapeOf: (tensor) => shapes.get(tensor),
  };
  const again = family.gguf.config(header);
  const lost = difference(model, familyOf(again.model_type)!.model(again));
  if (lost)
    throw new FormatError(
      `config: got ${lost.path} ${show(lost.got)}, which a GGUF file of ${name} would have as ${show(lost.read)}, ` +
        "expected what such files have words for; write a folder",
    );
  return { architecture: name, entries, tables, sources };
}

/** An entry as it comes back. */
const readBack = ({ type, value }: Entry) => (type === "f32" ? Math.fround(value) : value);

const show = (value: unknown) => formatJson(value).slice(0, 60);

interface Difference {
  readonly path: string;
  readonly got: unknown;
  readonly read: unknown;
}

/** The first place in which two models differ by more than float32 keeps. */
function difference(a: unknown, b: unknown, path = "model"): Difference | undefined {
  if (a === b) return undefined;
  if (typeof a === "number" && typeof b === "number" && Math.abs(a - b) <= 1e-6 * Math.abs(a)) return undefined;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return { path, got: a, read: b };
  const [ours, theirs] = [a, b] as [Record<string, unknown>, Record<string, unknown>];
  for (const key of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const found = difference(ours[key], theirs[key], `${path}.${key}`);
    if (found) return found;
  }
  return undefined;
}
