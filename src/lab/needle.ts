import { scoreToken } from "../generate/score.ts";
import { Session } from "../generate/session.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { FormatError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Interval, meanInterval } from "./statistics.ts";

/** A long text with a number hidden in it that is asked for at its end. */
export interface Needle {
  /** The text with the question. */
  readonly prompt: Int32Array;
  /** The tokens of the number. */
  readonly answer: Int32Array;
}

/** How a model finds the needles of one length. */
export interface Found {
  /** Tokens of the prompt, the answer aside. */
  readonly length: number;
  /** log p of an answer's token, in nats, given those before: mean over needles, with the interval of Student's t. */
  readonly likelihood: Interval;
  /** Needles whose every token is the likeliest: greedy decoding would write the number. */
  readonly greedy: number;
  readonly needles: number;
}

const hidden = (number: string) => ` The secret number is ${number}. Remember it: ${number} is the secret number.`;
const question = " What is the secret number? The secret number is";

/**
 * Needles in `length` tokens of a haystack each, at depths spread evenly, with numbers of five digits from a seed (the passkeys of
 * arXiv 2305.16300, in a text instead of one sentence that is repeated). Throws FormatError where the haystack is too short.
 */
export function hideNeedles(tokenizer: Tokenizer, haystack: Int32Array, length: number, count: number): Needle[] {
  const random = new Random(length);
  const asked = tokenizer.encode(question);
  const first = tokenizer.prompt("").slice(0, 1);
  return Array.from({ length: count }, (_, i) => {
    const number = String(10000 + random.integer(90000));
    const needle = tokenizer.encode(hidden(number));
    const room = length - needle.length - asked.length - first.length;
    if (room < 2 || haystack.length < room)
      throw new FormatError(
        `needles: got ${haystack.length} tokens of text for ${length}, expected at least ${Math.max(room, 2)} and a length of ${needle.length + asked.length + first.length + 2} or more; give more text or other lengths`,
      );
    const from = random.integer(haystack.length - room + 1);
    const depth = Math.round(((i + 0.5) / count) * room);
    const hay = haystack.subarray(from, from + room);
    const prompt = [...first, ...hay.subarray(0, depth), ...needle, ...hay.subarray(depth), ...asked];
    return { prompt: Int32Array.from(prompt), answer: tokenizer.encode(` ${number}`) };
  });
}

/** Reads each needle's prompt into a session of its own, and scores the answer. */
export async function findNeedles(
  model: Model,
  weights: Weights,
  needles: readonly Needle[],
  watch?: (done: number) => void,
): Promise<Found> {
  const { vocabulary } = model;
  const likelihoods: number[] = [];
  let greedy = 0;
  for (const { prompt, answer } of needles) {
    const session = new Session(model, weights, { context: prompt.length + answer.length });
    const before = session.append(prompt, { logits: "last", exact: true });
    const rest = answer.length > 1 ? session.append(answer.subarray(0, -1), { exact: true }) : undefined;
    const told = [await before.read(), ...(rest ? [await rest.read()] : [])];
    const rows = told.flatMap((logits) =>
      Array.from({ length: logits.length / vocabulary }, (_, t) =>
        logits.subarray(t * vocabulary, (t + 1) * vocabulary),
      ),
    );
    const scores = rows.map((row, t) => scoreToken(row, answer[t]!, 1));
    likelihoods.push(scores.reduce((sum, { logprob }) => sum + logprob, 0) / scores.length);
    if (scores.every(({ id, top }) => top[0]!.id === id)) greedy++;
    before.free();
    rest?.free();
    session.free();
    watch?.(likelihoods.length);
  }
  return {
    length: needles[0]!.prompt.length,
    likelihood: meanInterval(likelihoods),
    greedy,
    needles: needles.length,
  };
}
