import { z } from "zod";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, limits, readConfig } from "./config.ts";
import { scalingConfig, scalingEntries, scalingKeys } from "./position.ts";
import type { MlaLayout } from "./table.ts";

/** What a GGUF file's header says, as architectures ask for it. */
export interface GgufHeader {
  /** Values of the keys that begin with the architecture's name, without that. */
  readonly settings: Config;
  /** Numbers of the small tensors that belong to the settings (`Architecture.tables`), by name, where they are there. */
  readonly tables: ReadonlyMap<string, ArrayLike<number>>;
  shapeOf(tensor: string): readonly number[] | undefined;
}

/** A value to be written into a header, with its type there. */
export type Entry =
  | { readonly type: "u32" | "f32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "i32[]"; readonly value: readonly number[] };

/** Values under their keys without the architecture's name. One that is undefined is left out. */
export type Entries = Readonly<Record<string, Entry | undefined>>;

export const u32 = (value: number): Entry => ({ type: "u32", value });
export const f32 = (value: number): Entry => ({ type: "f32", value });
export const flag = (value: boolean): Entry => ({ type: "bool", value });

/** A number for each layer, as a file's typed array or a list. */
export const perLayer = z
  .custom<ArrayLike<number>>(
    (value) => (Array.isArray(value) || ArrayBuffer.isView(value)) && (value as Uint8Array).length <= limits.layers,
    `expected a list with a number for each of at most ${limits.layers} layers`,
  )
  .transform((list) => Array.from(list));

/** What one key of a header means. */
export interface Setting {
  /** The hub's key of the same meaning. */
  readonly hub: string;
  /** Its type in a header; "u32" unless given. */
  readonly type?: "f32" | "bool" | undefined;
  /** What it means to be absent, or for null to be 0; a key without must be there. */
  readonly absent?: number | boolean | null | undefined;
}

/** What the keys of a header mean, for reading and for writing. */
export type Settings = Readonly<Record<string, Setting>>;

/** The settings of all architectures. */
export const decoderSettings: Settings = {
  context_length: { hub: "max_position_embeddings" },
  embedding_length: { hub: "hidden_size" },
  feed_forward_length: { hub: "intermediate_size" },
  "attention.head_count": { hub: "num_attention_heads" },
  "attention.layer_norm_rms_epsilon": { hub: "rms_norm_eps", type: "f32" },
  "rope.freq_base": { hub: "rope_theta", type: "f32", absent: 10000 },
};

/** The hub's key for each of a header's. */
export function hubKeys(settings: Settings): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(settings).map(([key, { hub }]) => [key, hub]));
}

/** How one architecture of GGUF files says what a family's config says. */
export interface Architecture {
  /** `general.architecture`. */
  readonly name: string;
  /** Tensors that are settings and no parameters. */
  readonly tables: readonly string[];
  /** How its files lay out MLA's up-projections, where they have but one way. */
  readonly layout: MlaLayout | undefined;
  /** Tensors that may lie in a file beside the parameters: those tables, and layers that predict further tokens. */
  ignores(tensor: string, model: Model): boolean;
  /** The config that a folder of the same model has, in one of the families' own keys. Throws FormatError naming the key. */
  config(header: GgufHeader): Config;
  /** The header's entries for a config with all its defaults (`Family.read`). Throws FormatError naming the key. */
  entries(config: Config, model: Model, layout: MlaLayout): Entries;
}

/** Keys of all architectures beside their settings. */
const sharedKeys = {
  vocab_size: z.number().optional(),
  block_count: z.number(),
  nextn_predict_layers: z.number().default(0),
  ...scalingKeys,
};
const sharedSchema = z.object(sharedKeys);
type Shared = z.infer<typeof sharedSchema>;

/** What is to be said of an architecture. */
interface Definition<S extends z.ZodRawShape> {
  readonly name: string;
  readonly tables?: readonly string[] | undefined;
  readonly layout?: MlaLayout | undefined;
  /** Keys that mean what one key of the hub's means, beside those of all architectures. */
  readonly settings: Settings;
  /** Keys that mean more, or several together, for `read`. */
  readonly others: S;
  /** What they say in the hub's keys, beside and before what `plain`, the settings, says. Throws FormatError. */
  read(others: z.infer<z.ZodObject<S>>, plain: Config, header: GgufHeader): Config;
  /** The same written, beside and before the settings. */
  write(config: Config, model: Model, layout: MlaLayout): Entries;
}

/** An architecture by what is its own. */
export function defineArchitecture<S extends z.ZodRawShape>(definition: Definition<S>): Architecture {
  const { name, tables = [], layout, others } = definition;
  const settings: Settings = { ...decoderSettings, ...definition.settings };
  const schema = z.object({ ...sharedKeys, ...schemaOf(settings), ...others });
  return {
    name,
    tables,
    layout,
    ignores: (tensor, model) =>
      tables.includes(tensor) || Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? 0) >= model.layers.length,
    config(header) {
      const read = readConfig(header.settings, schema) as Shared & z.infer<z.ZodObject<S>>;
      const plain = { ...readSettings(settings, read as Config), ...outline(read, header) };
      return { ...plain, ...definition.read(read, plain, header) };
    },
    entries: (config, model, layout) => ({
      vocab_size: u32(model.vocabulary),
      block_count: u32(model.layers.length),
      ...writeSettings(settings, config),
      ...scalingEntries(config),
      ...definition.write(config, model, layout),
    }),
  };
}

/** What a config says in sizes and counts of tensors, and of positions. */
function outline(read: Shared, header: GgufHeader): Config {
  const [vocabulary, width] = header.shapeOf("token_embd.weight") ?? [];
  if (vocabulary === undefined || width === undefined)
    throw new FormatError(
      "token_embd.weight: got no such tensor of two axes, expected the embedding; use another file",
    );
  return {
    vocab_size: vocabulary,
    num_hidden_layers: read.block_count - read.nextn_predict_layers,
    tie_word_embeddings: !header.shapeOf("output.weight"),
    rope_scaling: scalingConfig(read, header.tables) ?? null,
  };
}

/** What a header's keys must hold. */
function schemaOf(settings: Settings): z.ZodRawShape {
  return Object.fromEntries(
    Object.entries(settings).map(([key, { type, absent }]) => {
      const one = type === "bool" ? z.boolean() : z.number();
      return [key, absent === undefined ? one : one.nullish()];
    }),
  );
}

/** A header's settings under the hub's keys. */
function readSettings(settings: Settings, header: Config): Config {
  return Object.fromEntries(
    Object.entries(settings).map(([key, { hub, type, absent }]) => {
      const value = header[key] ?? absent ?? null;
      if (absent === null && value === 0) return [hub, null];
      return [hub, type === "f32" ? shorten(value as number) : value];
    }),
  );
}

/** A config's keys as a header's. Throws FormatError for one that must be there. */
function writeSettings(settings: Settings, config: Config): Entries {
  return Object.fromEntries(
    Object.entries(settings).map(([key, { hub, type = "u32", absent }]) => {
      const value = config[hub] ?? absent;
      if (value === undefined)
        throw new FormatError(`${hub}: got nothing, expected a value for a GGUF file's ${key}; add it to the config`);
      return [key, value === null ? undefined : ({ type, value } as Entry)];
    }),
  );
}

/** Files keep numbers in float32: the number of at most seven digits that this is the nearest to. */
export function shorten(x: number): number {
  const short = Number(x.toPrecision(7));
  return Math.fround(short) === Math.fround(x) ? short : x;
}
