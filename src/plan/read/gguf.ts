import { assume, type Blueprint, countParameters } from "../../cost/blueprint.ts";
import { readOwnText } from "../../family/biform.ts";
import type { Config } from "../../family/config.ts";
import type { Outline } from "../../file/outline.ts";
import { FormatError, ShapeError } from "../../tensor/error.ts";
import type { Architecture } from "./architecture.ts";
import { namedArchitecture, overrideUnread } from "./choice.ts";
import { architectureOf, assemble, blueprintOfConfig, type Reading } from "./config.ts";
import { feedAt } from "./feed.ts";
import { groupedAt } from "./grouped.ts";
import { type Header, hubConfig, openHeader, unaskedKeys } from "./header.ts";
import { latentAt } from "./latent.ts";
import { hybridAt } from "./particular.ts";
import { checkKept } from "./tally.ts";
import { shipByTensors } from "./weigh.ts";

/** Parameters that keys and tensors may differ by: biases, norms, tables of frequencies. */
const TOLERANCE = 0.02;

/**
 * The blueprint of a GGUF file of any architecture from its header: its keys are those of a config under other names, and go
 * through the same readers. The tensors it lists give the count of parameters, and their bytes; of the first of several parts,
 * keys alone.
 *
 * Errors: FormatError naming the file and the key that is missing or at odds with another, and where keys and tensors speak of
 * different models.
 */
export function blueprintOfGguf(outline: Outline, name: string, { as, given }: Reading = {}): Blueprint {
  const { file } = outline;
  const header = openHeader(outline);
  try {
    if (header.arch === "biform" && as === undefined) return ownBlueprint(outline, name);
    const config = hubConfig(header);
    const { rename: _, ...known } = architectureOf(config.model_type) ?? inferArchitecture(header, config, as);
    const own = as === undefined ? known : namedArchitecture(as, known);
    const missed = unaskedKeys(header);
    const values = Object.fromEntries(missed.map((key) => [key, outline.metadata.get(key)!.value] as const));
    const read = assemble(config, own, name, { as, given, names: header.names });
    const blueprint = overrideUnread(read, values, missed, { as });
    if (header.whole) return fitTensors(header, blueprint, as);
    return header.parts > 1
      ? assume(blueprint, `of ${header.parts} parts not all are here, so weights are counted as bfloat16`)
      : blueprint;
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof ShapeError) || error.message.startsWith(file)) throw error;
    throw new FormatError(`${file}: ${error.message}`, { cause: error });
  }
}

/** The blueprint of a file of Biform's own architecture, whose config is one text. */
function ownBlueprint({ metadata, tensors }: Outline, name: string): Blueprint {
  const text = metadata.get("biform.config")?.value;
  const config = readOwnText(typeof text === "string" ? text : "");
  return shipByTensors(blueprintOfConfig(config, name), tensors);
}

/** An architecture that is not in the table: its keys are the same, and its tensors show what it has. Layers with a state must be named. */
function inferArchitecture({ arch, outline }: Header, config: Config, as: string | undefined): Architecture {
  const state = [...outline.metadata.keys()].find((key) => /^[^.]+\.(ssm|kda|wkv|xlstm|shortconv)\./.test(key));
  if (state !== undefined && as === undefined)
    throw new FormatError(
      `general.architecture: got ${JSON.stringify(arch)} with ${state.slice(0, 80)}, expected one whose layers are known; ` +
        "name them with --as, such as --as [GDN*3,GQA]",
    );
  if (
    as === undefined &&
    config.sliding_window &&
    !config.sliding_window_pattern &&
    !config.layer_types &&
    !config.hybrid_layer_pattern
  )
    throw new FormatError(
      `${arch}.attention.sliding_window: got ${config.sliding_window} without ${arch}.attention.sliding_window_pattern, expected which layers ` +
        "have it; name them with --as, such as --as [GQA2-W64:n0:r128*3,GQA2:n0:r128]",
    );
  const gated = ["ffn_gate.weight", "ffn_gate_exps.weight", "ffn_gate_up_exps.weight"];
  const has = (tensor: string) => outline.tensors.has(tensor);
  const ungated = outline.tensors.size > 0 && !gated.some((tail) => has(`blk.0.${tail}`) || has(`blk.1.${tail}`));
  return {
    attention: config.hybrid_layer_pattern ? hybridAt : config.kv_lora_rank ? latentAt : groupedAt,
    feed: feedAt,
    qkNorm: "head",
    qkNormOptional: true,
    ...(ungated && { matrices: 2 }),
  };
}

/** Whether a tensor is of the model: not a table of frequencies, and in no layer that predicts further tokens. */
const isOwn = (tensor: string, layers: number) =>
  !tensor.startsWith("rope_") && Number(/^blk\.(\d+)\./.exec(tensor)?.[1] ?? 0) < layers;

/** The blueprint with the file's own count of parameters and bytes. Where these are of another model it throws, unless a variant was named. */
function fitTensors({ outline }: Header, blueprint: Blueprint, as: string | undefined): Blueprint {
  const layers = blueprint.layers.reduce((sum, { count }) => sum + count, 0);
  const own = [...outline.tensors].filter(([tensor]) => isOwn(tensor, layers));
  const elements = own.reduce((sum, [, tensor]) => sum + tensor.elements, 0);
  if (!Number.isSafeInteger(elements))
    throw new FormatError(
      `tensors: got ${elements.toPrecision(3)} numbers, expected fewer than 2^53; use another file`,
    );
  const { total } = countParameters(blueprint);
  if (Math.abs(elements - total) <= TOLERANCE * elements) {
    if (as === undefined) checkKept(own, blueprint);
    return shipByTensors({ ...blueprint, extra: blueprint.extra + elements - total }, new Map(own));
  }
  if (as !== undefined) return blueprint;
  throw new FormatError(
    `tensors: got ${elements} numbers, and keys that speak of ${total}, expected the same but for 2 %; ` +
      "name the variant, such as --as GQA, or use another file",
  );
}
