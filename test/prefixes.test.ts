import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../src/batch/engine.ts";
import { Prefixes } from "../src/batch/prefixes.ts";
import { divideFree, Room } from "../src/batch/room.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { promptLogits } from "../src/generate/logits.ts";
import { scoreToken } from "../src/generate/score.ts";
import { cacheBytes, Session } from "../src/generate/session.ts";
import type { Speaker } from "../src/generate/text.ts";
import { long } from "./extent.ts";
import { alone, answer, promptOf, speakerOf } from "./fixture/speaker.ts";

// What requests share, what they must not, and that all of it is given back.

let device: WasmDevice;
let latent: Speaker;
let hybrid: Speaker;
beforeAll(async () => {
  device = await WasmDevice.open({ threads: 1, poison: true });
  latent = speakerOf(device);
  hybrid = speakerOf(device, "[KDA,MLA]");
});
afterAll(() => device.close());

const join = (...parts: readonly ArrayLike<number>[]) => Int32Array.from(parts.flatMap((part) => Array.from(part)));
const system = promptOf(500, 3);

describe("a prefix that another request has read", () => {
  test("is not read again, and the text is the same", async () => {
    const engine = new Engine(latent);
    for (const [i, question] of [promptOf(7, 1), promptOf(9, 2)].entries()) {
      const request = { ids: join(system, question), maxTokens: 20, temperature: 0 };
      const given = await answer(engine, request);
      expect(given.usage!.cached).toBe(i ? 500 : 0);
      expect(given.prompts).toMatchObject([{ cached: i ? 500 : 0 }]);
      expect(given.ids).toEqual((await alone(latent, request)).ids);
    }
    expect(engine.figures).toMatchObject({ tokensRead: 507 + 9, tokensCached: 500, prefixHits: 1 });
    await engine.close();
  });

  test("is there for the next turn of a conversation, with all that was written", async () => {
    const engine = new Engine(latent);
    const first = await answer(engine, { ids: system, maxTokens: 30, temperature: 0 });
    const ids = join(system, first.ids, promptOf(11, 5));
    const next = await answer(engine, { ids, maxTokens: 10, temperature: 0 });
    // The last token that was written had not been run.
    expect(next.usage!.cached).toBe(500 + 29);
    expect(next.ids).toEqual((await alone(latent, { ids, maxTokens: 10, temperature: 0 })).ids);
    await engine.close();
  });

  test("is read once by requests that come together, and each draws by its own seed", async () => {
    const engine = new Engine(latent);
    const requests = [1, 2, 3, 4].map((seed) => ({ ids: system, maxTokens: 12, seed }));
    const answers = await Promise.all(requests.map((request) => answer(engine, request)));
    expect(answers.map(({ usage }) => usage!.cached)).toEqual([0, 499, 499, 499]);
    expect(engine.figures.tokensRead).toBe(503);
    for (const [i, request] of requests.entries()) expect(answers[i]!.ids).toEqual((await alone(latent, request)).ids);
    await engine.close();
  });

  test("over states it is gone on from where they were kept: at the end, at a snapshot, and where two have parted", async () => {
    const engine = new Engine(hybrid);
    const cached: number[] = [];
    for (const question of [1, 2, 3]) {
      const request = { ids: join(system, promptOf(7, question)), maxTokens: 9, temperature: 0 };
      const given = await answer(engine, request);
      cached.push(given.usage!.cached);
      expect(given.ids).toEqual((await alone(hybrid, request)).ids);
      if (question > 1) continue;
      const ids = join(request.ids, given.ids, promptOf(4, 8));
      const next = await answer(engine, { ids, maxTokens: 4, temperature: 0 });
      expect(next.usage!.cached).toBe(507 + 8);
    }
    // The second finds the snapshot before the place, however long the steps were, and leaves its states there for the third.
    expect(cached).toEqual([0, 256, 500]);
    await engine.close();
  });

  test("over states, too, what is shorter than a snapshot's spacing is there for the third", async () => {
    const engine = new Engine(hybrid);
    const cached: number[] = [];
    for (const question of [1, 2, 3]) {
      const request = { ids: join(system.subarray(0, 200), promptOf(7, question)), maxTokens: 3, temperature: 0 };
      const given = await answer(engine, request);
      cached.push(given.usage!.cached);
      expect(given.ids).toEqual((await alone(hybrid, request)).ids);
    }
    expect(cached).toEqual([0, 0, 200]);
    await engine.close();
  });

  test("over states, too, those that come together read it once", async () => {
    const engine = new Engine(hybrid);
    const requests = [1, 2, 3].map((seed) => ({ ids: system, maxTokens: 6, seed }));
    const answers = await Promise.all(requests.map((request) => answer(engine, request)));
    expect(answers.map(({ usage }) => usage!.cached)).toEqual([0, 499, 499]);
    for (const [i, request] of requests.entries()) expect(answers[i]!.ids).toEqual((await alone(hybrid, request)).ids);
    await engine.close();
  });

  test("scores of a prompt come from running all of it, and are those of its logits", async () => {
    const engine = new Engine(latent, { chunk: 33 });
    await answer(engine, { ids: system, maxTokens: 0 });
    const given = await answer(engine, { ids: system, maxTokens: 0, promptLogprobs: 2 });
    expect(given.usage!.cached).toBe(0);
    const { scores } = given.prompts[0]!;
    expect(scores!.map(({ id }) => id)).toEqual([...system.subarray(1)]);
    const logits = (await promptLogits(new Session(latent.model, latent.weights), system))!;
    for (const [i, score] of scores!.entries()) {
      const expected = scoreToken(logits.subarray(256 * i, 256 * (i + 1)), system[i + 1]!, 2);
      expect(score.top.map(({ id }) => id)).toEqual(expected.top.map(({ id }) => id));
      expect(Math.abs(score.logprob - expected.logprob)).toBeLessThan(1e-4);
    }
    await engine.close();
  });
});

describe("realms", () => {
  test("share nothing: neither what is kept nor what is being read", async () => {
    const engine = new Engine(latent);
    const request = { ids: system, maxTokens: 8, temperature: 0 };
    const realms = ["a", "b", undefined, ""];
    const answers = await Promise.all(realms.map((realm) => answer(engine, { ...request, realm })));
    // No name is the empty name.
    expect(answers.map(({ usage }) => usage!.cached)).toEqual([0, 0, 0, 499]);
    const again = await Promise.all(["a", "c"].map((realm) => answer(engine, { ...request, realm })));
    expect(again.map(({ usage }) => usage!.cached)).toEqual([499, 0]);
    await engine.close();
  });
});

describe("memory", () => {
  test("prefixes give theirs to whoever runs, what was of no use the longest first", async () => {
    const before = device.liveBytes;
    const bytes = 8 * cacheBytes(latent.model, 96);
    const engine = new Engine(latent, { bytes });
    const ask = async (seed: number) =>
      (await answer(engine, { ids: promptOf(250, seed), maxTokens: 4 })).usage!.cached;
    expect([await ask(1), await ask(2), await ask(1)]).toEqual([0, 0, 249]);
    // A third one takes the place of the second.
    expect([await ask(3), await ask(1), await ask(2)]).toEqual([0, 249, 0]);
    expect(engine.figures.prefixEvictions).toBeGreaterThan(0);
    expect(device.liveBytes - before).toBeLessThanOrEqual(bytes);
    await engine.close();
    expect(device.liveBytes).toBe(before);
  });

  test("what others begin with outlives what only one has", async () => {
    const engine = new Engine(latent, { bytes: 9 * cacheBytes(latent.model, 96) });
    const ask = async (ids: Int32Array) => (await answer(engine, { ids, maxTokens: 4 })).usage!.cached;
    await ask(join(system.subarray(0, 192), promptOf(90, 1)));
    await ask(join(system.subarray(0, 192), promptOf(90, 2)));
    await ask(promptOf(500, 9));
    expect(engine.figures.prefixEvictions).toBeGreaterThan(0);
    expect(await ask(join(system.subarray(0, 192), promptOf(90, 4)))).toBe(192);
    await engine.close();
  });

  test("what goes first is what one sequence has behind the last fork, and its pages go with it", () => {
    const before = device.liveBytes;
    const page = cacheBytes(latent.model, 96);
    const prefixes = new Prefixes(new Room(latent.model, latent.weights, "f32"), (start, end) => end - start);
    const keep = (ids: Int32Array) => {
      const session = new Session(latent.model, latent.weights);
      session.append(ids).free();
      prefixes.keep("", session);
    };
    const common = system.subarray(0, 192);
    keep(join(common, promptOf(90, 1)));
    const first = prefixes.find("", join(common, promptOf(90, 2)))!;
    expect([first.common, first.length]).toEqual([192, 192]);
    const fork = first.session.fork();
    fork.rewind(192);
    fork.append(promptOf(90, 2)).free();
    prefixes.keep("", fork);
    const held = [device.liveBytes - before];
    for (let i = 0; i < 3; i++) {
      expect(prefixes.evict()).toBe(true);
      held.push(device.liveBytes - before);
    }
    expect(held.map((bytes) => bytes / page)).toEqual([4, 3, 2, 0]);
    expect([prefixes.evict(), prefixes.bytes, prefixes.nodes]).toEqual([false, 0, 0]);
  });

  test.each(["latent", "hybrid"])("those of %s layers keep to their limit, shared ones counted once", async (kind) => {
    const speaker = kind === "latent" ? latent : hybrid;
    const before = device.liveBytes;
    const limit = 7 * cacheBytes(speaker.model, 96);
    const engine = new Engine(speaker, { prefixes: limit });
    const kept: number[] = [];
    for (let seed = 0; seed < 8; seed++) {
      // Some begin alike, and one of these reads all of it again, since its scores are asked for: its pages are its own.
      const ids = join(seed % 3 ? promptOf(190, 9) : [], promptOf(40 * seed + 20, seed));
      await answer(engine, { ids, maxTokens: 3, promptLogprobs: seed === 4 ? 1 : undefined });
      expect(engine.figures.prefixBytes).toBe(device.liveBytes - before);
      kept.push(engine.figures.prefixBytes);
    }
    expect(Math.max(...kept)).toBeLessThanOrEqual(limit);
    expect(Math.max(...kept)).toBeGreaterThan(limit / 2);
    expect(engine.figures.prefixEvictions).toBeGreaterThan(0);
    await engine.close();
    expect(device.liveBytes).toBe(before);
  });

  test("none are kept where their limit is 0", async () => {
    const before = device.liveBytes;
    const engine = new Engine(latent, { prefixes: 0 });
    for (const _ of [1, 2]) expect((await answer(engine, { ids: system, maxTokens: 3 })).usage!.cached).toBe(0);
    expect(device.liveBytes).toBe(before);
    await engine.close();
  });

  test("an aborted request gives its pages back within a step, one that waits at once", async () => {
    const engine = new Engine(latent, { slots: 1 });
    const before = device.liveBytes;
    const controller = new AbortController();
    const run = answer(engine, { ids: system, maxTokens: 5000, signal: controller.signal }, (event) => {
      if (event.kind === "token") controller.abort();
    });
    const waiting = engine.submit({ ids: system, maxTokens: 5 });
    expect(await waiting.next()).toMatchObject({ value: { kind: "queued", place: 1 } });
    const none = waiting.next();
    await waiting.return();
    expect(await none).toEqual({ done: true, value: undefined });
    const { finish, tokens, usage } = await run;
    expect(finish).toBe("abort");
    expect(tokens.length).toBeLessThanOrEqual(2);
    expect(usage!.bytes).toBeGreaterThan(0);
    expect(device.liveBytes).toBe(before);
    expect(engine.figures).toMatchObject({ aborted: 2, finished: 0, running: 0, queued: 0 });
    await engine.close();
  });

  test("whatever comes and goes, all memory is back at the end, and each answer is its own", async () => {
    const actionOf = fc.record({
      prompt: fc.constantFrom(0, 1, 2),
      length: fc.integer({ min: 1, max: 260 }),
      maxTokens: fc.nat(40),
      realm: fc.constantFrom("a", "b"),
      /** Given up after so many events. */
      stay: fc.option(fc.nat(20), { nil: undefined }),
      /** Turns of the event loop before it comes. */
      pause: fc.nat(5),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(latent, hybrid),
        fc.array(actionOf, { minLength: 1, maxLength: 14 }),
        fc.integer({ min: 3, max: 20 }),
        async (speaker, actions, pages) => {
          const before = device.liveBytes;
          const state = cacheBytes(speaker.model, 0);
          const bytes = pages * (cacheBytes(speaker.model, 96) - state) + 12 * state;
          const engine = new Engine(speaker, { bytes, slots: 3, chunk: 64 });
          const runs: Promise<void>[] = [];
          for (const { prompt, length, maxTokens, realm, stay, pause } of actions) {
            for (let i = 0; i < pause; i++) await new Promise((resolve) => setImmediate(resolve));
            const request = { ids: promptOf(length, prompt), maxTokens, temperature: 0, realm };
            if (length + maxTokens > engine.context) continue;
            const run = async () => {
              const ids: number[] = [];
              let [events, ended] = [0, false];
              for await (const event of engine.submit(request)) {
                if (event.kind === "token") ids.push(event.id);
                ended ||= event.kind === "end";
                if (stay !== undefined && events++ >= stay) break;
              }
              const expected = (await alone(speaker, request)).ids;
              expect(ids).toEqual(expected.slice(0, ids.length));
              if (stay === undefined) expect([ended, ids.length]).toEqual([true, maxTokens]);
            };
            runs.push(run());
          }
          await Promise.all(runs);
          expect(engine.figures).toMatchObject({ running: 0, queued: 0 });
          await engine.close();
          expect(device.liveBytes).toBe(before);
        },
      ),
      { numRuns: long ? 100 : 8 },
    );
  });
});

test("models that are opened together have equal parts of nine tenths of what their weights leave", () => {
  expect(divideFree([30, 10], 140)).toBeCloseTo(45);
  expect(divideFree([30, 10, 0], 140)).toBeCloseTo(30);
  expect(divideFree([100, 100], 140)).toBe(0);
});
