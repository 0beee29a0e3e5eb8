import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { readGguf } from "../src/file/gguf.ts";
import { readOutline } from "../src/file/outline.ts";
import { readRemote, remoteSource } from "../src/file/remote.ts";
import { fileAddress } from "../src/file/request.ts";
import { openPlan } from "../src/plan/open.ts";
import { FormatError } from "../src/tensor/error.ts";
import { ggufOf, key, line, list, text, u32 } from "./corpus/gguf.ts";
import { llama } from "./fixture/checkpoint.ts";
import { ranged } from "./fixture/range.ts";

// A real server on this machine; what it does depends on the first part of the path.

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let server: Server;
let origin = "";
/** Requests as they came: the path, and the range that was asked for. */
let asked: [path: string, range: string | undefined][] = [];
const handlers: Record<string, Handler> = {};
beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push([path, request.headers.range]);
    const handler = handlers[path.split("/")[1] ?? ""];
    if (handler) handler(request, response);
    else response.writeHead(404).end("none");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  asked = [];
});

const MIB = 2 ** 20;
/** Only what a test is about ends soon: how long the rest takes is the machine's business. */
const patient = { connect: 600_000, idle: 600_000, whole: 600_000 };

/** A file of `size` bytes, byte i being i * 7 + i / 256. */
const patterned = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255);

const whole =
  (body: Uint8Array | string, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    void response.writeHead(200, headers).end(body);
const forever: Handler = (_, response) => {
  response.writeHead(200);
  const piece = new Uint8Array(MIB);
  const more = () => {
    while (!response.destroyed && response.write(piece));
    if (!response.destroyed) response.once("drain", more);
  };
  more();
};
const to =
  (target: () => string, status = 302): Handler =>
  (_, response) =>
    void response.writeHead(status, { location: target() }).end();

/** A GGUF header with a vocabulary of several MiB before its tensors, and tensors that are not there. */
const tokens = Array.from({ length: 300_000 }, (_, i) => text(`token ${i}`));
const header = ggufOf({
  keys: [
    key("general.architecture", 8, text("llama")),
    ...Object.entries({ embedding_length: 64, block_count: 1, feed_forward_length: 96 }).map(([name, n]) =>
      key(`llama.${name}`, 4, u32(n)),
    ),
    key("llama.attention.head_count", 4, u32(4)),
    key("llama.attention.head_count_kv", 4, u32(2)),
    list("tokenizer.ggml.tokens", 8, tokens.length, Uint8Array.from(Buffer.concat(tokens))),
  ],
  tensors: [
    line("token_embd.weight", [64, 300_000]),
    line("output_norm.weight", [64]),
    line("blk.0.attn_q.weight", [64, 64]),
    ...["k", "v"].map((part) => line(`blk.0.attn_${part}.weight`, [64, 32])),
    line("blk.0.attn_output.weight", [64, 64]),
    ...["gate", "up"].map((part) => line(`blk.0.ffn_${part}.weight`, [64, 96])),
    line("blk.0.ffn_down.weight", [96, 64]),
    ...["attn", "ffn"].map((part) => line(`blk.0.${part}_norm.weight`, [64])),
  ],
});
const refuses = async (promise: Promise<unknown>, message: RegExp) => {
  await expect(promise).rejects.toThrow(message);
  await expect(promise).rejects.toThrow(FormatError);
};

describe("ranges", () => {
  test("reads what is asked for, in aligned blocks that are kept", async () => {
    const file = patterned(5 * MIB + 12_345);
    handlers.file = ranged(file);
    const source = await remoteSource(`${origin}/file/a`);
    expect(source.size).toBe(file.length);
    const read = async (offset: number, length: number) => {
      const into = new Uint8Array(length);
      await source.read(offset, into);
      expect(Buffer.compare(into, file.subarray(offset, offset + length))).toBe(0);
    };
    await read(10, 100);
    await read(MIB - 5, 10);
    await read(MIB + 7, 1000);
    await read(0, 3 * MIB + 1);
    await read(file.length - 3, 3);
    await read(file.length, 0);
    expect(asked.map(([, range]) => range)).toEqual([
      `bytes=0-${MIB - 1}`,
      `bytes=${MIB}-${2 * MIB - 1}`,
      `bytes=${2 * MIB}-${4 * MIB - 1}`,
      `bytes=${5 * MIB}-${file.length - 1}`,
    ]);
    await expect(read(file.length - 3, 4)).rejects.toThrow(/truncated/);
  });

  test("a plan from a large file reads its header and no more", async () => {
    // The file goes on for 10 TiB that nobody sends.
    const size = 10 * 2 ** 40;
    handlers.huge = (request, response) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "")!;
      const part = new Uint8Array(Number(last) + 1 - Number(first));
      part.set(header.subarray(Number(first), Number(last) + 1));
      response.writeHead(206, { "content-range": `bytes ${first}-${last}/${size}` }).end(part);
    };
    const plan = await openPlan(`${origin}/huge/model-Q4.gguf`);
    expect(plan).toMatchObject({ name: "model-Q4", architecture: "llama", width: 64, vocabulary: 300_000, tied: true });
    expect(plan.weightBytes).toBeGreaterThan(4 * 64 * 300_000);
    // The header has some MiB; what is fetched is that in a few requests, each at most four times what went before.
    expect(header.length).toBeGreaterThan(4 * MIB);
    expect(asked.length).toBeLessThan(5);
    const bytes = asked.reduce((sum, [, range]) => {
      const [, first, last] = /(\d+)-(\d+)/.exec(range!)!;
      return sum + Number(last) + 1 - Number(first);
    }, 0);
    expect(bytes).toBeLessThan(4 * header.length);
    // The loader goes on refusing what is not all there.
    handlers.cut = ranged(header);
    const cut = await remoteSource(`${origin}/cut/a.gguf`);
    expect((await readOutline(cut)).tensors.size).toBe(11);
    await refuses(readGguf(cut), /an end within the \d+ bytes of the file/);
  });

  test("answers that lie are refused", async () => {
    const file = patterned(100);
    const says =
      (range: string, body: Uint8Array = file): Handler =>
      (_, response) =>
        void response.writeHead(206, { "content-range": range }).end(body);
    for (const [lie, message] of [
      [says("bytes 5-104/105"), /content-range "bytes 5-104\/105", expected bytes 0-/],
      [says("bytes 0-99/*"), /content-range "bytes 0-99\/\*"/],
      [says("bytes 0-99/1000"), /content-range "bytes 0-99\/1000"/],
      [says("bytes 0-99/99999999999999999999"), /content-range/],
      [says(""), /content-range ""/],
      [says("bytes 0-99/100", patterned(101)), /more bytes than the range has/],
      [says("bytes 0-99/100", patterned(99)), /got 99 bytes of a range of 100; the connection ended early/],
    ] as const) {
      handlers.lie = lie;
      await refuses(remoteSource(`${origin}/lie/x`), message);
    }
  });

  test("a file that changes between two requests is refused", async () => {
    const file = patterned(2 * MIB);
    for (const [second, message] of [
      [ranged(file, { etag: '"b"' }), /changed between two requests/],
      [ranged(patterned(2 * MIB + 1), { etag: '"a"' }), /in all, expected 2097152, as before|content-range/],
      [whole("x", { etag: '"a"' }), /status 200, expected 206, as before/],
    ] as const) {
      handlers.change = ranged(file, { etag: '"a"' });
      const source = await remoteSource(`${origin}/change/x`);
      handlers.change = second;
      await refuses(source.read(MIB, new Uint8Array(10)), message);
    }
  });

  test("what is fetched in all is bounded", async () => {
    const size = 2 ** 40;
    handlers.zeros = (request, response) => {
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "")!;
      response.writeHead(206, { "content-range": `bytes ${first}-${last}/${size}` }).end(new Uint8Array(MIB));
    };
    const source = await remoteSource(`${origin}/zeros/x`);
    await refuses(source.read(0, new Uint8Array(301 * MIB)), /requests for \d+ bytes, expected at most 314572800/);
  });
});

describe("servers without ranges", () => {
  test("a header is read from the start and the rest left", async () => {
    let sent = 0;
    handlers.plain = (_, response) => {
      response.writeHead(200, { "content-length": 2 ** 40 });
      response.write(header);
      const piece = new Uint8Array(MIB);
      const more = () => {
        while (!response.destroyed && response.write(piece)) sent += MIB;
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    };
    const plan = await openPlan(`${origin}/plain/model.gguf`);
    expect(plan.vocabulary).toBe(300_000);
    expect(sent).toBeLessThan(64 * MIB);
  });
  test("without a length either", async () => {
    handlers.chunked = whole(header);
    expect((await openPlan(`${origin}/chunked/model.gguf`)).width).toBe(64);
    handlers.endless = forever;
    await refuses(openPlan(`${origin}/endless/model.gguf`), /expected a config\.json or a GGUF file|the letters GGUF/);
    await refuses(readRemote(`${origin}/endless/config.json`, 1000), /got more than 1000 bytes, expected a small file/);
  });
});

describe("small files", () => {
  const config = JSON.stringify(llama);
  test("a config.json, at its address or at that of its page, by any name", async () => {
    handlers.org = (request, response) =>
      request.url === "/org/model/resolve/main/config.json"
        ? whole(config, { "content-type": "text/plain" })(request, response)
        : void response.writeHead(200, { "content-type": "text/html" }).end("<html>");
    for (const where of ["resolve", "blob"]) {
      const plan = await openPlan(`${origin}/org/model/${where}/main/config.json`);
      expect(plan).toMatchObject({ name: "model", width: 24, vocabulary: 40 });
    }
    expect(fileAddress("https://github.com/a/b/blob/main/c/config.json")).toBe(
      "https://github.com/a/b/raw/main/c/config.json",
    );
    handlers.odd = whole(config);
    expect((await openPlan(`${origin}/odd/settings?x=1`)).width).toBe(24);
    handlers.ranges = ranged(new TextEncoder().encode(config));
    expect((await openPlan(`${origin}/ranges/settings`)).width).toBe(24);
  });

  test("what is no config, or too large, or ends early", async () => {
    handlers.page = whole("<html>", { "content-type": "text/html; charset=utf-8" });
    await refuses(openPlan(`${origin}/page/config.json`), /page\/config\.json: got a web page, expected a file/);
    await refuses(openPlan(`${origin}/page/model.gguf`), /got a web page/);
    handlers.text = whole("<html>");
    await refuses(openPlan(`${origin}/text/config.json`), /got no JSON/);
    handlers.large = (_, response) => void response.writeHead(200, { "content-length": 1e12 }).flushHeaders();
    await refuses(openPlan(`${origin}/large/config.json`), /got 1000000000000 bytes, expected at most 16000000/);
    handlers.early = (_, response) => {
      response.writeHead(200, { "content-length": 100 }).write("{");
      setTimeout(() => response.destroy(), 50);
    };
    await refuses(
      openPlan(`${origin}/early/config.json`),
      /got (a connection that was closed|.*), expected the rest of the file|ended early/,
    );
    handlers.empty = (_, response) => void response.writeHead(416).end();
    await refuses(openPlan(`${origin}/empty/x.gguf`), /got an empty file/);
  });
});

describe("redirects", () => {
  test("a few are followed, and later ranges go to where they lead", async () => {
    const file = patterned(2 * MIB);
    handlers.end = ranged(file);
    handlers.two = to(() => "/end/file", 307);
    handlers.one = to(() => `${origin}/two`, 301);
    const source = await remoteSource(`${origin}/one`);
    await source.read(MIB, new Uint8Array(4));
    expect(asked.map(([path]) => path)).toEqual(["/one", "/two", "/end/file", "/end/file"]);
  });
  test("loops, dead ends and other protocols are refused", async () => {
    handlers.loop = to(() => "/loop/again");
    await refuses(readRemote(`${origin}/loop`, 10), /got more than 5 redirects/);
    expect(asked.length).toBe(6);
    handlers.file2 = to(() => "file:///etc/passwd");
    await refuses(readRemote(`${origin}/file2`, 10), /got file:, expected http or https/);
    // No server with a certificate here: what fetch gives for one that sends its visitors to plain http.
    vi.stubGlobal(
      "fetch",
      async () => new Response(null, { status: 302, headers: { location: "http://other.test/x" } }),
    );
    await refuses(readRemote("https://secure.test/config.json", 10), /got a redirect from https to http/);
    vi.unstubAllGlobals();
    handlers.nowhere = (_, response) => void response.writeHead(302).end();
    await refuses(readRemote(`${origin}/nowhere`, 10), /a redirect to nowhere/);
    handlers.bad = to(() => "http://[bad");
    await refuses(readRemote(`${origin}/bad`, 10), /a redirect to what is no address/);
  });
});

describe("what does not answer", () => {
  test("statuses", async () => {
    await refuses(openPlan(`${origin}/none/config.json`), /none\/config\.json: got status 404 \(no such file\)/);
    for (const [status, message] of [
      [401, /status 401 \(not allowed\)/],
      [403, /not allowed/],
      [500, /status 500, expected a file; try again later/],
      [204, /status 204, expected 200/],
    ] as const) {
      handlers.status = (_, response) => void response.writeHead(status).end();
      await refuses(readRemote(`${origin}/status`, 10), message);
    }
  });
  test("silence, slowness and closed connections", async () => {
    handlers.silent = () => {};
    await refuses(readRemote(`${origin}/silent`, 10, { ...patient, connect: 300 }), /got no answer in 300 ms/);
    handlers.stuck = (_, response) => void response.writeHead(200).write("{");
    await refuses(readRemote(`${origin}/stuck`, 10, { ...patient, idle: 300 }), /got nothing for 300 ms/);
    handlers.drip = (_, response) => {
      response.writeHead(200);
      const timer = setInterval(() => (response.destroyed ? clearInterval(timer) : response.write(" ")), 50);
    };
    await refuses(readRemote(`${origin}/drip`, 1000, { ...patient, whole: 500 }), /got nothing for \d+ ms/);
    handlers.closed = (request) => void request.socket.destroy();
    await refuses(readRemote(`${origin}/closed`, 10), /got a connection that was closed/);
    await refuses(
      readRemote("http://127.0.0.1:9/config.json", 10),
      /127\.0\.0\.1:9\/config\.json: got .*, expected an answer/,
    );
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    await refuses(openPlan(`http://127.0.0.1:${port}/config.json`), /got a connection refused/);
  });
  test("a user who gives up", async () => {
    handlers.silent = () => {};
    const controller = new AbortController();
    const waiting = openPlan(`${origin}/silent/config.json`, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(waiting).rejects.toThrow(/abort/i);
  });
  test("names and passwords in an address are not sent, and not shown", async () => {
    const error = await readRemote("http://me:secret@127.0.0.1/config.json", 10).catch((reason) => reason);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).not.toContain("secret");
  });
});
