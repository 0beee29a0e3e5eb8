import type { Event } from "../batch/request.ts";

/** An event, and which of several sequences it is of. */
export interface Placed {
  readonly index: number;
  readonly event: Event;
}

/** Events of one sequence. */
export type Run = () => AsyncGenerator<Event, void, undefined>;

/**
 * Events of several sequences as they come, at most `wide` sequences at work at once, begun in their order. Where it is ended early,
 * all of them are: `abort` has to end what they wait for.
 */
export async function* together(
  runs: readonly Run[],
  wide: number,
  abort: () => void,
): AsyncGenerator<Placed, void, undefined> {
  const atWork = new Map<number, AsyncGenerator<Event, void, undefined>>();
  const waiting = new Map<number, Promise<{ index: number; found: IteratorResult<Event, void> }>>();
  const ask = (index: number) => {
    const asked = atWork
      .get(index)!
      .next()
      .then((found) => ({ index, found }));
    waiting.set(index, asked);
  };
  let begun = 0;
  const begin = () => {
    while (begun < runs.length && atWork.size < wide) {
      atWork.set(begun, runs[begun]!());
      ask(begun++);
    }
  };
  try {
    for (begin(); waiting.size; begin()) {
      const { index, found } = await Promise.race(waiting.values());
      waiting.delete(index);
      if (found.done) {
        atWork.delete(index);
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
