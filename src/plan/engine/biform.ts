import { countValues, present } from "../../attention/define.ts";
import type { LayerKind } from "../../cost/blueprint.ts";
import { keptOf } from "../../cost/keep.ts";
import type { Engine } from "./engine.ts";
import { rowParts } from "./exact.ts";
import { hasLatents, type LayerRows, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";

/** Biform itself: of latent attention what the variant declares, or what that unfolds to. */
export const biformEngines: readonly Engine[] = [
  {
    engine: "Biform",
    version: "this one",
    keeps: "the latents that heads share",
    source: "src/attention: `cache` of each variant",
    covers: (blueprint) => hasLatents(blueprint) && architecturesOf.own.includes(blueprint.architecture),
    rows: (blueprint) => replaceLatent(rowsOf(blueprint, "latents"), blueprint.layers, declaredValues),
    parts: rowParts,
  },
  {
    engine: "Biform",
    version: "this one, unfolded",
    keeps: "keys and values of every head, what heads share once",
    source: "src/attention/unfold.ts",
    covers: (blueprint) => hasLatents(blueprint) && architecturesOf.own.includes(blueprint.architecture),
    rows: (blueprint) => replaceLatent(rowsOf(blueprint, "latents"), blueprint.layers, unfoldedValues),
    parts: rowParts,
  },
];

/** The rows with the numbers that this counts where a layer has latents; an indexer's key is among them. */
function replaceLatent(rows: readonly LayerRows[], layers: readonly LayerKind[], count: (kind: LayerKind) => number) {
  return rows.map((row, i) => {
    const kind = layers[i]!;
    return keptOf(kind).absorbed ? { ...row, keys: count(kind), values: 0, index: 0 } : row;
  });
}

const declaredValues = (kind: LayerKind) => keptOf(kind).absorbed!.values;

/** Numbers that a token's latent unfolds to. */
function unfoldedValues({ attention: { variant, sizes } }: LayerKind): number {
  return countValues(present(variant.unfolded!(sizes)), sizes);
}
