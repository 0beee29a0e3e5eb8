import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Listening, listen } from "../src/server/listen.ts";
import { answerBeside } from "../src/server/rest.ts";
import { eventStream, type Part } from "../src/server/stream.ts";
import { appOf, type Script, scripted, servedBy } from "./fixture/served.ts";

let server: Listening | undefined;
let told: unknown[] = [];
let registry: ReturnType<typeof appOf>["registry"];

async function start(script: Script) {
  const engine = scripted(script);
  const made = appOf(servedBy(engine, { context: 1e6 }), { bodyBytes: 10_000 });
  ({ told, registry } = made);
  server = await listen(made.app, "127.0.0.1", 0);
  return { engine, url: server.url };
}

beforeEach(() => {
  server = undefined;
});
afterEach(async () => {
  server?.cut();
  await server?.stop();
});

/** Waits until something holds; the tests' own time limit ends what never does. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const body = (more: object = {}) => JSON.stringify({ prompt: "a", max_tokens: 1e5, ...more });
const headers = { "Content-Type": "application/json" };
const long = "x".repeat(100_000);

describe("a client that goes away", () => {
  test.each([true, false])("ends its sequences at once, streamed %s", async (stream) => {
    const { engine, url } = await start({ text: long, pause: 2 });
    const gone = new AbortController();
    const asked = fetch(`${url}/v1/completions`, {
      method: "POST",
      headers,
      body: body({ stream, n: 2 }),
      signal: gone.signal,
    });
    await until(() => engine.open.size === 2);
    if (stream) {
      const reader = (await asked).body!.getReader();
      await reader.read();
      gone.abort();
    } else {
      gone.abort();
      await expect(asked).rejects.toThrow();
    }
    await until(() => engine.open.size === 0);
    expect(told).toEqual([]);
    // The server still answers.
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });
});

describe("a reader that is slow", () => {
  test("holds the writing back: no more is made than sockets and one event hold", async () => {
    let made = 0;
    async function* parts(): AsyncGenerator<Part, void, undefined> {
      for (;;) {
        made++;
        yield { data: { text: "x".repeat(1000) } };
      }
    }
    const response = eventStream(parts(), { tell: () => {} });
    const reader = response.body!.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(made).toBeLessThanOrEqual(3);
    await reader.cancel();
  });

  test("is cut once it has read nothing for too long", async () => {
    let ended = false;
    async function* parts(): AsyncGenerator<Part, void, undefined> {
      try {
        for (;;) yield { data: { text: "x" } };
      } finally {
        ended = true;
      }
    }
    const response = eventStream(parts(), { tell: () => {}, stall: 20 });
    await until(() => ended);
    await expect(response.text()).rejects.toThrow("took nothing");
  });

  test("is kept while it reads, however slow what is read comes", async () => {
    async function* parts(): AsyncGenerator<Part, void, undefined> {
      for (let i = 0; i < 3; i++) {
        await new Promise((resolve) => setTimeout(resolve, 40));
        yield { data: { i } };
      }
    }
    const response = eventStream(parts(), { tell: () => {}, stall: 20, quiet: 10 });
    const text = await response.text();
    expect(text.match(/^data: /gm)).toHaveLength(3);
    expect(text).toContain(": working");
  });
});

describe("a stranger at the socket", () => {
  /** What a server says to raw bytes until it closes the connection. */
  async function say(url: string, text: string): Promise<string> {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    await once(socket, "connect");
    socket.on("error", () => {});
    socket.write(text);
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    await once(socket, "close");
    return answer;
  }

  /** What is answered while the rest of a request is still awaited. */
  async function hear(url: string, text: string): Promise<string> {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(text);
    let answer = "";
    for await (const chunk of socket) {
      answer += chunk;
      if (answer.endsWith("}")) break;
    }
    return answer;
  }

  test("a body that is longer than allowed is refused before it has come", async () => {
    const { url } = await start({});
    const head =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    expect(await hear(url, `${head}Content-Length: 99999999\r\n\r\n{`)).toMatch(/^HTTP\/1.1 413/);
    const chunk = `${(4096).toString(16)}\r\n${"x".repeat(4096)}\r\n`;
    expect(await hear(url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}`)).toMatch(/^HTTP\/1.1 413/);
  });

  test("what is still to come of it is read beside the answer, and lets the connection go on", async () => {
    const incoming = new PassThrough({ highWaterMark: 16 });
    // As one who has begun to read and stopped: nothing flows past it.
    incoming.on("data", () => incoming.pause());
    incoming.write("x".repeat(100));
    const reader = answerBeside(incoming as unknown as IncomingMessage, "too long").getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("too long");
    let ended = false;
    const end = reader.read().then(({ done }) => {
      ended = done;
    });
    for (let i = 0; i < 10; i++) if (!incoming.write("x".repeat(100))) await once(incoming, "drain");
    expect(ended).toBe(false);
    incoming.end();
    await end;
    expect(ended).toBe(true);
  });

  test("headers that are too long, and what is no HTTP, are told so and end the connection alone", async () => {
    const { url } = await start({});
    const long = `GET /health HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`;
    const nameless = "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n";
    const chunks =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    for (const [text, status] of [
      [long, 431] as const,
      ...["nonsense\r\n\r\n", nameless, chunks].map((said) => [said, 400] as const),
    ]) {
      const said = await say(url, text);
      expect(said).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [A-Z][\\w ]+\r\n`));
      expect(JSON.parse(said.slice(said.indexOf("\r\n\r\n")))).toMatchObject({
        error: { message: expect.stringMatching(/: got .*, expected/), type: "invalid_request_error", code: null },
      });
    }
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  test("a client that goes away before its body has come is in no log", async () => {
    const { url } = await start({});
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    socket.write(`${head}Content-Length: 99\r\n\r\n{`);
    const counted = async () => (await (await fetch(`${url}/metrics`)).text()).includes('completions",status="400"');
    // It has to be read before it is gone: an answer to another, begun later, says that it is.
    await fetch(`${url}/health`);
    socket.destroy();
    while (!(await counted()) && !told.length);
    expect(told).toEqual([]);
  });
});

describe("the end", () => {
  test("what runs ends first; what comes then is not taken", async () => {
    const { url } = await start({ text: "x".repeat(30), pause: 5 });
    const asked = fetch(`${url}/v1/completions`, { method: "POST", headers, body: body() });
    await until(() => registry.loaded.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const stopped = server!.stop();
    expect((await (await asked).json()).choices[0].text).toBe("x".repeat(30));
    await stopped;
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  test("a port that is taken is an error that says what to do", async () => {
    await start({});
    const { app } = appOf(servedBy(scripted()));
    await expect(listen(app, "127.0.0.1", server!.port)).rejects.toThrow(/EADDRINUSE.*choose another --port/);
  });
});
