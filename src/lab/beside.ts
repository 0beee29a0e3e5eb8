import { type LoadedModel, load } from "../generate/load.ts";
import { measure, type Speeds } from "../measure/measure.ts";
import { modelSize } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { ask, type Evaluation, remember, scoreBeside, spreadIds, summarise, type Told } from "./evaluate.ts";
import { cachePerLayer } from "./match.ts";
import { type Found, findNeedles, hideNeedles, type Needle } from "./needle.ts";
import { type Interval, meanInterval } from "./statistics.ts";

/** What checkpoints are held beside their original on. */
export interface BesideSettings {
  readonly texts: readonly { readonly name: string; readonly text: string }[];
  /** Tokens of each text, and of a sequence. */
  readonly tokens: number;
  readonly length: number;
  /** Lengths of prompts with a needle, and needles of each. */
  readonly needles: readonly number[];
  readonly needlesEach: number;
  /** Contexts at which speeds are measured; none where there are none. */
  readonly contexts: readonly number[];
  readonly rounds?: number | undefined;
  readonly threads?: number | undefined;
}

/** One checkpoint beside its original, the first. */
export interface CheckpointResult {
  readonly path: string;
  readonly parameters: number;
  /** Numbers that a token leaves in the cache, mean of the layers, and layers. */
  readonly cachePerLayer: number;
  readonly layers: number;
  readonly texts: readonly ({ readonly name: string } & Evaluation)[];
  readonly needles: readonly Found[];
  readonly speeds?: Speeds | undefined;
}

/** Hears what is being done, and how much of it. */
export type BesideWatch = (what: string, done: number, total: number) => void;

/** The texts' sequences and the needles, by an original's tokenizer, and what the original says of the sequences. */
interface Task {
  readonly told: readonly { readonly name: string; readonly original: Told; readonly start: Int32Array }[];
  readonly needles: readonly (readonly Needle[])[];
}

/**
 * Holds checkpoints beside an original: perplexity, divergence and greedy agreement on the same tokens, needles found by length, and
 * speeds, each with its interval. The original comes first in what is given back. One checkpoint is in memory beside it at a time.
 * Throws FormatError for a text that is too short or a checkpoint of another tokenizer, and as `load`.
 */
export async function holdBeside(
  paths: readonly string[],
  settings: BesideSettings,
  { watch, signal }: { readonly watch?: BesideWatch; readonly signal?: AbortSignal | undefined } = {},
): Promise<CheckpointResult[]> {
  const [first, ...others] = paths;
  const { threads } = settings;
  const original = await load(first!, { threads, signal });
  try {
    const task = await prepare(original, settings, watch);
    const results = [await judge(original, task, settings, watch)];
    for (const path of others) {
      signal?.throwIfAborted();
      const loaded = await load(path, { threads, signal });
      try {
        checkKin(loaded, original, task, settings);
        results.push(await judge(loaded, task, settings, watch));
      } finally {
        loaded.close();
      }
    }
    return results;
  } finally {
    original.close();
  }
}

async function prepare(
  { path, model, weights, tokenizer }: LoadedModel,
  { texts, tokens, length, needles, needlesEach }: BesideSettings,
  watch?: BesideWatch,
): Promise<Task> {
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  const encoded = texts.map(({ name, text }) => ({ name, ids: tokenizer.encode(text) }));
  const cut = encoded.map(({ name, ids }) => ({
    name,
    sequences: spreadIds(ids, tokens, length),
    start: ids.slice(0, 64),
  }));
  for (const [i, { name, sequences }] of cut.entries())
    if (!sequences.length)
      throw new FormatError(
        `${name}: got ${encoded[i]!.ids.length} tokens, expected at least one sequence of ${length}; give more text or a smaller --length`,
      );
  // Before anything runs, so that a text that is too short costs no wait.
  const hidden = needles.map((long) => hideNeedles(tokenizer, encoded[0]!.ids, long, needlesEach));
  const told = [];
  for (const { name, sequences, start } of cut) {
    const counted = (done: number) => watch?.(`${path} on ${name}`, done, sequences.length);
    told.push({ name, start, original: await remember(model, weights, sequences, counted) });
  }
  return { told, needles: hidden };
}

/** Throws FormatError for a checkpoint that reads other tokens than the original. */
function checkKin(
  { path, model, tokenizer }: LoadedModel,
  original: LoadedModel,
  { told }: Task,
  settings: BesideSettings,
): void {
  if (model.vocabulary !== original.model.vocabulary)
    throw new FormatError(
      `${path}: got a vocabulary of ${model.vocabulary}, expected the ${original.model.vocabulary} of ${original.path}; only models of one tokenizer have comparable tokens`,
    );
  for (const [i, { start, name }] of told.entries()) {
    const own = tokenizer?.encode(settings.texts[i]!.text.slice(0, 4096)).slice(0, start.length) ?? start;
    if (own.some((id, at) => id !== start[at]))
      throw new FormatError(
        `${path}: got other tokens of ${name} than ${original.path}, expected the same; only models of one tokenizer have comparable tokens`,
      );
  }
}

async function judge(
  { path, model, weights }: LoadedModel,
  { told, needles }: Task,
  { contexts, rounds }: BesideSettings,
  watch?: BesideWatch,
): Promise<CheckpointResult> {
  const texts = [];
  for (const { name, original } of told) {
    const counted = (done: number) => watch?.(`${path} on ${name}`, done, original.sequences.length);
    const scores = await scoreBeside(original, ask(model, weights, original.sequences), counted);
    texts.push({ name, ...summarise(scores) });
  }
  const found: Found[] = [];
  for (const each of needles)
    found.push(
      await findNeedles(model, weights, each, (done) =>
        watch?.(`${path}: needles in ${each[0]!.prompt.length} tokens`, done, each.length),
      ),
    );
  return {
    path,
    parameters: modelSize(model),
    cachePerLayer: cachePerLayer(model),
    layers: model.layers.length,
    texts,
    needles: found,
    speeds: contexts.length ? await measure(model, weights, contexts, { rounds }) : undefined,
  };
}

/** How much more a checkpoint loses than another on a text, in nats a token, paired by sequence. */
export function lossBetween(a: CheckpointResult, b: CheckpointResult, text: number): Interval {
  const other = b.texts[text]!.sequences;
  return meanInterval(a.texts[text]!.sequences.map(({ loss }, i) => loss - other[i]!.loss));
}
