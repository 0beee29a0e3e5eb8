/** What a terminal shows of checkpoints beside their original: plain text, at most 100 columns. */
import { columns } from "../draw/column.ts";
import { bytes, compact, context } from "../draw/quantity.ts";
import { wrapNote } from "../draw/text.ts";
import { type CheckpointResult, lossBetween } from "./beside.ts";
import { exceeds, type Interval } from "./statistics.ts";

const digits = (x: number) => x.toFixed(x < 0.1 ? 4 : x < 100 ? 2 : 0);

/** A mean with the ends of its interval. */
export function withEnds({ mean, low, high }: Interval, show: (x: number) => string = digits): string {
  return low === null || high === null ? show(mean) : `${show(mean)} [${show(low)}, ${show(high)}]`;
}

/** The last part of a path, which is what tells checkpoints apart. */
export const nameOf = (path: string): string =>
  path
    .replace(/[\\/]+$/, "")
    .split(/[\\/]/)
    .at(-1) || path;

/** Tables of quality by text, of needles and of speeds, and which of equal caches is better by more than the noise. */
export function checkpointTables(results: readonly CheckpointResult[]): string[] {
  const [original] = results;
  const blocks = original!.texts.map(({ name, tokens, sequences }, i) => {
    const rows = results.map(({ path, cachePerLayer, texts }) => {
      const { perplexity, ratio, divergence, agreement } = texts[i]!;
      return [
        nameOf(path),
        compact(cachePerLayer),
        withEnds(perplexity),
        withEnds(ratio, (x) => x.toFixed(3)),
        withEnds(divergence, (x) => x.toFixed(3)),
        withEnds(agreement, (x) => (100 * x).toFixed(1)),
      ];
    });
    return [
      ...wrapNote(
        `${name}: ${tokens} tokens in ${sequences.length} sequences; in brackets 95 % by Student's t over the sequences.`,
        "  ",
      ),
      ...columns(["", "cache", "perplexity", "by original's", "KL, nats", "greedy, %"], rows),
      ...verdicts(results, i).flatMap((line) => wrapNote(line, "  ")),
    ];
  });
  return [...blocks, needleTable(results), speedTable(results)]
    .filter((lines) => lines.length)
    .map((lines) => lines.join("\n"));
}

/** Of checkpoints with one size of cache: whether the best differs from each other by more than its interval. */
function verdicts(results: readonly CheckpointResult[], text: number): string[] {
  const groups = Map.groupBy(results.slice(1), ({ cachePerLayer }) => cachePerLayer);
  return [...groups].flatMap(([cache, group]) => {
    if (group.length < 2) return [];
    const [best, ...rest] = group.toSorted((a, b) => a.texts[text]!.perplexity.mean - b.texts[text]!.perplexity.mean);
    const told = rest.map((other) => {
      const more = lossBetween(other, best!, text);
      const by = `${withEnds(more, (x) => x.toFixed(3))} nats`;
      return exceeds(more)
        ? `${nameOf(other.path)} is worse by ${by}`
        : `${nameOf(other.path)} cannot be told from it (${by})`;
    });
    return [`At ${compact(cache)} numbers ${nameOf(best!.path)} is the best; ${told.join("; ")}.`];
  });
}

function needleTable(results: readonly CheckpointResult[]): string[] {
  const { needles } = results[0]!;
  if (!needles.length) return [];
  const rows = results.map(({ path, needles: own }) => [
    nameOf(path),
    ...own.map(({ greedy, needles: count, likelihood }) => `${greedy}/${count} (${likelihood.mean.toFixed(2)})`),
  ]);
  return [
    ...wrapNote(
      "Numbers hidden in a text: found greedily, of how many, and log p of a token of theirs, by tokens of the prompt.",
      "  ",
    ),
    ...columns(["", ...needles.map(({ length }) => context(length))], rows),
  ];
}

function speedTable(results: readonly CheckpointResult[]): string[] {
  const speeds = results[0]!.speeds;
  if (!speeds) return [];
  const rows = results.flatMap(({ path, speeds: own }) =>
    own!.memory.flatMap(({ context: tokens, bytes: held }) =>
      own!.decode
        .filter((each) => each.context === tokens)
        .map(({ form, tokensPerSecond }) => {
          const prefill = own!.prefill.find((each) => each.form === form && each.tokens === tokens)!;
          return [
            nameOf(path),
            form,
            context(tokens),
            bytes(held),
            prefill.tokensPerSecond.toFixed(1),
            tokensPerSecond.toFixed(1),
          ];
        }),
    ),
  );
  return [
    "Measured here: bytes of the cache in float32, tokens per second.",
    ...columns(["", "form", "context", "cache", "prefill", "decode"], rows, [1]),
  ];
}
