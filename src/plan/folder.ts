import { assume, type Blueprint, countParameters } from "../cost/blueprint.ts";
import type { Listing } from "../file/listing.ts";
import { isHead, shipByTensors, type Weighed } from "./read/weigh.ts";

/** Parameters that a config and its tensors may differ by before a note is due: biases, norms, tables of frequencies. */
const TOLERANCE = 0.02;

/** What an index may differ by from the headers: some count a tied head twice, some every tensor as if it were of 16 bits. */
const INDEX_TOLERANCE = 0.01;

/**
 * The blueprint with the bytes that a model's safetensors files have, and with what these decide: whether there is a head beside
 * the embedding. What stands beside the language model (layers that predict further tokens, encoders) is told in `assumed` and
 * counted nowhere else. Without such files the blueprint comes back as it is.
 */
export function shipByFiles(blueprint: Blueprint, listing: Listing | undefined): Blueprint {
  if (!listing) return blueprint;
  const { tensors, missing, total } = listing;
  if (missing.length) {
    const files = `${missing.length} of the files that hold weights ${missing.length > 1 ? "are" : "is"} not there (${missing[0]!.slice(0, 80)})`;
    const known = blueprint.weightBytes ?? total;
    if (known === undefined) return assume(blueprint, `${files}: no file says the bytes of all`);
    const by =
      blueprint.weightBytes === undefined
        ? "are those that the index says, for all that the files hold"
        : "follow from the config";
    return assume({ ...blueprint, weightBytes: known }, `${files}: bytes of weights ${by}`);
  }
  const told: string[] = [];
  const count = blueprint.layers.reduce((sum, layer) => sum + layer.count, 0);
  const own = new Map([...tensors].filter(([name]) => isOwn(name, count)));
  const all = sumBytes(tensors);
  const beside = all - sumBytes(own);
  if (beside)
    told.push(`beside the weights of the model its files hold ${beside} bytes, of further layers or encoders`);
  if (total !== undefined && Math.abs(total - all) > INDEX_TOLERANCE * all)
    told.push(`model.safetensors.index.json says ${total} bytes, and the files hold ${all}, which count`);
  const tied = tieByTensors(blueprint, own, told);
  const fitted = shipByTensors(assume({ ...blueprint, tied }, ...told), own);
  const elements = countFloats(own);
  const parameters = countParameters(fitted).total;
  if (elements === undefined || Math.abs(elements - parameters) <= TOLERANCE * elements) return fitted;
  return assume(fitted, `the config speaks of ${parameters} parameters, and the files hold ${elements}`);
}

const sumBytes = (tensors: ReadonlyMap<string, Weighed>) =>
  [...tensors.values()].reduce((sum, { bytes = 0 }) => sum + bytes, 0);

/** Whether a tensor is of the language model itself: not of encoders, and in no layer that predicts further tokens. */
function isOwn(name: string, layers: number): boolean {
  if (
    /(^|\.)(visual|vision_\w+|vit|image_\w+|audio_\w+|speech_\w+|mm_\w+|multi_modal_\w+|projector|talker|code2wav|mtp\w*)\./.test(
      name,
    )
  )
    return false;
  return Number(/(?:^|\.)layers\.(\d+)\./.exec(name)?.[1] ?? 0) < layers;
}

/** Tensors decide whether the head is the embedding; what the config says otherwise is told. */
function tieByTensors({ tied }: Blueprint, tensors: ReadonlyMap<string, Weighed>, assumed: string[]): boolean {
  const head = [...tensors.keys()].some(isHead);
  if (head !== tied) return tied;
  assumed.push(
    head
      ? "the config ties the head to the embedding, and the files have a head of its own, which counts"
      : "the config has a head of its own, and the files have none: it is the embedding",
  );
  return !head;
}

/** Numbers of all tensors; undefined where some are packed, several in one. */
function countFloats(tensors: ReadonlyMap<string, Weighed>): number | undefined {
  let sum = 0;
  for (const [name, { type, elements }] of tensors) {
    if (!/^(BF16|F16|F32|F64|F8_E4M3|F8_E5M2)$/.test(type)) return undefined;
    if (!/_scale(_inv)?$|\.scale$/.test(name)) sum += elements;
  }
  return sum;
}
