import { FormatError } from "../tensor/error.ts";
import type { GroupedLayer } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import { convertMha2mla } from "./mhatomla.ts";
import type { Inputs } from "./moment.ts";
import { allPairs, keepPairs } from "./partial.ts";
import { gatherPositions } from "./rorope.ts";
import type { Selection } from "./select.ts";
import { aboutOf, compressCentred, Spectrum, sensitivityOf } from "./subspace.ts";
import { compressLatent } from "./transmla.ts";
import { keepComponents, meanTurn, mixturesOf } from "./turning.ts";

/** What a conversion is to be made by. */
export const methods = ["exact", "biform", "transmla", "mha2mla"] as const;

/** What is asked for: the latent's rank as written, and the shared key's turned dims. */
export interface Wanted {
  readonly method: (typeof methods)[number];
  readonly c: number;
  /**
   * Whether the result may have biases, as a source has that has them itself. Then one number of the latent is a constant, which holds
   * its norm, and the latent need not hold the mean of text; without, every engine computes the result.
   */
  readonly biases: boolean;
  readonly r: number;
  readonly selection: Selection;
  readonly fold?: number | undefined;
  readonly balance: number;
  /** Tokens that biform takes turns over. */
  readonly context: number;
}

/** Numbers of a latent that keep nothing of the layer: the constant. */
export const spareOf = ({ biases }: Pick<Wanted, "biases">) => (biases ? 1 : 0);

/** Ranks that a layer can have by a method: the largest latent, its constant included, and the turned dims. */
export function fullSizes(
  { keyGroups: g, e, r, v }: GroupedLayer,
  { method, r: turned, biases }: Pick<Wanted, "method" | "biases"> & { readonly r?: number | undefined },
) {
  const spare = spareOf({ biases });
  if (method === "exact") return { c: g * (e - r) + g * v + spare, r: g * r };
  const kept = turned ?? (method === "transmla" ? e : g * r);
  return { c: g * (e + v) - kept + spare, r: kept };
}

/** Throws FormatError, naming the rule, for sizes that a method cannot give a layer. */
export function checkWanted(subject: string, layer: GroupedLayer, wanted: Wanted): void {
  const { method, c, r, fold } = wanted;
  const { keyGroups: g, e } = layer;
  const full = fullSizes(layer, wanted);
  if (method === "exact") return;
  const least = 1 + spareOf(wanted);
  if (c < least || c > full.c)
    throw new FormatError(
      `${subject}: c: got ${c}, expected ${least} to ${full.c}, which loses nothing more than turning does`,
    );
  if (method === "biform" && (r % 2 || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected an even number up to ${g * layer.r}, the turned dims of all key heads`,
    );
  if (method === "mha2mla" && (r % (2 * g) || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected a multiple of ${2 * g} up to ${g * layer.r}: as many turned pairs of each of ${g} key heads`,
    );
  if (method === "transmla") {
    if (layer.r !== e)
      throw new FormatError(`${subject}: got ${layer.r} turned dims of ${e}, expected all; use mha2mla`);
    if (!r || e % r || (e / 2) % (fold ?? e / r) || (fold ?? e / r) % (e / r))
      throw new FormatError(
        `${subject}: r: got ${r}, expected a divisor of the head's ${e}, and a fold of it that divides ${e / 2}; use r${e} or r${e / 2}`,
      );
  }
}

/** Positions taken care of: MLA of full rank by the method. `moment` is of the layer's inputs, for those that look at text. */
export function placePositions(layer: GroupedLayer, wanted: Wanted, moment?: Matrix) {
  const { method, r } = wanted;
  if (method !== "transmla") return undefined;
  if (!moment)
    throw new FormatError("transmla: got no text, expected some: it looks at what keys are on text; add --text");
  const collapse = layer.e / r;
  return gatherPositions(layer, moment, { fold: wanted.fold ?? collapse, collapse });
}

/** What is known of a layer from text, or else from weights alone. */
export interface Seen {
  readonly inputs: Inputs;
  /** The moment of inputs in the model whose positions are gathered, for transmla. */
  readonly second?: Matrix | undefined;
  readonly ranks?: Int32Array | undefined;
  /** How many components of each frequency stay turned, in all layers alike: a stock config has one list. */
  readonly kept?: readonly number[] | undefined;
}

/** What each component of each frequency is worth to a layer, as shares of all: see `mixturesOf`. */
export function worthOf(layer: GroupedLayer, inputs: Inputs, context: number): Float64Array[] {
  const mean = meanTurn(layer.rotation.frequencies, context);
  const worth = mixturesOf(layer, inputs, spreadOf(layer, inputs), mean).map((mixture) => mixture.worth);
  const total = worth.reduce((sum, of) => of.reduce((a, b) => a + b, sum), 0) || 1;
  return worth.map((of) => of.map((x) => x / total));
}

/** How far each head's values lie from their mean, after the output projection. */
const spreadOf = (layer: GroupedLayer, inputs: Inputs) =>
  sensitivityOf(
    keepPairs(
      layer,
      Array.from({ length: layer.keyGroups }, () => []),
    ),
    inputs,
  ).spread;

/** The layer with its chosen components turned, at full rank. */
export function turnComponents(layer: GroupedLayer, { inputs, kept }: Seen, context: number): LatentLayer {
  const mean = meanTurn(layer.rotation.frequencies, context);
  const mixtures = mixturesOf(layer, inputs, spreadOf(layer, inputs), mean);
  return keepComponents(layer, mixtures, kept!, mean);
}

/** The layer with the latent that changes its output least, by all that reads it. */
function compressBySensitivity(layer: GroupedLayer, wanted: Wanted, seen: Seen): LatentLayer {
  const whole = turnComponents(layer, seen, wanted.context);
  const { mean, moment } = aboutOf(whole, seen.inputs.read, wanted.biases);
  const spectrum = new Spectrum(moment, sensitivityOf(whole, seen.inputs).metric);
  return compressCentred(whole, spectrum.of(wanted.c - spareOf(wanted)), mean);
}

/** A layer by a method. Throws FormatError. */
export function convertLayer(layer: GroupedLayer, wanted: Wanted, text: Seen): LatentLayer {
  const { method, r, selection, balance } = wanted;
  const rank = wanted.c - spareOf(wanted);
  if (method === "exact") return keepPairs(layer, allPairs(layer));
  if (method === "biform") return compressBySensitivity(layer, wanted, text);
  if (method === "mha2mla") {
    const g = layer.keyGroups;
    const how = { selection, ropeDims: r / g, ranks: text.ranks, factoring: "joint" as const, rank: rank / g };
    return convertMha2mla(layer, how).layer;
  }
  const gathered = placePositions(layer, wanted, text.inputs.all)!;
  return compressLatent(gathered, text.second ?? text.inputs.all, { rank, balance });
}
