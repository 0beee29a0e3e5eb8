/** What every peer that runs checkpoints does alike: ids that are the same for all, and the clock. */
import { peakBytes } from "../machine.ts";
import type { Answer, ManyRequest, Request, RunRequest } from "../peer.ts";

/** A checkpoint in memory, with one sequence. */
export interface Runner {
  readonly length: number;
  /** Of the last position it ran, where the engine tells. */
  readonly lastLogits?: Float32Array;
  /** Runs ids after those it holds. @returns the likeliest next one. */
  append(ids: readonly number[]): Promise<number>;
  /** Forgets all from `length` on. */
  truncate(length: number): Promise<void> | void;
}

/** Answers the requests over a checkpoint by what `open` opens; anything else is unsupported. */
export function runs(open: (file: string, context: number) => Promise<Runner>): (request: Request) => Promise<Answer> {
  let runner: Runner | undefined;
  const opened = () => {
    if (!runner) throw new Error("bench: got a request before a checkpoint was opened");
    return runner;
  };
  const answers: {
    [op in Exclude<RunRequest, ManyRequest>["op"]]: (request: Extract<RunRequest, { op: op }>) => Promise<Answer>;
  } = {
    open: async ({ file, context }) =>
      timed(async () => {
        runner = await open(file, context);
      }),
    prefill: async ({ tokens }) => {
      const ids = Array.from({ length: tokens }, (_, i) => idAt(opened().length + i));
      return timed(() => opened().append(ids));
    },
    decode: async ({ tokens }) => {
      const start = opened().length;
      // The first of them pays for what changes with the kind of work: threads asleep, a graph to be built.
      let id = await opened().append([idAt(start)]);
      const took = await timed(async () => {
        for (let i = 0; i < tokens; i++) id = await opened().append([id]);
      });
      await opened().truncate(start);
      return took;
    },
    greedy: async ({ prompt, tokens }) => {
      let id = await opened().append(Array.from({ length: prompt }, (_, i) => idAt(i)));
      const logits = [...(opened().lastLogits ?? [])];
      const ids = [id];
      while (ids.length < tokens) {
        id = await opened().append([id]);
        ids.push(id);
      }
      await opened().truncate(0);
      return { ids, logits };
    },
    rewind: async ({ length }) => timed(async () => opened().truncate(length)),
    memory: async () => ({ peakBytes: peakBytes() }),
  };
  return async (request) => {
    const answer = (answers as Record<string, (request: Request) => Promise<Answer>>)[request.op];
    return answer ? answer(request) : { unsupported: request.op };
  };
}

async function timed(work: () => Promise<unknown>): Promise<{ seconds: number }> {
  const start = performance.now();
  await work();
  return { seconds: (performance.now() - start) / 1000 };
}

/** The token at a position of the text that every engine reads: spread over any vocabulary of 512 or more. */
const idAt = (position: number) => (position * 2654435761) % 509;
