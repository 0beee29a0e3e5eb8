import { FormatError } from "../tensor/error.ts";
import { compressBySpectrum, covarianceSpectrum } from "./care.ts";
import type { Geometry, GroupedLayer } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import { convertMha2mla } from "./mhatomla.ts";
import type { Inputs } from "./moment.ts";
import { allPairs, keepPairs } from "./partial.ts";
import { ownCoordinates, type Portrait, portraitOf } from "./portrait.ts";
import { compressQueries } from "./query.ts";
import { type Gathered, gatherPositions } from "./rorope.ts";
import type { Selection } from "./select.ts";
import { aboutOf, compressCentred, metricOf, Spectrum } from "./subspace.ts";
import { compressLatent } from "./transmla.ts";
import { keepComponents, meanTurn, mixturesOf } from "./turning.ts";

/** What a conversion is to be made by. */
export const methods = ["exact", "biform", "transmla", "mha2mla", "care"] as const;

/** Those that gather positions by RoRoPE. */
export const gathers = (method: Wanted["method"]) => method === "transmla" || method === "care";

/** What layers become. */
export const targetVariants = ["MLA", "GQLA"] as const;

/** What is asked for: the latent's rank as written, and the shared key's turned dims. */
export interface Wanted {
  readonly method: (typeof methods)[number];
  /** MLA unless given; GQLA's heads share what a latent unfolds to in the source's groups. */
  readonly variant?: (typeof targetVariants)[number] | undefined;
  readonly c: number;
  /**
   * Whether the result may have biases, as a source has that has them itself. Then one number of the latent is a constant, which holds
   * its norm, and the latent need not hold the mean of text; without, every engine computes the result.
   */
  readonly biases: boolean;
  readonly r: number;
  /** Rank of a bottleneck of queries; none unless given. */
  readonly q?: number | undefined;
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
  { keyGroups: g, e, r, v }: Geometry,
  { method, r: turned, biases }: Pick<Wanted, "method" | "biases"> & { readonly r?: number | undefined },
) {
  const spare = spareOf({ biases });
  if (method === "exact") return { c: g * (e - r) + g * v + spare, r: g * r };
  const kept = turned ?? (gathers(method) ? e : g * r);
  return { c: g * (e + v) - kept + spare, r: kept };
}

/** Throws FormatError where a layer is not like the first of those that are converted, and a method makes all of them alike. */
export function checkAlike(subject: string, own: Geometry, first: Geometry, { method }: Wanted): void {
  const sizes = ({ h, keyGroups, e, r, v }: Geometry) =>
    `${h} heads in ${keyGroups} groups of ${e} + ${v} numbers, ${r} turned`;
  const frequencies = ({ rotation }: Geometry) => `${rotation.frequencies}`;
  if (method === "exact") return;
  if (sizes(own) !== sizes(first) || frequencies(own) !== frequencies(first))
    throw new FormatError(
      `${subject}: got ${sizes(own)}, expected as in the first that is converted, ${sizes(first)}, with the same frequencies; ` +
        "one choice of turned dims is made for all, so use exact",
    );
}

/** Throws FormatError, naming the rule, for sizes that a method cannot give a layer. */
export function checkWanted(subject: string, layer: Geometry, wanted: Wanted): void {
  const { method, c, r, fold } = wanted;
  const { keyGroups: g, e } = layer;
  const full = fullSizes(layer, wanted);
  if (method === "exact") return;
  const least = 1 + spareOf(wanted);
  if (c < least || c > full.c)
    throw new FormatError(
      `${subject}: c: got ${c}, expected ${least} to ${full.c}, which loses nothing more than turning does`,
    );
  if (wanted.q !== undefined) {
    const most = method === "transmla" ? layer.h * e : layer.d;
    if (method !== "biform" && method !== "transmla")
      throw new FormatError(`${subject}: q: got ${method}, expected biform or transmla; it leaves queries as they are`);
    if (wanted.biases)
      throw new FormatError(
        `${subject}: q: got biases, expected none; a constant holds their norm, which takes the whole input`,
      );
    if (wanted.q < 1 || wanted.q > most)
      throw new FormatError(`${subject}: q: got ${wanted.q}, expected 1 to ${most}, which loses nothing`);
  }
  if (method === "biform" && (r % 2 || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected an even number up to ${g * layer.r}, the turned dims of all key heads`,
    );
  if (method === "mha2mla" && (r % (2 * g) || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected a multiple of ${2 * g} up to ${g * layer.r}: as many turned pairs of each of ${g} key heads`,
    );
  if (gathers(method)) {
    if (layer.r !== e)
      throw new FormatError(`${subject}: got ${layer.r} turned dims of ${e}, expected all; use mha2mla`);
    if (!r || e % r || (e / 2) % (fold ?? e / r) || (fold ?? e / r) % (e / r))
      throw new FormatError(
        `${subject}: r: got ${r}, expected a divisor of the head's ${e}, and a fold of it that divides ${e / 2}; use r${e} or r${e / 2}`,
      );
  }
}

/** Positions gathered in r dims by RoRoPE: MLA of full rank. `moment` is of the layer's inputs. */
export function placePositions(layer: GroupedLayer, { r, fold }: Wanted, moment: Matrix): Gathered {
  const collapse = layer.e / r;
  return gatherPositions(layer, moment, { fold: fold ?? collapse, collapse });
}

/** What is known of a layer from text, or else from weights alone. */
export interface Seen {
  readonly inputs: Inputs;
  /** For biform, of this layer. */
  readonly portrait?: Portrait | undefined;
  /** The moment of inputs in the model whose positions are gathered, for transmla. */
  readonly second?: Matrix | undefined;
  readonly ranks?: Int32Array | undefined;
  /** How many components of each frequency stay turned, in all layers alike: a stock config has one list. */
  readonly kept?: readonly number[] | undefined;
}

/** What is asked of a layer by biform, whatever its latent's rank. */
interface Turned {
  readonly portrait: Portrait;
  readonly kept: readonly number[];
}

/** What each component of each frequency is worth to a layer: see `mixturesOf`. */
export function worthOf(layer: GroupedLayer, portrait: Portrait, context: number): Float64Array[] {
  const mean = meanTurn(layer.rotation.frequencies, context);
  return mixturesOf(layer, portrait, mean).map(({ worth }) => worth);
}

/** The layer with its chosen components turned, at full rank. */
export function turnComponents(layer: GroupedLayer, { portrait, kept }: Turned, context: number): LatentLayer {
  const mean = meanTurn(layer.rotation.frequencies, context);
  return keepComponents(layer, mixturesOf(layer, portrait, mean), kept, mean);
}

/** The latent of a layer with its chosen components turned: moment about what it is compressed about, and metric of its errors. */
export function measuresOf(
  layer: GroupedLayer,
  turned: Turned,
  { context, biases }: Pick<Wanted, "context" | "biases">,
) {
  const own = turnComponents(ownCoordinates(layer), turned, context);
  return { ...aboutOf(own, turned.portrait.held, biases), metric: metricOf(own, turned.portrait) };
}

const turnedBy = (layer: GroupedLayer, { inputs, portrait, kept }: Seen): Turned => ({
  portrait: portrait ?? portraitOf(layer, inputs),
  kept: kept!,
});

/** A layer as it is before its latent is made smaller. */
export function wholeLayer(layer: GroupedLayer, wanted: Wanted, seen: Seen): LatentLayer {
  const { method, context } = wanted;
  if (method === "biform") return turnComponents(layer, turnedBy(layer, seen), context);
  if (gathers(method)) return placePositions(layer, wanted, seen.inputs.all).layer;
  return convertLayer(layer, { ...wanted, c: fullSizes(layer, wanted).c }, seen);
}

/** What a layer's latent is about and what each of its ranks explains: the output's change by biform, what it unfolds to by CARE. */
export interface Explained {
  readonly spectrum: Spectrum;
  readonly mean?: Float64Array | undefined;
}

/** By the methods that have a spectrum of their own; undefined of others. */
export function explainedBy(layer: GroupedLayer, wanted: Wanted, seen: Seen): Explained | undefined {
  const { method } = wanted;
  if (method === "care")
    return { spectrum: covarianceSpectrum(wholeLayer(layer, wanted, seen), seen.second ?? seen.inputs.all) };
  if (method !== "biform") return undefined;
  const { moment, metric, mean } = measuresOf(layer, turnedBy(layer, seen), wanted);
  return { spectrum: Spectrum.between(moment, metric), mean };
}

/** A layer by a method; `explained` where it is known already. Throws FormatError. */
export function convertLayer(
  layer: GroupedLayer,
  wanted: Wanted,
  seen: Seen,
  explained = explainedBy(layer, wanted, seen),
): LatentLayer {
  const { method, r, q, selection, balance } = wanted;
  const { inputs, second = inputs.all } = seen;
  const rank = wanted.c - spareOf(wanted);
  if (method === "exact") return keepPairs(layer, allPairs(layer));
  if (method === "mha2mla") {
    const g = layer.keyGroups;
    const how = { selection, ropeDims: r / g, ranks: seen.ranks, factoring: "joint" as const, rank: rank / g };
    return convertMha2mla(layer, how).layer;
  }
  if (method === "transmla")
    return compressLatent(placePositions(layer, wanted, inputs.all), second, { rank, balance, queryRank: q });
  const whole = wholeLayer(layer, wanted, seen);
  const { spectrum, mean } = explained!;
  if (method === "care") return compressBySpectrum(whole, spectrum, rank);
  const small = compressCentred(whole, spectrum.of(rank), mean!);
  return q === undefined ? small : compressQueries(small, inputs, turnedBy(layer, seen).portrait.spread, q);
}
