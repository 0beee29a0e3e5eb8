import { connect } from "node:net";

/** Where requests go, and the keys that are known there. */
export interface Target {
  readonly url: string;
  readonly keys: readonly string[];
}

/** What came back, whole. */
export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Posts JSON, or a body as it stands. */
export async function post(
  { url, keys }: Target,
  path: string,
  body: unknown,
  { key = keys[0], signal, type = "application/json" }: { key?: string; signal?: AbortSignal; type?: string } = {},
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: "POST",
    headers: { "Content-Type": type, ...(key === undefined ? {} : { Authorization: `Bearer ${key}` }) },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

export async function get({ url, keys }: Target, path: string): Promise<Response> {
  return fetch(`${url}${path}`, { headers: keys[0] === undefined ? {} : { Authorization: `Bearer ${keys[0]}` } });
}

/** What is wrong with a refusal by OpenAI's envelope and the statuses that are right; undefined: nothing. */
export function faultOf({ status, text }: Answer, expected: readonly number[]): string | undefined {
  if (!expected.includes(status)) return `got status ${status}, expected ${expected}: ${text.slice(0, 200)}`;
  const said = (() => {
    try {
      return JSON.parse(text).error;
    } catch {
      return undefined;
    }
  })();
  const right = (value: unknown) => value === null || typeof value === "string";
  if (
    typeof said?.message === "string" &&
    said.message &&
    typeof said.type === "string" &&
    right(said.param) &&
    right(said.code)
  )
    return undefined;
  return `malformed: got ${status} with ${text.slice(0, 200)}, expected an error's envelope`;
}

/** One of several answers, or a piece of it in a stream, of chat or of completions. */
export interface Choice {
  readonly text?: string;
  readonly message?: { readonly content: string };
  readonly delta?: { readonly content?: string };
}

/** What an event of a stream holds. */
export interface Piece {
  readonly choices: readonly Choice[];
  readonly error?: object;
}

/** Data of server-sent events as they come. Throws where a stream ends without [DONE]. */
export async function* eventsOf(response: Response): AsyncGenerator<Piece, void, undefined> {
  let text = "";
  let done = false;
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data === "[DONE]") done = true;
      else if (data !== undefined) yield JSON.parse(data);
    }
  }
  if (!done) throw new Error("stream: got an end, expected [DONE] before it");
}

/** Sends raw bytes, and rests so many milliseconds after each piece that comes; the answer until the connection ended. */
export async function talk({ url }: Target, bytes: string, rest = 0): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  // What was sent after the server had closed comes back as a reset: what it had said before counts.
  socket.on("error", () => {});
  let text = "";
  socket.setEncoding("latin1");
  socket.on("data", (piece) => {
    text += piece;
    if (!rest) return;
    socket.pause();
    setTimeout(() => socket.resume(), rest);
  });
  socket.write(bytes);
  await closed;
  const end = text.indexOf("\r\n\r\n");
  const [head, body] = end < 0 ? [text, ""] : [text.slice(0, end), text.slice(end + 4)];
  const whole = /^transfer-encoding: chunked/im.test(head) ? joinChunks(body) : body;
  return { status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1] ?? 0), text: Buffer.from(whole, "latin1").toString() };
}

function joinChunks(body: string): string {
  let whole = "";
  for (let at = 0; at < body.length; ) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.slice(at, end), 16);
    if (end < 0 || !size) break;
    whole += body.slice(end + 2, end + 2 + size);
    at = end + 4 + size;
  }
  return whole;
}

/** A request's bytes, for a socket. */
export function bytesOf({ keys }: Target, path: string, body: string, headers: readonly string[] = []): string {
  const own = headers.some((line) => /^(content-length|transfer-encoding)/i.test(line));
  const lines = [
    `POST ${path} HTTP/1.1`,
    "Host: localhost",
    "Connection: close",
    "Content-Type: application/json",
    ...(keys[0] === undefined ? [] : [`Authorization: Bearer ${keys[0]}`]),
    ...(own ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    ...headers,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}
