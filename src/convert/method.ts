import { compressBySpectrum, covarianceSpectrum, separateSpectrum } from "./care.ts";
import type { Geometry, GroupedLayer } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import { mergedLengths, mergeGroups } from "./merge.ts";
import { convertMha2mla } from "./mhatomla.ts";
import type { Inputs } from "./moment.ts";
import { joinLatents, partOfPortrait, splitHeads } from "./part.ts";
import { allPairs, keepPairs } from "./partial.ts";
import { ownCoordinates, type Portrait, portraitOf } from "./portrait.ts";
import { compressQueries } from "./query.ts";
import { type Gathered, gatherPositions } from "./rorope.ts";
import type { Selection } from "./select.ts";
import { lengthsOf } from "./spectrum.ts";
import { aboutOf, compressCentred, metricOf, Spectrum } from "./subspace.ts";
import { compressLatent } from "./transmla.ts";
import { keepComponents, meanTurn, mixturesOf } from "./turning.ts";

/** What a conversion is to be made by. */
export const methods = [
  "exact",
  "biform",
  "transmla",
  "mha2mla",
  "care",
  "care-sequential",
  "care-separate",
  "merge",
] as const;

/** Those that gather positions by RoRoPE. */
export const gathers = (method: Wanted["method"]) => method === "transmla" || weighs(method);

/** Those that factor by CARE. */
export const weighs = (method: Wanted["method"]) => method.startsWith("care");

/** What layers become. */
export const targetVariants = ["MLA", "GQLA", "GLA"] as const;

/** What is asked for: the latent's rank as written, and the shared key's turned dims. */
export interface Wanted {
  readonly method: (typeof methods)[number];
  /** MLA unless given; GQLA's heads share what a latent unfolds to in the source's groups, GLA's groups of heads have a latent each. */
  readonly variant?: (typeof targetVariants)[number] | undefined;
  /** Groups of heads that merging leaves. */
  readonly groups?: number | undefined;
  /** Latents of GLA; two unless given. */
  readonly latents?: number | undefined;
  /** Of each latent. */
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
  /** Whether MHA2MLA factors keys and values each for itself, each with half of the latent. */
  readonly split?: boolean | undefined;
  readonly fold?: number | undefined;
  readonly balance: number;
  /** Tokens that biform takes turns over. */
  readonly context: number;
}

/** Numbers of a latent that keep nothing of the layer: the constant. */
export const spareOf = ({ biases }: Pick<Wanted, "biases">) => (biases ? 1 : 0);

/** How many latents a token leaves. */
export const latentsOf = ({ variant, latents = 2 }: Pick<Wanted, "variant" | "latents">): number =>
  variant === "GLA" ? latents : 1;

/** Numbers that a token leaves in the cache of a layer whose latents are so large, constants included. */
export const numbersAt = (c: number, wanted: Pick<Wanted, "variant" | "latents" | "r">): number =>
  latentsOf(wanted) * c + wanted.r;

/** Ranks that a layer can have by a method: the largest latent, its constant included, and the turned dims. */
export function fullSizes(
  { keyGroups: g, e, r, v }: Geometry,
  {
    method,
    r: turned,
    biases,
    groups = g,
    ...by
  }: Pick<Wanted, "method" | "biases" | "variant" | "latents" | "groups"> & { readonly r?: number | undefined },
) {
  const spare = spareOf({ biases });
  const latents = latentsOf(by);
  if (method === "exact") return { c: (g * (e - r) + g * v) / latents + spare, r: g * r };
  if (method === "merge") return { c: groups * (e - r + v) + spare, r: groups * r };
  const kept = turned ?? (gathers(method) ? e : g * r);
  // What is not turned is a mixture of all groups' keys, and any head may read it; values stay with their groups.
  return { c: g * e - kept + (g * v) / latents + spare, r: kept };
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
  /** The moment of inputs in the model whose positions are gathered; for care-sequential in the model whose earlier layers are converted. */
  readonly second?: Matrix | undefined;
  readonly ranks?: Int32Array | undefined;
  /** How many components of each frequency stay turned, in all layers alike: a stock config has one list. */
  readonly kept?: readonly number[] | undefined;
}

/** What is asked of a layer by biform, whatever its latent's rank. */
export interface Turned {
  readonly portrait: Portrait;
  readonly kept: readonly number[];
}

/** What each component of each frequency is worth to a layer: see `mixturesOf`. */
export function worthOf(layer: Geometry, portrait: Portrait, context: number): Float64Array[] {
  const mean = meanTurn(layer.rotation.frequencies, context);
  return mixturesOf(layer, portrait, mean).map(({ worth }) => worth);
}

/** The layer with its chosen components turned, at full rank. */
export function turnComponents(layer: GroupedLayer, { portrait, kept }: Turned, context: number): LatentLayer {
  const mean = meanTurn(layer.rotation.frequencies, context);
  return keepComponents(layer, mixturesOf(layer, portrait, mean), kept, mean);
}

/** Each latent of a layer with its chosen components turned: moment about what it is compressed about, and metric of its errors. */
export function measuresOf(
  layer: Geometry,
  turned: Turned,
  wanted: Pick<Wanted, "context" | "biases" | "variant" | "latents">,
) {
  const { portrait } = turned;
  const own = turnComponents(ownCoordinates(layer), turned, wanted.context);
  const parts = partsOf(own, wanted);
  return parts.map((of, part) => ({
    ...aboutOf(of, portrait.held, wanted.biases),
    metric: metricOf(of, partOfPortrait(portrait, { part, parts: parts.length })),
  }));
}

/** A layer for each of its latents. */
const partsOf = (layer: LatentLayer, wanted: Pick<Wanted, "variant" | "latents">): LatentLayer[] =>
  wanted.variant === "GLA" ? splitHeads(layer, latentsOf(wanted)) : [layer];

const turnedBy = (layer: GroupedLayer, { inputs, portrait, kept }: Seen): Turned => ({
  portrait: portrait ?? portraitOf(layer, inputs),
  kept: kept!,
});

/** A layer as it is before its latent is made smaller; for each latent, where there are more. */
export function wholeParts(layer: GroupedLayer, wanted: Wanted, seen: Seen): LatentLayer[] {
  return partsOf(wholeLayer(layer, wanted, seen), wanted);
}

function wholeLayer(layer: GroupedLayer, wanted: Wanted, seen: Seen): LatentLayer {
  const { method, context } = wanted;
  if (method === "biform") return turnComponents(layer, turnedBy(layer, seen), context);
  if (gathers(method)) return placePositions(layer, wanted, seen.inputs.all).layer;
  if (method === "exact") return keepPairs(layer, allPairs(layer));
  if (method === "merge") {
    const merged = mergeGroups(layer, wanted.groups!);
    return keepPairs(merged, allPairs(merged));
  }
  return convertLayer(layer, { ...wanted, c: fullSizes(layer, wanted).c }, seen);
}

/** What each latent holds of its squared length by rank; of merging what it leaves out too, as one more. */
export function ownLengths(layer: GroupedLayer, wanted: Wanted, seen: Seen): Float64Array[] {
  const moment = seen.second ?? seen.inputs.all;
  if (wanted.method === "merge") return [mergedLengths(layer, wanted.groups!, moment)];
  return wholeParts(layer, wanted, seen).map((part) => lengthsOf(part, moment));
}

/** What a layer's latent is about and what each of its ranks explains: the output's change by biform, what it unfolds to by CARE. */
export interface Explained {
  readonly spectrum: Spectrum;
  readonly mean?: Float64Array | undefined;
}

/** Of each latent, by the methods that have a spectrum of their own; undefined of others. */
export function explainedBy(layer: GroupedLayer, wanted: Wanted, seen: Seen): Explained[] | undefined {
  const { method } = wanted;
  if (weighs(method)) {
    const spectrumOf = method === "care-separate" ? separateSpectrum : covarianceSpectrum;
    return wholeParts(layer, wanted, seen).map((part) => ({
      spectrum: spectrumOf(part, seen.second ?? seen.inputs.all),
    }));
  }
  return method === "biform" ? explainedWithin(layer, turnedBy(layer, seen), wanted) : undefined;
}

/** The same by biform, which asks nothing of a layer but its portrait. */
export function explainedWithin(layer: Geometry, turned: Turned, wanted: Wanted): Explained[] {
  return measuresOf(layer, turned, wanted).map(({ moment, metric, mean }) => ({
    spectrum: Spectrum.between(moment, metric),
    mean,
  }));
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
  if (wanted.variant === "GLA") {
    const whole = wholeLayer(layer, wanted, seen);
    const parts = partsOf(whole, wanted);
    return joinLatents(
      whole,
      explained ? parts.map((part, i) => compressBySpectrum(part, explained[i]!.spectrum, rank)) : parts,
    );
  }
  if (method === "exact" || method === "merge") return wholeLayer(layer, wanted, seen);
  if (method === "mha2mla") {
    const g = layer.keyGroups;
    const how = wanted.split
      ? { factoring: "split" as const, rank: rank / 2 / g }
      : { factoring: "joint" as const, rank: rank / g };
    return convertMha2mla(layer, { ...how, selection, ropeDims: r / g, ranks: seen.ranks }).layer;
  }
  if (method === "transmla")
    return compressLatent(placePositions(layer, wanted, inputs.all), second, { rank, balance, queryRank: q });
  const whole = wholeLayer(layer, wanted, seen);
  const { spectrum, mean } = explained![0]!;
  if (weighs(method)) return compressBySpectrum(whole, spectrum, rank);
  const small = compressCentred(whole, spectrum.of(rank), mean!);
  return q === undefined ? small : compressQueries(small, inputs, turnedBy(layer, seen).portrait.spread, q);
}
