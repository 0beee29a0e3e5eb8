import { type Event, Refused } from "../batch/request.ts";

/** An event, and which of several sequences it is of. */
export interface Placed {
  readonly index: number;
  readonly event: Event;
}

/** Events of one sequence. */
export type Run = () => AsyncGenerator<Event, void, undefined>;

/**
 * Events of several sequences as they come, at most `wide` sequences at work at once, begun in their order. Where it is ended early,
 * all of them are: `abort` has to end what they wait for. One that finds the queue full while others of them are at work is begun
 * again when one has ended, so that fewer run at once: only where none has a place is the queue's refusal thrown.
 */
export async function* together(
  runs: readonly Run[],
  wide: number,
  abort: () => void,
): AsyncGenerator<Placed, void, undefined> {
  const atWork = new Map<number, AsyncGenerator<Event, void, undefined>>();
  const waiting = new Map<number, Promise<{ index: number; found?: IteratorResult<Event, void>; error?: unknown }>>();
  const ask = (index: number) => {
    const asked = atWork.get(index)!.next();
    waiting.set(
      index,
      asked.then(
        (found) => ({ index, found }),
        (error: unknown) => ({ index, error }),
      ),
    );
  };
  const left = [...runs.keys()];
  let most = wide;
  const begin = () => {
    while (left.length && atWork.size < most) {
      const index = left.shift()!;
      atWork.set(index, runs[index]!());
      ask(index);
    }
  };
  try {
    for (begin(); waiting.size; begin()) {
      const { index, found, error } = await Promise.race(waiting.values());
      waiting.delete(index);
      if (!found) {
        atWork.delete(index);
        // The queue refuses nothing that has begun.
        if (!(error instanceof Refused && error.reason === "queue") || !atWork.size) throw error;
        left.unshift(index);
        most = atWork.size;
        continue;
      }
      if (found.done) {
        atWork.delete(index);
        most = Math.min(wide, most + 1);
        continue;
      }
      yield { index, event: found.value };
      ask(index);
    }
  } finally {
    abort();
    const ends = [...waiting.values(), ...[...atWork.values()].map((run) => run.return())];
    await Promise.allSettled(ends);
  }
}
