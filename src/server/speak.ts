import type { Request, Usage } from "../batch/request.ts";
import type { Hall, Work } from "./hall.ts";
import type { Delta, Parser } from "./parse/parser.ts";
import { chatLogprob, spellerOf } from "./spell.ts";
import type { Remark } from "./stream.ts";
import { together } from "./together.ts";
import { finishOf } from "./usage.ts";

/** Sequences of one request that are with the engine at once: a request of many prompts leaves room in the queue for others. */
export const WIDE = 8;

export type Logprob = ReturnType<typeof chatLogprob>;

/** What one event adds to an answer. */
export interface Piece {
  readonly index: number;
  readonly deltas: readonly Delta[];
  readonly logprob?: Logprob | undefined;
  /** At the end alone. */
  readonly finish?: "stop" | "length" | "tool_calls";
  readonly usage?: Usage;
  /** Tokens written up to the last of the thoughts. */
  readonly thought?: number;
}

/** How an answer's text is taken apart. */
export interface Speech {
  /** Made for each answer; undefined where all of it is content. */
  readonly parser?: (() => Parser) | undefined;
  /** Whether an answer may call more than one tool; what follows the first call is dropped otherwise. */
  readonly parallel: boolean;
}

/** The answers of a conversation as they come: content, thoughts, calls. Ends the work at its own end. */
export async function* speak(
  { metrics }: Hall,
  { served, end, check }: Work,
  requests: readonly Request[],
  { parser, parallel }: Speech,
): AsyncGenerator<Piece | Remark, void, undefined> {
  const spell = spellerOf(served.tokenizer);
  const parsers = requests.map(() => parser?.() ?? plain());
  const called = new Set<number>();
  const written = requests.map(() => 0);
  const thought = requests.map(() => 0);
  const allow = (index: number, deltas: readonly Delta[]) =>
    deltas.filter((delta) => {
      if (!parallel && called.has(index)) return false;
      if (delta.call) called.add(index);
      return true;
    });
  try {
    const runs = requests.map((request) => () => served.engine.submit(request));
    for await (const { index, event } of together(runs, WIDE, end)) {
      if (event.kind === "queued") yield { comment: `queued at place ${event.place}` };
      // For those who leave before the end, where usage is told.
      else if (event.kind === "prompt")
        yield { comment: `read ${requests[index]!.ids.length} tokens, ${event.cached} of them cached` };
      else if (event.kind === "token") {
        const deltas = allow(index, parsers[index]!.push(event.text));
        written[index]!++;
        if (deltas.some(({ reasoning }) => reasoning !== undefined)) thought[index] = written[index]!;
        yield { index, deltas, logprob: event.score && chatLogprob(spell, event.score) };
      } else if (event.kind === "end") {
        if (event.finish === "abort") check();
        const { usage } = event;
        metrics.observe(served.name, usage);
        const deltas = allow(index, parsers[index]!.end());
        const reason = finishOf(event.finish);
        yield {
          index,
          deltas,
          finish: reason === "stop" && called.has(index) ? "tool_calls" : reason,
          usage,
          thought: thought[index]!,
        };
      }
    }
  } finally {
    end();
  }
}

/** All text is content. */
function plain(): Parser {
  return { push: (content) => (content === "" ? [] : [{ content }]), end: () => [] };
}
