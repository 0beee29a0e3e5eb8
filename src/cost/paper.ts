import { cacheValues } from "../attention/define.ts";
import { buildModel, type ModelSettings } from "../model/build.ts";
import { modelSize } from "../model/model.ts";

/** A row of the tables of kexue.fm/archives/10907 and what the definitions say of it. Parameters are whole numbers. */
export interface PaperRow {
  readonly variant: string;
  readonly parts: string;
  readonly parameters: number;
  /** Numbers per token and layer. */
  readonly cache: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly qoLora: boolean;
  readonly published: { readonly parameters: number; readonly loss: number; readonly cache: number };
}

/**
 * The essay's model. Its vocabulary is not stated; this one is what all its counts leave for two tables of width 2048 (any from
 * 79801 to 79805 prints the same millions in every row). Its LoRA rank is not stated either; a third of the width, ours by default, prints them.
 */
export const essay: ModelSettings = {
  vocabulary: 79_803,
  width: 2048,
  heads: 16,
  layers: 12,
  intermediate: 5456,
  tied: false,
  dims: "exact",
};

type Published = readonly [parts: string, variant: string, millions: number, loss: number, cache: number];

/** Parts I to V: 16 heads, an MLP of 5456, no LoRA; then part VI's rows that differ in one of these. */
const plain: readonly Published[] = [
  ["II", "MHA", 931, 2.721, 4096],
  ["I II V VI", "MLA", 894, 2.721, 576],
  ["II V", "MLA-256", 989, 2.705, 576],
  ["I II VI", "GQA2-128", 842, 2.75, 512],
  ["II", "GQA2-192", 899, 2.729, 768],
  ["I II VI", "GQA1-256", 943, 2.72, 512],
  ["I II", "GQA1-256-PR", 943, 2.711, 512],
  ["V", "GQA2-(192+64)-S1", 946, 2.714, 640],
  ["V VI", "GQA2-(192+64)-S2", 943, 2.708, 512],
  ["V VI", "GQA4-(64+64)-S2", 842, 2.738, 512],
  ["V", "GQA4-(128+64)-S2", 899, 2.713, 768],
  ["V", "GQA1-(512+64)-S3", 1171, 2.677, 576],
];
type Change = Partial<ModelSettings> & { readonly qoLora?: true };
const changed: readonly (readonly [Published, Change])[] = [
  [["VI", "GQA2-128", 943, 2.723, 512], { heads: 32 }],
  [["VI", "GQA1-256", 843, 2.747, 512], { intermediate: 4096 }],
  [["VI", "GQA1-256", 842, 2.726, 512], { qoLora: true }],
  [["VI", "GQA4-(64+64)-S2", 943, 2.711, 512], { heads: 32 }],
  [["VI", "GQA2-(192+64)-S2", 843, 2.733, 512], { intermediate: 4096 }],
  [["VI", "GQA2-(192+64)-S2", 842, 2.708, 512], { qoLora: true }],
];

/** Every row of kexue.fm/archives/10907's tables, counted from the definitions beside what was published. */
export function paperRows(): PaperRow[] {
  return [...plain.map((row): readonly [Published, Change] => [row, {}]), ...changed].map(
    ([[parts, variant, millions, loss, cache], { qoLora = false, ...change }]) => {
      const settings = { ...essay, ...change };
      const model = buildModel(`${variant}${qoLora ? "-QOLoRA" : ""}`, settings);
      const { attention } = model.layers[0]!;
      return {
        variant,
        parts,
        parameters: modelSize(model),
        cache: cacheValues(attention.variant, attention.sizes),
        heads: settings.heads,
        intermediate: settings.intermediate!,
        qoLora,
        published: { parameters: millions * 1e6, loss, cache },
      };
    },
  );
}
