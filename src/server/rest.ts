import type { IncomingMessage } from "node:http";

/** How much of a body that is refused is still read, and for how long. */
const PATIENCE = { bytes: 64 * 2 ** 20, milliseconds: 5_000 } as const;

/**
 * A text as a body that is there at once and ends when the rest of the request has come, or when patience ends. A connection that is
 * closed with bytes unread is reset, and with it an answer that a client which is still sending has not read yet.
 */
export function answerBeside(incoming: IncomingMessage, text: string): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      await readRest(incoming);
      controller.close();
    },
  });
}

/** Reads what is left of a request and keeps nothing of it; whoever read it before gets no more. */
function readRest(incoming: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    if (incoming.readableEnded || incoming.destroyed) return resolve();
    let left: number = PATIENCE.bytes;
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, PATIENCE.milliseconds).unref();
    // Those pause it where nobody reads on.
    incoming.removeAllListeners("data");
    incoming.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) end();
    });
    incoming.once("end", end).once("close", end).once("error", end);
    incoming.resume();
  });
}
