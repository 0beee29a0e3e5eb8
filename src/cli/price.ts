import { shownRanks, sizesText } from "../convert/card.ts";
import type { Price } from "../convert/convert.ts";
import { priceLines } from "../convert/curve.ts";
import { type methods, numbersAt, spareOf } from "../convert/method.ts";
import { columns } from "../draw/column.ts";
import type { CheckpointResult } from "../lab/beside.ts";
import { checkpointTables } from "../lab/standing.ts";

/** What each method's numbers are. */
const lengths = "Left out of the latent's squared length, %";
const measures: Readonly<Record<(typeof methods)[number], string>> = {
  exact: lengths,
  biform: "What the latent's loss changes of the output, % of all it could",
  transmla: lengths,
  mha2mla: lengths,
  merge: "Left out of keys' and values' squared length, %",
  care: "Left out of keys' and values' squared length, %",
  "care-sequential": "Left out of keys' and values' squared length, %",
  "care-separate": "Left out of keys' and values' squared length, %",
};

/** Prints what a conversion would lose, and what it loses on text where that is known. */
export function printPrice(path: string, price: Price, losses: readonly CheckpointResult[] | undefined): void {
  const { wanted, layers, ranks: own, before, after, depth, notes } = price;
  const full = layers[0]!.lost.length - 1;
  const ranks = shownRanks(full);
  const percent = (x: number) => `${(100 * x).toFixed(x < 0.1 ? 2 : 1)}`;
  const mean = (rank: number) => layers.reduce((sum, { lost }) => sum + lost[rank]!, 0) / layers.length;
  console.log(`${path}: ${wanted.method}, ${sizesText(wanted)}\n`);
  if (own) console.log(`Latents by layer: ${own.join(", ")}\n`);
  console.log(`${measures[wanted.method]}, by its rank:`);
  const rows = layers.map(({ layer, lost }) => [`${layer}`, ...ranks.map((rank) => percent(lost[rank]!))]);
  const cache = ["cache", ...ranks.map((rank) => `${numbersAt(rank + spareOf(wanted), wanted)}`)];
  const all = [...rows, ["mean", ...ranks.map((rank) => percent(mean(rank)))], cache];
  console.log(columns(["layer", ...ranks.map((rank) => `c${rank + spareOf(wanted)}`)], all).join("\n"));
  console.log(`\n${priceLines(price).join("\n")}`);
  console.log(
    `\nCache: ${before} numbers per token and layer before, ${after} after (${((100 * after) / before).toFixed(1)} %), ` +
      `${2 * after * depth} bytes per token at 16 bits.`,
  );
  if (losses) console.log(`\n${checkpointTables(losses).join("\n\n")}\n`);
  for (const note of notes) console.log(`note: ${note}`);
}
