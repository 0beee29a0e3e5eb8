import type { Event, Request, Usage } from "../batch/request.ts";
import type { LoadedModel } from "../generate/load.ts";
import type { SessionOptions } from "../generate/session.ts";
import type { Engine } from "./served.ts";

/** An engine that lets requests run one after the other, each in a session of its own, until there is one that batches. */
export function takeTurns(loaded: LoadedModel, options: SessionOptions): Engine {
  let turn: Promise<void> = Promise.resolve();
  let requests = 0;
  return {
    async *submit(request) {
      const before = turn;
      let done = () => {};
      turn = new Promise((resolve) => {
        done = resolve;
      });
      try {
        await before;
        requests++;
        yield* run(loaded, options, request);
      } finally {
        done();
      }
    },
    get figures() {
      return { requests };
    },
    drain: () => turn,
    close: () => turn,
  };
}

async function* run(
  loaded: LoadedModel,
  options: SessionOptions,
  request: Request,
): AsyncGenerator<Event, void, undefined> {
  const session = loaded.session(options);
  const started = performance.now();
  try {
    let first = Number.NaN;
    let written = 0;
    let finish: Extract<Event, { kind: "end" }>["finish"] = "length";
    for await (const step of session.generate(request.ids, { ...request, tokenizer: loaded.tokenizer })) {
      if (written++ === 0) {
        first = performance.now();
        yield { kind: "prompt", cached: 0 };
      }
      if (step.finish) finish = step.finish;
      yield { kind: "token", id: step.id, text: step.text };
    }
    if (request.signal?.aborted) finish = "abort";
    if (written === 0) yield { kind: "prompt", cached: 0 };
    const usage: Usage = {
      prompt: request.ids.length,
      cached: 0,
      written,
      waited: 0,
      first: (first - started) / 1000 || 0,
      writing: (performance.now() - first) / 1000 || 0,
      bytes: session.bytes,
      forms: session.forms.decode,
    };
    yield { kind: "end", finish, usage };
  } finally {
    session.free();
  }
}
