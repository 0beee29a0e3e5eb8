/** Server-sent events, read from a response's bytes. */

/** What one event says: its data, and comments before it. */
export interface ServerEvent {
  readonly data?: string;
  readonly comment?: string;
}

/** Most characters of one line: no server of ours sends more, and no other fills a page's memory. */
const longest = 16 << 20;

/**
 * The events of a body, in order, each as soon as its bytes are there. Lines may end in any of three ways and be cut anywhere;
 * an event that the body breaks off in is not given, as the standard has it (html.spec.whatwg.org, 9.2.6).
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<ServerEvent, void, undefined> {
  let rest = "";
  let data: string[] = [];
  const decoder = new TextDecoder();
  // Not every browser walks a stream by `for await`.
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      if (rest.length > longest)
        throw new Error(`events: got a line of ${rest.length} characters, expected at most ${longest}`);
      // A return at the end may be half of a line's end.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { data: data.join("\n") };
          data = [];
        } else if (line.startsWith(":")) yield { comment: line.slice(1).trim() };
        else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
