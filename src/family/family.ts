import { z } from "zod";
import type { Attention } from "../attention/layer.ts";
import type { Model } from "../model/model.ts";
import { type Config, readConfig } from "./config.ts";
import { decoderPlaces, ignoresTensor, type Names, withScales } from "./decoder.ts";
import type { Architecture } from "./gguf.ts";
import type { Sources } from "./source.ts";
import { hubSources, type Places, type Table } from "./table.ts";

/** A kind of checkpoint: what its config means and what it calls its tensors. Nothing else knows either. */
export interface Family {
  /** The `model_type` values it reads. */
  readonly modelTypes: readonly string[];
  /** How GGUF files say its settings; a family that has none is in folders alone. */
  readonly gguf: Architecture | undefined;
  /** The config's keys that decide, with what it leaves out. Throws FormatError as `model` does. */
  read(config: Config): Config;
  /** Throws FormatError naming the key that is missing, out of range, or asks for something that is not supported. */
  model(config: Config): Model;
  /** Where every parameter that `parametersOf(model)` lists lies, in a folder and in a GGUF file. */
  places(model: Model): Places;
  /** Where a folder of that config has them. */
  sources(model: Model, config: Config): Sources;
  /** Tensors that may lie in the checkpoint beside the parameters and change nothing. */
  ignores(tensor: string, model: Model, config: Config): boolean;
}

/** What is to be said of a family. */
interface Definition<S extends z.ZodRawShape> {
  readonly modelTypes: readonly [string, ...string[]];
  /** The keys of its config but for `model_type`. */
  readonly keys: S;
  /** Throws FormatError naming the key. */
  model(config: z.infer<z.ZodObject<S>>): Model;
  /** The places of a layer's attention: names within `model.layers.i.self_attn.` of a folder and `blk.i.` of a GGUF file. */
  attention(attention: Attention): Table;
  /** What its folders call the parts of a decoder, where that is not as usual. */
  readonly names?: Names | undefined;
  readonly gguf?: Architecture | undefined;
}

/** A family by what is its own. */
export function defineFamily<S extends z.ZodRawShape>(definition: Definition<S>): Family {
  const { modelTypes, keys, gguf, attention, names } = definition;
  const schema = z.object({ ...keys, model_type: z.enum(modelTypes) });
  const read = (config: Config) => readConfig(config, schema) as z.infer<z.ZodObject<S>>;
  const places = (model: Model) => decoderPlaces(model, attention, names);
  return {
    modelTypes,
    gguf,
    read: (config) => read(config) as Config,
    model: (config) => definition.model(read(config)),
    places,
    sources: (model, config) => withScales(hubSources(places(model)), config),
    ignores: ignoresTensor,
  };
}
