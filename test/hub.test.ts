import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { RequestOptions } from "../src/file/request.ts";
import { type HubEnvironment, hubNameOf, openHub } from "../src/plan/hub.ts";
import { openPlan } from "../src/plan/open.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { FormatError } from "../src/tensor/error.ts";
import { ggufOf, key, line, text, u32 } from "./corpus/gguf.ts";
import { ranged } from "./fixture/range.ts";

// A hub on this machine, and a second server as the one that keeps its large files.

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
interface Local {
  readonly server: Server;
  readonly origin: string;
  /** What is answered, by path. */
  readonly files: Map<string, Handler>;
  /** Requests as they came: "PATH" and the token that came along. */
  readonly asked: [path: string, authorization: string | undefined][];
}

async function local(): Promise<Local> {
  const files: Local["files"] = new Map();
  const asked: Local["asked"] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    asked.push([path, request.headers.authorization]);
    const handler = files.get(path);
    if (handler) handler(request, response);
    else response.writeHead(404, { "x-error-code": "EntryNotFound" }).end("Entry not found");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, files, asked };
}

let [hub, store] = [] as unknown as [Local, Local];
beforeAll(async () => {
  hub = await local();
  store = await local();
});
beforeEach(() => {
  for (const { files, asked } of [hub, store]) {
    files.clear();
    asked.length = 0;
  }
});
afterAll(async () => {
  for (const { server } of [hub, store]) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const json =
  (value: unknown): Handler =>
  (_, response) =>
    void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
const status =
  (code: number, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    void response.writeHead(code, headers).end();
const to = (location: string, code = 302): Handler => status(code, { location });

const config = presetOf("qwen3-8b")!.config;
const open = (name: string, environment: HubEnvironment = {}, options?: RequestOptions & { files?: boolean }) =>
  openHub(hubNameOf(name)!, {}, { HF_ENDPOINT: hub.origin, ...environment }, options);
const refuses = async (promise: Promise<unknown>, ...messages: RegExp[]) => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FormatError);
  for (const message of messages) expect((error as Error).message).toMatch(message);
};

/** A model's header in GGUF, of one layer. */
function ggufHeader(tensors: readonly Uint8Array[], split: Record<string, number> = {}): Uint8Array {
  return ggufOf({
    keys: [
      key("general.architecture", 8, text("llama")),
      ...Object.entries({ embedding_length: 64, block_count: 1, feed_forward_length: 96, vocab_size: 32 }).map(
        ([name, n]) => key(`llama.${name}`, 4, u32(n)),
      ),
      key("llama.attention.head_count", 4, u32(4)),
      key("llama.attention.head_count_kv", 4, u32(2)),
      ...Object.entries(split).map(([name, n]) => key(`split.${name}`, 4, u32(n))),
    ],
    tensors: [...tensors],
  });
}
const outer = [line("token_embd.weight", [64, 32]), line("output_norm.weight", [64])];
const layer = [
  line("blk.0.attn_q.weight", [64, 64]),
  ...["k", "v"].map((part) => line(`blk.0.attn_${part}.weight`, [64, 32])),
  line("blk.0.attn_output.weight", [64, 64]),
  ...["gate", "up"].map((part) => line(`blk.0.ffn_${part}.weight`, [64, 96])),
  line("blk.0.ffn_down.weight", [96, 64]),
  ...["attn", "ffn"].map((part) => line(`blk.0.${part}_norm.weight`, [64])),
];
const gguf = ggufHeader([...outer, ...layer]);
const list = (...files: string[]) => json({ id: "a/b", siblings: files.map((rfilename) => ({ rfilename })) });

describe("names", () => {
  test("what is a model's name, and what stays a path, a preset or a spec", () => {
    expect(hubNameOf("Qwen/Qwen3-8B")).toMatchObject({ repository: "Qwen/Qwen3-8B", revision: "main" });
    expect(hubNameOf("a/b@refs/pr/3")).toMatchObject({ repository: "a/b", revision: "refs/pr/3" });
    expect(hubNameOf("a/b.v1@0f1e:UD-Q4_K_XL")).toMatchObject({
      repository: "a/b.v1",
      revision: "0f1e",
      tag: "UD-Q4_K_XL",
    });
    expect(hubNameOf("a/b/BF16/c-00001-of-00002.gguf")).toMatchObject({ file: "BF16/c-00001-of-00002.gguf" });
    for (const other of "deepseek-r1,./a/b,../a,a/..,a/b/c,/a/b,a/b/../c.gguf,a/config.json,a/b.gguf,a//b,MLA,[GQA*3,MLA],a/b@,a/b:".split(
      ",",
    ))
      expect(hubNameOf(other), other).toBeUndefined();
  });
  test("a folder of the name goes first, and that is said", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "biform-hub-"));
    const before = process.cwd();
    try {
      mkdirSync(join(scratch, "org/name"), { recursive: true });
      writeFileSync(join(scratch, "org/name/config.json"), JSON.stringify(config));
      process.chdir(scratch);
      vi.stubEnv("HF_ENDPOINT", hub.origin);
      const said: string[] = [];
      await openPlan("org/name", { say: (line) => void said.push(line) });
      expect(said).toEqual(["org/name is the folder here, not the model of that name on the hub"]);
      await openPlan("qwen3-8b", { say: (line) => void said.push(line) });
      expect(said).toHaveLength(1);
      expect(hub.asked).toEqual([]);
      await refuses(openPlan("org/other"), /^org\/other: got no such file/);
      expect(hub.asked.length).toBeGreaterThan(0);
    } finally {
      process.chdir(before);
      vi.unstubAllEnvs();
      rmSync(scratch, { recursive: true });
    }
  });
});

describe("config.json", () => {
  test("is read where the hub sends one, and is the same blueprint as from a disk", async () => {
    hub.files.set("/Qwen/Qwen3-8B/resolve/main/config.json", to("/api/resolve-cache/config.json", 307));
    hub.files.set("/api/resolve-cache/config.json", json(config));
    const { source, ...blueprint } = await open("Qwen/Qwen3-8B");
    expect(blueprint).toEqual(blueprintOfConfig(config, "Qwen3-8B"));
    expect(source).toBe(`${hub.origin}/Qwen/Qwen3-8B, revision main`);
  });
  test("of a revision, and of an endpoint with a path", async () => {
    hub.files.set("/hf/a/b/resolve/refs%2Fpr%2F3/config.json", json(config));
    expect((await open("a/b@refs/pr/3", { HF_ENDPOINT: `${hub.origin}/hf/` })).width).toBe(4096);
  });
  test("of what is no config is refused by its address", async () => {
    hub.files.set("/a/b/resolve/main/config.json", json({ model_type: "bert" }));
    await refuses(open("a/b"), /resolve\/main\/config\.json: config: got none of the keys that decide/);
    hub.files.set(
      "/a/b/resolve/main/config.json",
      (_, response) => void response.writeHead(200, { "content-length": 1e12 }).flushHeaders(),
    );
    await refuses(open("a/b"), /config\.json: got 1000000000000 bytes, expected at most 16000000/);
  });
});

describe("the token", () => {
  const token = { HF_TOKEN: "hf_secret" };
  test("is sent to the hub and along its own redirects, never to where large files lie", async () => {
    hub.files.set("/a/b/resolve/main/m.gguf", to("/elsewhere"));
    hub.files.set("/elsewhere", to(`${store.origin}/bucket/m?signed=1`));
    // Longer than a block, so that a second range is asked for.
    store.files.set("/bucket/m?signed=1", ranged(ggufHeader([...outer, ...layer, ...many()])));
    await open("a/b/m.gguf", token, {});
    expect(hub.asked.map(([, sent]) => sent)).toEqual(["Bearer hf_secret", "Bearer hf_secret"]);
    expect(store.asked.length).toBeGreaterThan(1);
    for (const [, sent] of store.asked) expect(sent).toBeUndefined();
  });
  test("is sent over plain http to this machine alone, and never to another host that a redirect names", async () => {
    const sent: [string, string | null][] = [];
    const answers = new Map<string, Response>();
    vi.stubGlobal("fetch", async (address: URL, { headers }: { headers: Record<string, string> }) => {
      sent.push([address.href, headers.authorization ?? null]);
      return answers.get(address.origin) ?? new Response(JSON.stringify(config));
    });
    try {
      await open("a/b", { ...token, HF_ENDPOINT: "http://mirror.test" });
      await open("a/b", { ...token, HF_ENDPOINT: "https://mirror.test" });
      await open("a/b", { ...token, HF_ENDPOINT: "http://localhost:9" });
      answers.set(
        "https://hub.test",
        new Response(null, { status: 302, headers: { location: "https://hub.test.evil.test/" } }),
      );
      await open("a/b", { ...token, HF_ENDPOINT: "https://hub.test" });
    } finally {
      vi.unstubAllGlobals();
    }
    expect(sent.map(([, authorization]) => authorization !== null)).toEqual([false, true, true, true, false]);
  });
  test("that cannot be one is refused without being told", async () => {
    await refuses(open("a/b", { HF_TOKEN: "hf_secret\nx: y" }), /^HF_TOKEN: got what no token is/, /^((?!secret).)*$/s);
    hub.files.set("/a/b/resolve/main/config.json", json(config));
    await open("a/b", { HF_TOKEN: " " });
    expect(hub.asked[0]![1]).toBeUndefined();
  });
});

/** Lines of a header for a MiB and more. */
function many(): Uint8Array[] {
  return Array.from({ length: 20_000 }, (_, i) => line(`rope_${"x".repeat(40)}_${i}.weight`, [1]));
}

describe("models that are not given", () => {
  test("behind terms: where to accept them, and which token", async () => {
    for (const code of [401, 403])
      hub.files.set(`/a/b${code}/resolve/main/config.json`, status(code, { "x-error-code": "GatedRepo" }));
    await refuses(open("a/b401"), /got a model behind terms/, /accept its terms at http.*\/a\/b401 and set HF_TOKEN/);
    await refuses(open("a/b403", { HF_TOKEN: "hf_x" }), /behind terms/, /use an HF_TOKEN that may read it/);
  });
  test("unknown to the hub, with the nearest preset", async () => {
    hub.files.set("/a/qwen3-8/resolve/main/config.json", status(401, { "x-error-code": "RepoNotFound" }));
    await refuses(open("a/qwen3-8"), /nearest preset is qwen3-8b/, /no model of this name/, /check the name.*HF_TOKEN/);
    await refuses(open("a/xyzzy-none"), /no such model, or no list of files of it/);
    expect(hub.asked.map(([path]) => path)).toContain("/api/models/a/xyzzy-none/revision/main");
  });
  test("of a revision that is not there, or at a time when the hub is busy", async () => {
    hub.files.set("/a/b/resolve/old/config.json", status(404, { "x-error-code": "RevisionNotFound" }));
    await refuses(open("a/b@old"), /^a\/b@old: got no revision old/);
    hub.files.set("/a/b/resolve/main/config.json", status(429));
    await refuses(open("a/b"), /status 429/, /try again later/);
  });
  test("without a network: one error that says where it was looked for", async () => {
    const free = await local();
    await new Promise((resolve) => free.server.close(resolve));
    await refuses(
      open("a/b", { HF_ENDPOINT: free.origin }),
      /^a\/b: got no such file, folder or preset here, and from/,
      /a connection refused/,
      /HF_ENDPOINT$/,
    );
  });
  test("endpoints that are none", async () => {
    for (const HF_ENDPOINT of ["huggingface.co", "file:///etc", "https://me:secret@hub.test", "https://hub.test?x"])
      await refuses(open("a/b", { HF_ENDPOINT }), /^HF_ENDPOINT: got/);
  });
  test("that lead in circles", async () => {
    hub.files.set("/a/b/resolve/main/config.json", to("/a/b/resolve/main/config.json"));
    await refuses(open("a/b"), /more than 5 redirects/);
    expect(hub.asked).toHaveLength(6);
  });
});

describe("GGUF files", () => {
  const api = "/api/models/a/b/revision/main";
  test("the only one is read, without the projector for images beside it", async () => {
    hub.files.set(api, list("README.md", "mmproj-F16.gguf", "b.imatrix.gguf", "b-Q8_0.gguf"));
    hub.files.set("/a/b/resolve/main/b-Q8_0.gguf", ranged(gguf));
    const blueprint = await open("a/b");
    expect(blueprint).toMatchObject({ name: "b-Q8_0", width: 64 });
    expect(blueprint.weightBytes).toBeGreaterThan(0);
  });
  test("one of several is named by its type or its file", async () => {
    hub.files.set(
      api,
      list("b-Q4_K_M.gguf", "b-Q4_K_S.gguf", "BF16/b-BF16-00001-of-00002.gguf", "BF16/b-BF16-00002-of-00002.gguf"),
    );
    hub.files.set("/a/b/resolve/main/b-Q4_K_M.gguf", ranged(gguf));
    hub.files.set("/a/b/resolve/main/BF16/b-BF16-00001-of-00002.gguf", ranged(ggufHeader(outer, { count: 2, no: 0 })));
    hub.files.set("/a/b/resolve/main/BF16/b-BF16-00002-of-00002.gguf", ranged(ggufHeader(layer, { count: 2, no: 1 })));
    expect((await open("a/b:q4_k_m")).name).toBe("b-Q4_K_M");
    expect((await open("a/b/b-Q4_K_M.gguf")).name).toBe("b-Q4_K_M");
    // Both parts' tensors count.
    expect((await open("a/b:BF16")).weightBytes).toBe((await open("a/b:Q4_K_M")).weightBytes);
    await refuses(open("a/b"), /got 3 GGUF files and no config\.json/, /a\/b\/FILE: b-Q4_K_M\.gguf, b-Q4_K_S\.gguf/);
    await refuses(open("a/b:Q2_K"), /got 0 GGUF files for Q2_K/);
    await refuses(open("a/b/none.gguf"), /no none\.gguf of it/);
  });
  test("lists that are none", async () => {
    const answers: [Handler, RegExp][] = [
      [list("model.safetensors"), /got no config\.json and no GGUF file/],
      [json([1]), /got no list of files/],
      [json({ siblings: Array.from({ length: 50_001 }, () => ({ rfilename: "a" })) }), /got no list of files/],
      [(_, response) => void response.writeHead(200).end("{"), /got no JSON/],
      [(_, response) => void response.writeHead(200).end(new Uint8Array(9e6)), /got .*8000000|more than 8000000/],
    ];
    for (const [answer, message] of answers) {
      hub.files.set(api, answer);
      await refuses(open("a/b"), message);
    }
  });
});

describe("weight files", () => {
  const tiny = {
    model_type: "llama",
    hidden_size: 512,
    num_hidden_layers: 1,
    num_attention_heads: 4,
    vocab_size: 4096,
    intermediate_size: 1024,
  };
  const shapes: Record<string, readonly number[]> = {
    "model.embed_tokens.weight": [4096, 512],
    "lm_head.weight": [4096, 512],
    "model.norm.weight": [512],
    ...Object.fromEntries(
      ["q", "k", "v", "o"].map((part) => [`model.layers.0.self_attn.${part}_proj.weight`, [512, 512]]),
    ),
    ...Object.fromEntries(["gate", "up"].map((part) => [`model.layers.0.mlp.${part}_proj.weight`, [1024, 512]])),
    "model.layers.0.mlp.down_proj.weight": [512, 1024],
    "model.layers.0.input_layernorm.weight": [512],
    "model.layers.0.post_attention_layernorm.weight": [512],
  };
  /** A safetensors file of zeros in 8-bit floats. */
  const shard = (names: readonly string[]): Uint8Array => {
    let at = 0;
    const entries = names.map((name) => {
      const shape = shapes[name]!;
      const begin = at;
      at += shape.reduce((a, b) => a * b, 1);
      return [name, { dtype: "F8_E4M3", shape, data_offsets: [begin, at] }];
    });
    const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
    const file = new Uint8Array(8 + header.length + at);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    return file;
  };
  const names = Object.keys(shapes);
  const put = () => {
    const base = "/a/b/resolve/main/";
    const parts = {
      "model-00001-of-00002.safetensors": names.slice(0, 2),
      "model-00002-of-00002.safetensors": names.slice(2),
    };
    hub.files.set(`${base}config.json`, json(tiny));
    hub.files.set(
      "/api/models/a/b/revision/main",
      list("config.json", "model.safetensors.index.json", ...Object.keys(parts)),
    );
    const weight_map = Object.fromEntries(
      Object.entries(parts).flatMap(([file, own]) => own.map((name) => [name, file])),
    );
    hub.files.set(`${base}model.safetensors.index.json`, json({ metadata: {}, weight_map }));
    for (const [file, own] of Object.entries(parts)) hub.files.set(base + file, ranged(shard(own)));
    return base;
  };

  test("say their bytes by their headers, of which little is fetched, and only where that is asked for", async () => {
    put();
    const { weightBytes: none } = await open("a/b");
    expect(none).toBeUndefined();
    expect(hub.asked).toHaveLength(1);
    const fetched: number[] = [];
    const { weightBytes } = await open("a/b", {}, { files: true, watch: (bytes) => void fetched.push(bytes) });
    const all = Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
    expect(weightBytes).toBe(all);
    expect(all).toBeGreaterThan(6e6);
    expect(fetched.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(300_000);
  });
  test("that are not what the index says", async () => {
    const base = put();
    hub.files.set(`${base}model-00002-of-00002.safetensors`, ranged(shard(names)));
    await refuses(open("a/b", {}, { files: true }), /got the tensor .*, expected it in one file only/);
    hub.files.set(`${base}model-00002-of-00002.safetensors`, ranged(new Uint8Array(5000).fill(255)));
    await refuses(
      open("a/b", {}, { files: true }),
      /model-00002-of-00002\.safetensors: byte 0: got a header length of/,
    );
    hub.files.set(`${base}model.safetensors.index.json`, json({ weight_map: { x: "../../x.safetensors" } }));
    await refuses(open("a/b", {}, { files: true }), /weight_map: got .*x\.safetensors, expected/);
    hub.files.set(`${base}model.safetensors.index.json`, json([]));
    await refuses(open("a/b", {}, { files: true }), /index\.json: top level/);
  });
});

describe("the command", () => {
  const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
  const biform = (...args: string[]) => {
    const child = spawn(process.execPath, [bin, "plan", ...args], {
      env: { ...process.env, HF_ENDPOINT: hub.origin, HF_TOKEN: "" },
    });
    let [out, err] = ["", ""];
    child.stdout.on("data", (piece) => {
      out += piece;
    });
    child.stderr.on("data", (piece) => {
      err += piece;
    });
    const ended = new Promise<{ code: number | null; out: string; err: string }>((resolve) =>
      child.on("close", (code) => resolve({ code, out, err })),
    );
    return { child, ended, err: () => err };
  };
  test("plans a model of the hub", async () => {
    hub.files.set("/Qwen/Qwen3-8B/resolve/main/config.json", json(config));
    const { code, out, err } = await biform("Qwen/Qwen3-8B", "--json").ended;
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(JSON.parse(out).model).toMatchObject({
      name: "Qwen3-8B",
      layers: 36,
      source: `${hub.origin}/Qwen/Qwen3-8B, revision main`,
    });
  });
  test("says after two seconds that it waits, and ends at Ctrl-C", async () => {
    hub.files.set("/a/b/resolve/main/config.json", (_, response) => void response.writeHead(200).write("{"));
    const { child, ended, err } = biform("a/b");
    await vi.waitFor(() => expect(err()).toMatch(/^reading a\/b: 1 B after \d+ s/), { timeout: 60_000 });
    child.kill("SIGINT");
    const { code, out } = await ended;
    expect(code).toBe(130);
    expect(out).toBe("");
    expect(err()).not.toMatch(/^\s+at /m);
  });
});
