import { type ErrorBody, problemOf } from "./errors.ts";

/** A comment in a stream, which clients skip. */
export interface Remark {
  readonly comment: string;
}

/** What a stream of server-sent events carries: data as JSON, named where the protocol names events, or a comment. */
export type Part = { readonly data: object | "[DONE]"; readonly event?: string | undefined } | Remark;

/** How a stream is watched. */
export interface StreamOptions {
  /** Milliseconds without an event after which a comment shows that the connection lives. */
  readonly quiet?: number | undefined;
  /** Milliseconds that a reader may leave what was sent unread before the stream ends. */
  readonly stall?: number | undefined;
  /** Sees errors that are no client's fault. */
  readonly tell: (error: unknown) => void;
  /** What a failure looks like in the protocol; OpenAI's envelope unless given. */
  readonly failed?: ((body: ErrorBody) => Part[]) | undefined;
}

const QUIET = 15_000;
const STALL = 60_000;

function bytesOf(part: Part): Uint8Array {
  const text =
    "comment" in part
      ? `: ${part.comment}\n\n`
      : `${part.event === undefined ? "" : `event: ${part.event}\n`}data: ${part.data === "[DONE]" ? part.data : JSON.stringify(part.data)}\n\n`;
  return new TextEncoder().encode(text);
}

/**
 * An answer of server-sent events (WHATWG HTML, "Server-sent events"). A part is made when the reader has room for it, so that
 * nothing piles up here; `parts` is ended when the reader goes away or reads nothing for too long. An error within is the last event.
 */
export function eventStream(parts: AsyncGenerator<Part, void, undefined>, options: StreamOptions): Response {
  const { quiet = QUIET, stall = STALL, tell, failed = (data) => [{ data }] } = options;
  let next: Promise<IteratorResult<Part, void>> | undefined;
  let stalled: NodeJS.Timeout | undefined;
  let gone = false;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      clearTimeout(stalled);
      try {
        next ??= parts.next();
        const found = await within(next, quiet);
        if (gone) return;
        if (found === undefined) controller.enqueue(bytesOf({ comment: "working" }));
        else {
          next = undefined;
          if (found.done) {
            controller.close();
            return;
          }
          controller.enqueue(bytesOf(found.value));
        }
      } catch (error) {
        if (gone) return;
        for (const part of failed(problemOf(error, tell).body)) controller.enqueue(bytesOf(part));
        controller.close();
        return;
      }
      stalled = setTimeout(() => {
        controller.error(
          new Error(`stream: got a reader that took nothing for ${stall / 1000} s, expected one that reads`),
        );
        void parts.return();
      }, stall);
      stalled.unref();
    },
    async cancel() {
      gone = true;
      clearTimeout(stalled);
      await parts.return();
    },
  });
  return new Response(stream, {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-cache",
      // Proxies such as nginx would collect events before they pass them on.
      "X-Accel-Buffering": "no",
    },
  });
}

/** What a promise gives, or undefined after so many milliseconds. */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, milliseconds, undefined);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A generator that begins with what another was asked for already, such as a first event that was waited for. */
export async function* resume<T>(
  first: Promise<IteratorResult<T, void>>,
  rest: AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  try {
    for (let found = await first; !found.done; found = await rest.next()) yield found.value;
  } finally {
    await rest.return();
  }
}

/**
 * Begins an answer that streams: what fails at once is an error with its status; what takes longer than `patience` milliseconds
 * to begin is awaited in the stream, so that a client sees the connection live.
 */
export async function openStream(
  parts: AsyncGenerator<Part, void, undefined>,
  options: StreamOptions,
  patience = 500,
): Promise<Response> {
  const first = parts.next();
  await within(first, patience);
  // A rejection after the wait is met in the stream.
  first.catch(() => {});
  return eventStream(resume(first, parts), options);
}
