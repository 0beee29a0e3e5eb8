// How far every other method is from Biform's own at each size, paired by the sequences that all of them read.
import type { SequenceScore } from "../../src/lab/evaluate.ts";
import { exceeds, type Interval, meanInterval } from "../../src/lab/statistics.ts";
import { type Cell, ends, show, table } from "./cell.ts";

const OWN = "biform";

/** What is compared, of each sequence: the less the better. */
const measures = [
  { name: "KL", of: ({ divergence }: SequenceScore) => divergence },
  { name: "log perplexity", of: ({ loss }: SequenceScore) => loss },
] as const;

const states = [
  { part: "table", name: "untrained" },
  { part: "healed", name: "healed" },
] as const;

/** Another method at a size beside Biform's, as much trained. */
interface Pair {
  readonly size: number;
  readonly state: (typeof states)[number]["name"];
  readonly method: string;
  readonly own: Cell;
  readonly other: Cell;
}

/** How far apart two runs of the original may be on one sequence, in nats: kernels differ by thousandths, sequences by tenths. */
const KERNELS = 0.01;

const methodOf = ({ method }: Cell) => method.split(",")[0]!;
const trainedBy = ({ healing }: Cell) => (healing ? healing.steps * healing.tokensPerStep : 0);

/** Cells of other methods beside Biform's. Throws where the two have read other sequences. */
function pairsOf(cells: readonly Cell[]): Pair[] {
  return states.flatMap(({ part, name }) =>
    cells.flatMap((other) => {
      const own = cells.find((cell) => cell.part === part && cell.size === other.size && methodOf(cell) === OWN);
      const compared = other.part === part && own && own !== other && trainedBy(own) === trainedBy(other);
      if (!compared || ["original", "exact"].includes(other.method)) return [];
      const [a, b] = [own.evaluation!.sequences, other.evaluation!.sequences];
      const alike = ({ tokens, original }: SequenceScore, i: number) =>
        b[i]!.tokens === tokens && Math.abs(b[i]!.original - original) < KERNELS;
      if (a.length !== b.length || !a.every(alike))
        throw new Error(`${other.id}: got other sequences than ${own.id}, expected the same; measure it again`);
      return [{ size: other.size, state: name, method: methodOf(other), own, other }];
    }),
  );
}

/** How much more the other has than Biform's, in the mean of sequences: above 0 it is worse. */
const differenceOf = ({ own, other }: Pair, of: (score: SequenceScore) => number): Interval =>
  meanInterval(other.evaluation!.sequences.map((score, i) => of(score) - of(own.evaluation!.sequences[i]!)));

/** Tables of differences, and what follows from them; nothing where there is no other method. */
export function pairedTables(cells: readonly Cell[]): string {
  const pairs = pairsOf(cells);
  if (!pairs.length) return "";
  const methods = [...new Set(pairs.map(({ method }) => method))].sort();
  const rows = [...Map.groupBy(pairs, ({ size, state }) => `${size} ${state}`).values()].sort(
    ([a], [b]) => b!.size - a!.size,
  );
  const parts = measures.map(({ name, of }) => {
    const cellsOf = (own: readonly Pair[]) =>
      methods.map((method) => {
        const pair = own.find((each) => each.method === method);
        return pair ? ends(differenceOf(pair, of), 2) : "";
      });
    return [
      `By how many nats of ${name} each other method is worse than \`${OWN}\`, as much trained:`,
      table(
        ["numbers", "", ...methods],
        rows.map((own) => [own[0]!.size, own[0]!.state, ...cellsOf(own)]),
      ),
    ].join("\n\n");
  });
  const inStates = [...Map.groupBy(pairs, ({ state }) => state)];
  const lengths = inStates.map(([name, [first]]) => `${name} ${first!.own.evaluation!.sequences.length}`);
  const said = inStates.flatMap(([, own]) => measures.map((measure) => sentence(own, measure)));
  const apart = Math.max(
    ...pairs.flatMap(({ own, other }) =>
      own.evaluation!.sequences.map(({ original }, i) => Math.abs(original - other.evaluation!.sequences[i]!.original)),
    ),
  );
  const days = apart
    ? `; the original's own loss of a sequence, by kernels of different days, is up to ${show(apart, 1)} nats apart`
    : "";
  return [
    `Paired by the same sequences (${lengths.join(", ")}), with 95 % by Student's t over them, each interval for itself${days}. ${said.join(" ")}`,
    ...parts,
  ].join("\n\n");
}

/** At how many sizes Biform's is better, no different, worse than each other, in one state. */
function sentence(pairs: readonly Pair[], { name, of }: (typeof measures)[number]): string {
  const each = [...Map.groupBy(pairs, ({ method }) => method)].sort(([a], [b]) => (a < b ? -1 : 1));
  const counted = each.map(([method, own]) => {
    const found = own.map((pair) => {
      const difference = differenceOf(pair, of);
      if (!exceeds(difference)) return "no different";
      return difference.mean > 0 ? "better" : "worse";
    });
    const counts = (["better", "no different", "worse"] as const).flatMap((verdict) => {
      const count = found.filter((one) => one === verdict).length;
      return count ? [`${verdict} at ${count}`] : [];
    });
    return { method: `\`${method}\``, counts: `${counts.join(", ")} of ${own.length}` };
  });
  const words = [...Map.groupBy(counted, ({ counts }) => counts)].map(
    ([counts, own]) => `${own.map(({ method }) => method).join(", ")} (${counts})`,
  );
  const state = pairs[0]!.state;
  return `${state[0]!.toUpperCase()}${state.slice(1)}, by ${name}, \`${OWN}\` beside each at so many sizes: ${words.join(", ")}.`;
}
