import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { Problem } from "./errors.ts";
import type { Env } from "./guard.ts";
import type { Metrics } from "./metrics.ts";
import type { Lease, Registry } from "./registry.ts";
import type { Served } from "./served.ts";

/** What all endpoints share. */
export interface Hall {
  readonly registry: Registry;
  /** Seconds that a request may take. */
  readonly seconds: number;
  /** Sees errors that are no request's fault. */
  readonly tell: (error: unknown) => void;
  readonly metrics: Metrics;
  /** Of this program: answers carry it. */
  readonly version: string;
  /** Aborts where the server ends without waiting any longer for what runs. */
  readonly ending?: AbortSignal;
}

/** One request at work: its model, and what ends it. */
export interface Work extends Lease {
  readonly realm: string;
  /** Aborts where the client goes away, the time is over, or `end` is called. */
  readonly signal: AbortSignal;
  /** Ends what runs, frees what was held, and lets go of the model. */
  end(): void;
  /** Has something freed at the end. */
  hold(free: () => void): void;
  /** Throws Problem where the time was over, or the server has ended it. */
  check(): void;
}

/** Begins work on a request. Throws Problem as `Registry.lease`. */
export async function beginWork(c: Context<Env>, hall: Hall, model: string | undefined): Promise<Work> {
  const lease = await hall.registry.lease(model);
  const own = new AbortController();
  const held: (() => void)[] = [];
  const time = AbortSignal.timeout(1000 * hall.seconds);
  // A listener that is taken away at the end: signals made of one that lives as long as the server would pile up.
  const cut = () => own.abort();
  hall.ending?.addEventListener("abort", cut);
  if (hall.ending?.aborted) cut();
  return {
    ...lease,
    realm: c.get("realm"),
    signal: AbortSignal.any([c.req.raw.signal, time, own.signal]),
    end() {
      hall.ending?.removeEventListener("abort", cut);
      own.abort();
      for (const free of held.splice(0)) free();
      lease.release();
    },
    hold: (free) => void held.push(free),
    check() {
      if (time.aborted)
        throw new Problem(504, `request: got no end within ${hall.seconds} s, expected one; ask for fewer tokens`, {
          code: "timeout",
        });
      if (hall.ending?.aborted)
        throw new Problem(503, "request: got no end before the server's own, expected one; ask again once it is back", {
          code: "shutting_down",
          after: 1,
        });
    },
  };
}

/** Does something short with a model. Throws Problem as `Registry.lease`. */
export async function useModel<T>(
  hall: Hall,
  name: string | undefined,
  act: (served: Served) => Promise<T>,
): Promise<T> {
  const { served, release } = await hall.registry.lease(name);
  try {
    return await act(served);
  } finally {
    release();
  }
}

/** An id as OpenAI's API has them: what it is of, and what no other has. */
export function newId(kind: "chatcmpl-" | "cmpl-" | "call_" | "resp_" | "msg_" | "rs_" | "fc_"): string {
  return `${kind}${randomUUID().replaceAll("-", "")}`;
}

/** What says which code wrote an answer. */
export function fingerprintOf({ version }: Hall): string {
  return `biform-${version}`;
}

/** Seconds since 1970. */
export function now(): number {
  return Math.floor(Date.now() / 1000);
}
