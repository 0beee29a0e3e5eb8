import type { Model } from "../model/model.ts";
import type { Config } from "./config.ts";
import type { Sources } from "./source.ts";

/** A kind of checkpoint: what its config means and what it calls its tensors. Nothing else knows either. */
export interface Family {
  /** The `model_type` values it reads. */
  readonly modelTypes: readonly string[];
  /** Throws FormatError naming the key that is missing, out of range, or asks for something that is not supported. */
  model(config: Config): Model;
  /** One source for every parameter that `parametersOf(model)` lists. */
  sources(model: Model, config: Config): Sources;
  /** Tensors that may lie in the checkpoint beside the parameters and change nothing. */
  ignores(tensor: string, model: Model, config: Config): boolean;
}
