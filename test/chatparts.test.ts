import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { style } from "../src/draw/style.ts";
import { readEvents, type ServerEvent } from "../src/server/page/browser/events.ts";
import { Pace, readFigures } from "../src/server/page/browser/figures.ts";
import { Break, readRefusal, tellProblem } from "../src/server/page/browser/problem.ts";
import {
  addTurn,
  besides,
  choose,
  leadTo,
  makeConversation,
  pathOf,
  titleOf,
} from "../src/server/page/browser/tree.ts";
import { readPage, servePage } from "../src/server/page/serve.ts";
import { figures } from "./fixture/scripted.ts";

const root = join(import.meta.dirname, "..");

async function eventsOf(...parts: readonly Uint8Array<ArrayBuffer>[]): Promise<ServerEvent[]> {
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
  const events: ServerEvent[] = [];
  for await (const event of readEvents(body)) events.push(event);
  return events;
}

describe("server-sent events", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  test("are data of several lines, comments, and nothing that breaks off", async () => {
    const text = ": queued 2\n\ndata: a\ndata:b\ndata\nid: 7\n\ndata: é\r\n\r\ndata: c\r\rdata: lost\n";
    expect(await eventsOf(bytes(text))).toEqual([
      { comment: "queued 2" },
      { data: "a\nb" },
      { data: "é" },
      { data: "c" },
    ]);
  });

  test("are the same wherever their bytes are cut", async () => {
    const text = bytes(': hi\r\ndata: {"text":"ü€😀"}\r\n\r\ndata: one\ndata: two\n\ndata: [DONE]\n\n');
    const whole = await eventsOf(text);
    expect(whole).toHaveLength(4);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: text.length })), async (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const parts = places.slice(1).map((to, i) => text.subarray(places[i], to));
        expect(await eventsOf(...parts)).toEqual(whole);
      }),
    );
  });
});

describe("conversations", () => {
  test("branch where a turn is edited or answered again, and lead back", () => {
    const talk = makeConversation({});
    const first = addTurn(talk, null, "user", "  one\ntwo ");
    const answer = addTurn(talk, first.id, "assistant", "1");
    const again = addTurn(talk, first.id, "assistant", "2");
    const next = addTurn(talk, again.id, "user", "more");
    const edited = addTurn(talk, null, "user", "other");
    expect(pathOf(talk)).toEqual([edited]);
    choose(talk, first);
    expect(pathOf(talk)).toEqual([first, again, next]);
    choose(talk, answer);
    expect(pathOf(talk)).toEqual([first, answer]);
    expect(besides(talk, again)).toEqual([answer, again]);
    expect(leadTo(talk, next)).toEqual([first, again, next]);
    expect(titleOf(talk)).toBe("one two");
  });
});

describe("figures", () => {
  test("are what the server tells", () => {
    expect(readFigures(figures)).toEqual({
      prompt: 530,
      cached: 512,
      written: 12,
      rate: 23.4,
      first: 0.31,
      bytes: 12_582_912,
      forms: { absorbed: 44, expanded: 4 },
    });
  });

  test("are absent where another server tells none, or nonsense", () => {
    expect(readFigures({})).toEqual({});
    const biform = { tokens_per_second: null, cache_bytes: "12", forms: { absorbed: -1 }, seconds: 3 };
    expect(readFigures({ usage: { prompt_tokens: Number.NaN, prompt_tokens_details: null }, biform })).toEqual({});
  });
});

describe("a pace", () => {
  test("is pieces per second from the first on, in spans of four at least", () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    try {
      const pace = new Pace();
      expect([pace.first, pace.rate, pace.spans]).toEqual([undefined, undefined, []]);
      vi.advanceTimersByTime(300);
      for (const gap of [0, ...Array(12).fill(100), ...Array(12).fill(50)]) {
        vi.advanceTimersByTime(gap);
        pace.note();
      }
      expect(pace.first).toBeCloseTo(0.3);
      expect(pace.rate).toBeCloseTo(24 / 1.8);
      // Six spans of 0.3 s: three at 10 a second in the mean, one between, the last at 20.
      expect(pace.spans).toHaveLength(6);
      expect(pace.spans[0]).toBeCloseTo(10, -1);
      expect(pace.spans.at(-1)).toBeGreaterThan(16);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("problems", () => {
  const tell = (status: number, error: object, after: string | null = null) =>
    tellProblem(readRefusal(status, JSON.stringify({ error }), after));

  test("say what to do", () => {
    expect(tell(401, { message: "no key" })).toMatchObject({ act: "key", title: expect.stringContaining("API key") });
    expect(tell(429, { message: "full" }, "7")).toMatchObject({ act: "again", advice: "Try again in 7 s." });
    expect(tell(400, { message: "m", code: "context_length_exceeded" }).act).toBe("new");
    expect(tell(400, { message: "top_p: got 2" })).toMatchObject({ act: "settings", detail: "top_p: got 2" });
    expect(tellProblem(new Break()).title).toBe("The answer broke off");
    expect(tellProblem(new TypeError("fetch failed")).title).toBe("The server does not answer");
    expect(tellProblem(readRefusal(502, "<html>Bad gateway", null)).detail).toBe("<html>Bad gateway");
  });

  test("that come when an answer has begun are told by their type", () => {
    expect(tell(200, { message: "full", type: "rate_limit_error" }).title).toContain("too much to do");
    expect(tell(200, { message: "oh", type: "server_error" }).title).toBe("The server failed");
  });
});

describe("the page over the wire", () => {
  const app = servePage();

  test("is a document, styles, modules and two libraries, all by their strong tags", async () => {
    const page = await app.request("/");
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const html = await page.text();
    for (const [, path] of html.matchAll(/(?:src|href)="(page\/[^"]+)"/g)) {
      const { status, headers } = await app.request(`/${path}`);
      expect(status, path).toBe(200);
      expect(headers.get("content-type"), path).toBe(
        `text/${path!.endsWith(".css") ? "css" : "javascript"}; charset=utf-8`,
      );
    }
    for (const library of ["marked", "dompurify"])
      expect((await app.request(`/page/lib/${library}.js`)).status).toBe(200);
    const etag = page.headers.get("etag")!;
    expect(etag).toMatch(/^"[\w+/=]{44}"$/);
    const again = await app.request("/", { headers: { "if-none-match": `"other", ${etag}` } });
    expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([304, "", etag]);
    expect((await app.request("/", { headers: { "if-none-match": '"other"' } })).status).toBe(200);
    for (const path of ["/page/", "/page/server/page/serve.ts", "/page/../package.json", "/page/%2e%2e/package.json"])
      expect((await app.request(path)).status, path).toBe(404);
  });

  test("has a policy that names no other host", async () => {
    const policy = (await app.request("/")).headers.get("content-security-policy")!;
    expect(policy).toMatch(/^default-src 'self'; script-src 'self' 'sha256-[\w+/]+='; /);
    expect(policy).not.toMatch(/https?:|\*|unsafe/);
    expect(policy).toContain("frame-ancestors 'none'");
  });

  test("has modules without types", () => {
    const files = [...readPage()].filter(([path]) => path.endsWith(".ts"));
    expect(files.length).toBeGreaterThan(20);
    for (const [path, { bytes }] of files)
      expect(new TextDecoder().decode(bytes), path).not.toMatch(/^(?:interface|export (?:interface|type)) /m);
  });

  // `npm test` builds before it tests.
  test.skipIf(!existsSync(join(root, "dist/server/page/serve.js")))("is the same from the built package", async () => {
    const built: typeof import("../src/server/page/serve.ts") = await import(join(root, "dist/server/page/serve.js"));
    const names = (files: ReadonlyMap<string, unknown>) =>
      [...files.keys()].map((name) => name.replace(/\.ts$/, ".js"));
    expect(names(built.readPage()).toSorted()).toEqual(names(readPage()).toSorted());
    const html = await (await built.servePage().request("/")).text();
    expect(html).toContain('src="page/server/page/browser/main.js"');
  });

  test("has the report's colours", () => {
    const [, light, dark] = style.split("--paper:");
    const own = new TextDecoder().decode(readPage().get("page/style/paper.css")!.bytes);
    for (const name of ["paper", "ink", "soft", "line", "panel", "accent"]) {
      const pair = [light, dark].map((text) => new RegExp(`--${name}: (#\\w+)`).exec(`--paper:${text}`)![1]);
      expect(own).toContain(`--${name}: light-dark(${pair.join(", ")});`);
    }
  });
});
