/** What sizes a layer can be given, and what each rule of them is called. */
import { FormatError } from "../tensor/error.ts";
import type { Geometry } from "./grouped.ts";
import { fullSizes, gathers, latentsOf, spareOf, type Wanted } from "./method.ts";

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
  const { groups = 0, q } = wanted;
  if (method === "merge" && (groups < 1 || groups >= g || g % groups))
    throw new FormatError(
      `${subject}: g: got ${groups} groups, expected fewer than the layer's ${g}, and a divisor of them; say GQA:g1`,
    );
  if (q !== undefined && method !== "biform" && method !== "transmla")
    throw new FormatError(`${subject}: q: got ${method}, expected biform or transmla; it leaves queries as they are`);
  if (method === "exact" || method === "merge") {
    if (c !== full.c || r !== full.r)
      throw new FormatError(
        `${subject}: c, r: got ${c} and ${r}, expected ${full.c} and ${full.r}, all that ${method} keeps; leave out sizes and budget, or use biform`,
      );
    return;
  }
  const least = 1 + spareOf(wanted);
  if (c < least || c > full.c)
    throw new FormatError(
      `${subject}: c: got ${c}, expected ${least} to ${full.c}, which loses nothing more than turning does`,
    );
  if (q !== undefined) {
    const most = method === "transmla" ? layer.h * e : layer.d;
    if (wanted.biases)
      throw new FormatError(
        `${subject}: q: got biases, expected none; a constant holds their norm, which takes the whole input`,
      );
    if (q < 1 || q > most) throw new FormatError(`${subject}: q: got ${q}, expected 1 to ${most}, which loses nothing`);
  }
  if (method === "biform" && (r % 2 || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected an even number up to ${g * layer.r}, the turned dims of all key heads`,
    );
  if (method === "mha2mla" && (r % (2 * g) || r > g * layer.r))
    throw new FormatError(
      `${subject}: r: got ${r}, expected a multiple of ${2 * g} up to ${g * layer.r}: as many turned pairs of each of ${g} key heads`,
    );
  const [own, halves] = [c - spareOf(wanted), 2 * Math.min(g * e - r, g * layer.v)];
  if (wanted.split && (own % 2 || own > halves))
    throw new FormatError(
      `${subject}: c: got ${c}, expected an even number up to ${halves}: keys and values have half of it each`,
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

/** Throws FormatError, naming the rule, where a variant has no words for a layer, or not by this method. */
export function checkVariant(subject: string, { h, keyGroups: g }: Geometry, wanted: Omit<Wanted, "c" | "r">): void {
  const { method, q, variant = "MLA", biases } = wanted;
  if (variant !== "MLA" && biases)
    throw new FormatError(`${subject}: got biases, expected none, for which ${variant} has no words; use MLA`);
  if (wanted.split && method !== "mha2mla")
    throw new FormatError(`${subject}: --split: got ${method}, expected mha2mla; care-separate factors apart, too`);
  if (variant !== "GLA") return;
  const latents = latentsOf(wanted);
  if (latents < 2 || g % latents || h % latents)
    throw new FormatError(
      `${subject}: g: got ${latents} latents, expected 2 or more that divide ${g}, the groups of its ${h} heads; use g${g}`,
    );
  if (method !== "exact" && method !== "biform" && method !== "care")
    throw new FormatError(`${subject}: GLA: got ${method}, expected exact, biform or care; that recipe has one latent`);
  if (q !== undefined)
    throw new FormatError(`${subject}: q: got a bottleneck of queries for GLA, expected none; use MLA`);
}
