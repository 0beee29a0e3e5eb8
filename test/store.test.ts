import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Engine, type EngineOptions } from "../src/batch/engine.ts";
import type { Request } from "../src/batch/request.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import type { Speaker } from "../src/generate/text.ts";
import { alone, answer, promptOf, speakerOf } from "./fixture/speaker.ts";

// Prefixes in files: after a restart, on disks that are full and among files that are none.

let device: WasmDevice;
let speaker: Speaker;
let dir = "";
beforeAll(async () => {
  device = await WasmDevice.open({ threads: 1 });
  speaker = speakerOf(device);
});
afterAll(() => device.close());
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-store-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const request: Request = { ids: promptOf(300, 1), maxTokens: 8, temperature: 0 };

/** One life of an engine over the folder: what each request got from caches, the notes, the figures. */
async function live(of: Speaker, requests: readonly Request[], options: EngineOptions = {}) {
  const notes: string[] = [];
  const engine = new Engine(of, { cacheDir: dir, warn: (line) => notes.push(line), ...options });
  const cached = [];
  for (const one of requests) {
    const given = await answer(engine, one);
    expect(given.ids).toEqual((await alone(of, one)).ids);
    cached.push(given.usage!.cached);
  }
  await engine.drain();
  const { figures } = engine;
  await engine.close();
  return { cached, notes, figures };
}

const files = async () => {
  const [folder = ""] = await readdir(dir);
  return (await readdir(join(dir, folder))).map((name) => join(dir, folder, name));
};

describe.each([
  ["latents and keys", "[MLA,GQA2-(192+64)-S2]"],
  ["states", "[KDA,MLA]"],
])("after a restart, over %s,", (_, spec) => {
  test("prefixes are there for their realm and model", async () => {
    const own = speakerOf(device, spec);
    const before = device.liveBytes;
    expect((await live(own, [{ ...request, realm: "one" }])).cached).toEqual([0]);
    const first = await alone(own, request);
    const next = { ...request, ids: Int32Array.from([...request.ids, ...first.ids, 5, 6]) };
    const { cached, notes, figures } = await live(own, [{ ...next, realm: "one" }, next]);
    expect(cached).toEqual([307, 0]);
    expect(notes).toEqual([]);
    expect(figures.tokensRead).toBe(3 + 310);
    expect(device.liveBytes).toBe(before);
    const other = speakerOf(device, "[MLA,MLA]");
    expect((await live(other, [next])).cached).toEqual([0]);
    for (const t of [...own.weights.values(), ...other.weights.values()]) t.free();
  });
});

test("what a conversation has outgrown goes; what it begins with is found in what is left", async () => {
  await live(speaker, [request]);
  const [first] = await files();
  const { ids } = await alone(speaker, request);
  const longer = Int32Array.from([...request.ids, ...ids, ...promptOf(100, 9)]);
  expect((await live(speaker, [{ ...request, ids: longer }])).cached).toEqual([307]);
  expect(await files()).not.toContain(first);
  expect(await files()).toHaveLength(1);
  expect((await live(speaker, [{ ...request, ids: longer.subarray(0, 350) }])).cached).toEqual([349]);
});

describe("files that are none", () => {
  test.each([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, bytes.length - 7)],
    ["of other bytes", () => Buffer.from("not a file of ours")],
    [
      "of another format",
      (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace("session 1", "session 9"), "latin1"),
    ],
    [
      "of another model",
      (bytes: Buffer) => Buffer.from(bytes.toString("latin1").replace(/("model":")../, "$1zz"), "latin1"),
    ],
  ])("%s are deleted with a note", async (_, damage) => {
    await live(speaker, [request]);
    const [path] = await files();
    const whole = await readFile(path!);
    await writeFile(path!, damage(whole));
    const { cached, notes } = await live(speaker, [request]);
    expect(cached).toEqual([0]);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(path!);
    // Written anew.
    expect((await readFile(path!)).equals(whole)).toBe(true);
  });

  test("of other names are left alone", async () => {
    await live(speaker, [request]);
    const [path] = await files();
    const other = join(path!, "..", "notes.txt");
    await writeFile(other, "mine");
    expect((await live(speaker, [request])).notes).toEqual([]);
    expect(await readFile(other, "utf8")).toBe("mine");
  });
});

describe("a disk", () => {
  test("holds no more than it may: what is used least goes", async () => {
    await live(speaker, [request]);
    const { size } = await stat((await files())[0]!);
    const others = [2, 3, 4].map((seed) => ({ ...request, ids: promptOf(300, seed) }));
    const { figures } = await live(speaker, others, { cacheDirBytes: 2.5 * size });
    expect(figures.diskBytes).toBe(2 * size);
    expect(await files()).toHaveLength(2);
    const none = await live(speaker, [request], { cacheDirBytes: size / 2 });
    expect([none.figures.diskBytes, none.notes]).toEqual([0, []]);
  });

  test("that refuses is told once, and the engine goes on", async () => {
    const notes: string[] = [];
    const engine = new Engine(speaker, { cacheDir: dir, warn: (line) => notes.push(line) });
    await answer(engine, request);
    await expect.poll(() => engine.figures.diskBytes).toBeGreaterThan(0);
    // As good as full: a file where the folder was.
    const [folder = ""] = await readdir(dir);
    await rm(join(dir, folder), { recursive: true });
    await writeFile(join(dir, folder), "");
    for (const seed of [5, 6, 7]) {
      const one = { ...request, ids: promptOf(300, seed) };
      expect((await answer(engine, one)).ids).toEqual((await alone(speaker, one)).ids);
    }
    await engine.drain();
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/expected to write it; .*prefixes are no longer written/);
    expect(engine.figures).toMatchObject({ diskWrites: false, healthy: true, finished: 4, failed: 0 });
    await engine.close();
  });

  test("whose folder cannot be made is told, and nothing is written", async () => {
    await writeFile(join(dir, "file"), "");
    const { cached, notes, figures } = await live(speaker, [request, request], { cacheDir: join(dir, "file") });
    expect(cached).toEqual([0, 299]);
    expect(notes).toHaveLength(1);
    expect(figures.diskWrites).toBe(false);
  });
});
