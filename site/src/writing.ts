/** What trained variants write, in the worker: a text that goes on, or the answers of a recall; in a form that may change at any token. */
import { byteTokenizer, formNames, generate, Session, type Source, type TrainResult } from "biform/run";
import type { Data } from "./training.ts";

/** A variant that was trained, and on what. */
export interface Pupil {
  readonly spec: string;
  readonly result: TrainResult;
  readonly source: Source;
  readonly data: Data;
}

/** What a variant writes in one form. */
export interface Told {
  readonly spec: string;
  readonly form: string;
  readonly text: string;
  readonly cacheBytes: number;
}

/** A piece of what a variant writes, the place of the form that it ran in among the variant's own, and what its cache holds by then. */
export interface Said {
  readonly at: number;
  readonly text: string;
  readonly form: number;
  readonly cacheBytes: number;
}

const CONTEXT = 512;
/** Tokens of a row of the recall. */
const ROW = 64;

/** Forms of a variant, in its own order. */
export function formsOf({ result }: Pupil): string[] {
  const names = result.model.layers.flatMap(({ attention }) => formNames(attention.variant, attention.sizes));
  return [...new Set(names)];
}

/** What all write from the same opening, in each of their forms. */
export async function writeAll(pupils: readonly Pupil[], opening: string): Promise<Told[]> {
  const told: Told[] = [];
  for (const pupil of pupils)
    for (const form of formsOf(pupil)) {
      let [text, cacheBytes] = [startOf(pupil, opening), 0];
      for await (const step of writeOn(pupil, { opening, tokens: 80, form: () => form })) {
        text += step.text;
        cacheBytes = step.cacheBytes;
      }
      told.push({ spec: pupil.spec, form, text, cacheBytes });
    }
  return told;
}

interface Wish {
  readonly opening: string;
  readonly tokens: number;
  /** Asked before each token. */
  readonly form: () => string | undefined;
  readonly signal?: AbortSignal;
}

/** What stands before what is written. */
export const startOf = ({ data }: Pupil, opening: string) => (data === "recall" ? "" : opening);

/** Writes on, token by token; a recall answers what a row that was held out asks for, each answer beside the right one. */
export async function* writeOn(
  pupil: Pupil,
  { opening, tokens, form, signal }: Wish,
): AsyncGenerator<{ readonly text: string; readonly form: string | undefined; readonly cacheBytes: number }> {
  const { model, weights } = pupil.result;
  const session = new Session(model, weights, { context: CONTEXT });
  let ran: string | undefined;
  const asked = () => {
    ran = form();
    return ran;
  };
  try {
    if (pupil.data === "recall") {
      yield* recall(pupil, session, asked, signal);
      return;
    }
    const prompt = byteTokenizer.prompt(opening);
    const maxTokens = Math.min(tokens, CONTEXT - prompt.length);
    const options = { maxTokens, temperature: 0.7, seed: 1, tokenizer: byteTokenizer, form: asked, signal };
    for await (const { text } of generate(session, prompt, options))
      yield { text, form: ran, cacheBytes: session.bytes };
  } finally {
    session.free();
  }
}

async function* recall({ source }: Pupil, session: Session, form: () => string | undefined, signal?: AbortSignal) {
  const [{ ids, targets }] = source.heldOut(1, 1, ROW) as [ReturnType<Source["batch"]>];
  for (let at = 0; at < ROW && !signal?.aborted; at++) {
    const ran = form();
    const logits = session.append(ids.subarray(at, at + 1), { form: ran, logits: "last" });
    const numbers = await logits.read();
    logits.free();
    if (ids[at] === 0) continue;
    const [given, right] = [source.decode([ids[at]!]), targets[at]!];
    const best = numbers.indexOf(Math.max(...numbers));
    const answer =
      right < 0 ? "" : ` → ${source.decode([best])} ${best === right ? "✓" : `✗ (${source.decode([right])})`};`;
    yield { text: `${given}${answer} `, form: ran, cacheBytes: session.bytes };
  }
}
