import { DeviceError, ShapeError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import type { Numbers } from "../tensor/tensor.ts";

/** How the next token is drawn from the logits. What is left out does nothing. */
export interface Sampling {
  /** Logits are divided by it; 0 takes the likeliest token. 1 unless given. */
  readonly temperature?: number;
  /** Only the k likeliest tokens; 0: all. */
  readonly topK?: number;
  /** Only the fewest likeliest tokens whose probabilities sum to p, in (0, 1]. */
  readonly topP?: number;
  /** Only tokens at least this share of the likeliest one's probability, in [0, 1]. */
  readonly minP?: number;
  /** Logits of tokens seen are divided by it where positive and multiplied by it where negative; 1: none. */
  readonly repetitionPenalty?: number;
  /** How many of the last tokens count as seen, the prompt's included; 0, as unless given: all. */
  readonly penaltyWindow?: number;
  /** Taken from the logits of every token written so far, as OpenAI's API defines it, from -2 to 2. 0 unless given. */
  readonly presencePenalty?: number;
  /** Taken from a token's logit once for each time that it was written, likewise. */
  readonly frequencyPenalty?: number;
  /** The same seed draws the same tokens from the same logits. 1 unless given. */
  readonly seed?: number;
}

/** Draws a token from logits `[vocabulary]`; `seen` are the tokens before it, the first `prompt` of them (all unless given) read, not written. */
export type Sampler = (logits: Numbers, seen: ArrayLike<number>, prompt?: number) => number;

/** Tokens up to which those of top-k are put in order, so that the draw depends on nothing but them. */
const FEW = 64;

/** How many of the largest logits decide the next token alone; undefined where any may. */
export function decisive({ temperature = 1, topK = 0, ...settings }: Sampling): number | undefined {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0 } = settings;
  if (repetitionPenalty !== 1 || presencePenalty || frequencyPenalty) return undefined;
  if (temperature === 0) return 1;
  return topK >= 1 && topK <= FEW ? topK : undefined;
}

type Rule = readonly [holds: (x: number) => boolean, expected: string];

const rules: Readonly<Record<keyof Sampling, Rule>> = {
  temperature: [(x) => x >= 0 && x < Number.POSITIVE_INFINITY, "0 or more"],
  topK: [(x) => Number.isSafeInteger(x) && x >= 0, "a whole number, 0 or more"],
  topP: [(x) => x > 0 && x <= 1, "a number above 0 and at most 1"],
  minP: [(x) => x >= 0 && x <= 1, "a number from 0 to 1"],
  repetitionPenalty: [(x) => x > 0 && x < Number.POSITIVE_INFINITY, "a number above 0"],
  penaltyWindow: [(x) => Number.isSafeInteger(x) && x >= 0, "a whole number, 0 or more"],
  presencePenalty: [(x) => x >= -2 && x <= 2, "a number from -2 to 2"],
  frequencyPenalty: [(x) => x >= -2 && x <= 2, "a number from -2 to 2"],
  seed: [Number.isSafeInteger, "a whole number"],
};

/** What a setting should be, where a value is none that it can have. */
export function expectedOf(name: keyof Sampling, value: unknown): string | undefined {
  const [holds, expected] = rules[name];
  return typeof value === "number" && holds(value) ? undefined : expected;
}

/** Throws ShapeError naming the setting that is out of range. */
export function checkSampling(settings: Sampling): void {
  for (const name of Object.keys(rules) as (keyof Sampling)[]) {
    const value = settings[name];
    const expected = value === undefined ? undefined : expectedOf(name, value);
    if (expected !== undefined) throw new ShapeError(`${name}: got ${value}, expected ${expected}`);
  }
}

/**
 * A source of tokens. The steps come in the order of the transformers library (`GenerationMixin._get_logits_processor`):
 * repetition penalty (Keskar et al., arXiv 1909.05858), then those of OpenAI's API (logit[j] - count[j] * frequency - presence
 * where count[j] > 0, of what was written), temperature, top-k (Fan et al., arXiv 1805.04833), top-p (Holtzman
 * et al., arXiv 1904.09751) over what top-k left, min-p (Nguyen et al., arXiv 2407.01082), then one draw. Equal logits
 * count the lower id as the likelier. Each token costs O(vocabulary): thresholds are found by selection, nothing is sorted,
 * and the arrays it works in are made once.
 *
 * Errors: ShapeError for a setting out of range; the sampler throws DeviceError for logits that are not numbers.
 */
export function sampler(settings: Sampling = {}): Sampler {
  checkSampling(settings);
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, penaltyWindow = 0 } = settings;
  const { presencePenalty = 0, frequencyPenalty = 0 } = settings;
  const random = new Random(settings.seed ?? 1);
  let scores = new Float64Array();
  let weights = new Float64Array();
  let ids = new Int32Array();
  let stamps = new Int32Array();
  let stamp = 0;

  /** Each token seen counts once, however often it was. */
  const punish = (seen: ArrayLike<number>): void => {
    stamp++;
    for (let i = penaltyWindow ? Math.max(0, seen.length - penaltyWindow) : 0; i < seen.length; i++) {
      const id = seen[i]!;
      if (id >= scores.length || stamps[id] === stamp) continue;
      stamps[id] = stamp;
      const score = scores[id]!;
      scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty;
    }
  };

  /** Of what was written: once for each token, and each time that it was. */
  const restrain = (seen: ArrayLike<number>, prompt: number): void => {
    stamp++;
    for (let i = prompt; i < seen.length; i++) {
      const id = seen[i]!;
      if (id >= scores.length) continue;
      scores[id]! -= frequencyPenalty;
      if (stamps[id] === stamp) continue;
      stamps[id] = stamp;
      scores[id]! -= presencePenalty;
    }
  };

  return (logits, seen, prompt = seen.length) => {
    const n = logits.length;
    if (scores.length !== n) {
      [scores, weights] = [new Float64Array(n), new Float64Array(n)];
      [ids, stamps] = [new Int32Array(n), new Int32Array(n)];
    }
    scores.set(logits);
    if (repetitionPenalty !== 1) punish(seen);
    if (presencePenalty || frequencyPenalty) restrain(seen, prompt);
    const best = likeliest(scores);
    if (temperature === 0 || topK === 1) return best;
    for (let i = 0; i < n; i++) ids[i] = i;
    let left = topK && topK < n ? most(ids, n, scores, topK, undefined) : n;
    if (left <= FEW) order(ids, left, scores);
    let total = 0;
    for (let i = 0; i < left; i++) {
      const id = ids[i]!;
      const weight = Math.exp((scores[id]! - scores[best]!) / temperature);
      weights[id] = weight;
      total += weight;
    }
    if (topP < 1) left = most(ids, left, scores, topP * total, weights);
    // Of what is left: the likeliest weighs 1 and is never dropped.
    total = 0;
    let kept = 0;
    for (let i = 0; i < left; i++) {
      const id = ids[i]!;
      if (weights[id]! < minP) continue;
      ids[kept++] = id;
      total += weights[id]!;
    }
    let draw = random.uniform() * total;
    for (let i = 0; i < kept; i++) {
      draw -= weights[ids[i]!]!;
      if (draw < 0) return ids[i]!;
    }
    // The weights summed up to less than their total, by rounding.
    return best;
  };
}

/** The first id of the largest score. Throws DeviceError where no score is a number. */
function likeliest(scores: Float64Array): number {
  let best = 0;
  let broken = Number.isNaN(scores[0] ?? Number.NaN);
  for (let i = 1; i < scores.length; i++) {
    const score = scores[i]!;
    if (score > scores[best]!) best = i;
    else if (Number.isNaN(score)) broken = true;
  }
  if (broken || !Number.isFinite(scores[best]!))
    throw new DeviceError(
      `logits: got ${broken ? "NaN" : scores[best]}, expected finite numbers; the weights or the cache are damaged`,
    );
  return best;
}

/**
 * Puts the fewest largest `scores` whose `amounts` (1 each unless given) reach `target` to the front of the first `n` `ids`,
 * in no order, and gives how many they are: quickselect (Hoare 1961), in O(n) on average.
 */
function most(
  ids: Int32Array,
  n: number,
  scores: Float64Array,
  target: number,
  amounts: Float64Array | undefined,
): number {
  let [low, high, missing] = [0, n, target];
  while (high - low > 1) {
    const pivot = middle(ids[low]!, ids[(low + high) >> 1]!, ids[high - 1]!, scores);
    let [at, amount] = [low, 0];
    for (let i = low; i < high; i++) {
      const id = ids[i]!;
      if (id !== pivot && !before(id, pivot, scores)) continue;
      ids[i] = ids[at]!;
      ids[at++] = id;
      amount += amounts ? amounts[id]! : 1;
    }
    // The pivot is the least of those in front: to their end with it, so that either side is smaller than the whole.
    const place = ids.indexOf(pivot, low);
    ids[place] = ids[at - 1]!;
    ids[at - 1] = pivot;
    const own = amounts ? amounts[pivot]! : 1;
    if (amount - own >= missing) high = at - 1;
    else if (amount >= missing) return at;
    else [low, missing] = [at, missing - amount];
  }
  return high;
}

/** Sorts the first `n` ids, the likeliest first. */
function order(ids: Int32Array, n: number, scores: Float64Array): void {
  for (let i = 1; i < n; i++) {
    const id = ids[i]!;
    let at = i;
    for (; at > 0 && before(id, ids[at - 1]!, scores); at--) ids[at] = ids[at - 1]!;
    ids[at] = id;
  }
}

function before(a: number, b: number, scores: Float64Array): boolean {
  return scores[a]! > scores[b]! || (scores[a] === scores[b] && a < b);
}

/** Of three ids the one between the others. */
function middle(a: number, b: number, c: number, scores: Float64Array): number {
  const [x, y] = before(a, b, scores) ? [a, b] : [b, a];
  if (before(y, c, scores)) return y;
  return before(x, c, scores) ? c : x;
}
