import { FormatError } from "../tensor/error.ts";
import type { GroupedLayer } from "./grouped.ts";
import type { LatentLayer } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import { convertMha2mla } from "./mhatomla.ts";
import { allPairs, keepPairs } from "./partial.ts";
import { gatherPositions } from "./rorope.ts";
import type { Selection } from "./select.ts";
import { compressLatent } from "./transmla.ts";

/** What a conversion is to be made by. */
export const methods = ["exact", "mha2mla", "transmla"] as const;

/** What is asked for: the latent's rank as written, one number of which holds the norm still, and the shared key's turned dims. */
export interface Wanted {
  readonly method: (typeof methods)[number];
  readonly c: number;
  readonly r: number;
  readonly selection: Selection;
  readonly fold?: number | undefined;
  readonly balance: number;
}

/** Ranks that a layer can have by a method: the largest latent, its constant included, and the turned dims. */
export function fullSizes({ keyGroups: g, e, r, v }: GroupedLayer, method: Wanted["method"], turned?: number) {
  if (method === "exact") return { c: g * (e - r) + g * v + 1, r: g * r };
  const kept = turned ?? (method === "transmla" ? e : g * r);
  return { c: g * (e + v) - kept + 1, r: kept };
}

/** Throws FormatError, naming the rule, for sizes that a method cannot give a layer. */
export function checkWanted(subject: string, layer: GroupedLayer, { method, c, r, fold }: Wanted): void {
  const { keyGroups: g, e } = layer;
  const full = fullSizes(layer, method, r);
  if (method === "exact") return;
  if (c < 2 || c > full.c)
    throw new FormatError(
      `${subject}: c: got ${c}, expected 2 to ${full.c}, which loses nothing more than turning does`,
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

/**
 * A layer by a method. `moment` is of the layer's inputs, and for transmla `second` of those in the model whose positions are gathered.
 * Throws FormatError.
 */
export function convertLayer(
  layer: GroupedLayer,
  wanted: Wanted,
  text: {
    readonly moment?: Matrix | undefined;
    readonly second?: Matrix | undefined;
    readonly ranks?: Int32Array | undefined;
  },
): LatentLayer {
  const { method, c, r, selection, balance } = wanted;
  if (method === "exact") return keepPairs(layer, allPairs(layer));
  if (method === "mha2mla") {
    const g = layer.keyGroups;
    const how = { selection, ropeDims: r / g, ranks: text.ranks, factoring: "joint" as const, rank: (c - 1) / g };
    return convertMha2mla(layer, how).layer;
  }
  const gathered = placePositions(layer, wanted, text.moment)!;
  return compressLatent(gathered, text.second ?? text.moment!, { rank: c - 1, balance });
}
