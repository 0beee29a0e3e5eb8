import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../src/batch/engine.ts";
import { Refused, type Request } from "../src/batch/request.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { cacheBytes } from "../src/generate/session.ts";
import type { Speaker } from "../src/generate/text.ts";
import { together } from "../src/server/together.ts";
import { DeviceError, FormatError } from "../src/tensor/error.ts";
import type { Numbers } from "../src/tensor/tensor.ts";
import { alone, answer, promptOf, speakerOf } from "./fixture/speaker.ts";

// Many requests at once over one small model.

let device: WasmDevice;
let speaker: Speaker;
beforeAll(async () => {
  device = await WasmDevice.open({ threads: 1, poison: true });
  speaker = speakerOf(device);
});
afterAll(() => device.close());

describe("eight requests at once", () => {
  test.each([
    ["latents and keys", "[MLA,GQA2-(192+64)-S2]"],
    ["states", "[KDA,MLA]"],
  ])("write what each writes alone, over %s", async (_, spec) => {
    const own = speakerOf(device, spec);
    const before = device.liveBytes;
    const engine = new Engine(own, { slots: 8, chunk: 40 });
    const requests: Request[] = Array.from({ length: 8 }, (_, i) => ({
      ids: promptOf(3 + 29 * i, i),
      maxTokens: 60 + ((7 * i) % 20),
      temperature: i % 2 ? 0.8 : 0,
      seed: i,
      repetitionPenalty: 1 + i / 10,
    }));
    const answers = await Promise.all(requests.map((request) => answer(engine, request)));
    for (const [i, request] of requests.entries()) {
      const expected = await alone(own, request);
      expect(answers[i]!.ids, `request ${i}`).toEqual(expected.ids);
      expect(answers[i]!.text).toBe(expected.text);
      expect(answers[i]!.finish).toBe("length");
      expect(answers[i]!.usage).toMatchObject({ prompt: request.ids.length, written: request.maxTokens, cached: 0 });
    }
    // They did run together.
    const { steps, stepsUpTo } = engine.figures;
    expect(steps).toBeGreaterThan(stepsUpTo[4]!);
    expect(engine.figures).toMatchObject({ finished: 8, running: 0, queued: 0, tokensWritten: 536 });
    await engine.close();
    expect(device.liveBytes).toBe(before);
    for (const t of own.weights.values()) t.free();
  });
});

describe("room", () => {
  test("what can never fit is refused at once, with the numbers", async () => {
    const bytes = 4 * cacheBytes(speaker.model, 96);
    const engine = new Engine(speaker, { bytes, context: 1000 });
    expect(engine.context).toBe(4 * 96);
    const refused = answer(engine, { ids: promptOf(300, 1), maxTokens: 85 });
    await expect(refused).rejects.toThrow(Refused);
    await expect(refused).rejects.toThrow(/got 300 tokens and 85 to write, expected at most 384 in all, 0 MiB/);
    await expect(refused).rejects.toMatchObject({ reason: "size", part: "maxTokens" });
    expect((await answer(engine, { ids: promptOf(300, 1), maxTokens: 84 })).finish).toBe("length");
    expect(engine.figures).toMatchObject({ refused: 1, finished: 1 });
    await engine.close();
  });

  test("those that outgrow it give way to older ones and still write the same", async () => {
    // Each ends with three pages of tokens; there are four in all.
    const bytes = 4 * cacheBytes(speaker.model, 96);
    const engine = new Engine(speaker, { bytes, context: 288, slots: 4 });
    const before = device.liveBytes;
    let most = 0;
    const requests = Array.from({ length: 4 }, (_, i) => ({ ids: promptOf(80, i), maxTokens: 150, temperature: 0 }));
    const answers = await Promise.all(
      requests.map((request) =>
        answer(engine, request, () => {
          most = Math.max(most, device.liveBytes - before);
        }),
      ),
    );
    for (const [i, request] of requests.entries()) expect(answers[i]!.ids).toEqual((await alone(speaker, request)).ids);
    expect(engine.figures.paused).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(bytes);
    await engine.close();
    expect(device.liveBytes).toBe(before);
  });

  test("places in the queue are told in order, and a full one refuses", async () => {
    const engine = new Engine(speaker, { slots: 1, queue: 2 });
    const requests = Array.from({ length: 4 }, (_, i) => ({ ids: promptOf(9, i), maxTokens: 6 }));
    const answers = await Promise.allSettled(requests.map((request) => answer(engine, request)));
    const told = answers.map((one) => (one.status === "fulfilled" ? one.value.places : one.reason));
    expect(told.slice(0, 3)).toEqual([[], [1], [2, 1]]);
    expect(told[3]).toBeInstanceOf(Refused);
    expect((told[3] as Refused).reason).toBe("queue");
    await engine.close();
  });

  test("a queue of none takes what runs at once, and one request of many sequences has as many places as there are", async () => {
    const engine = new Engine(speaker, { slots: 2, queue: 0 });
    const requests = Array.from({ length: 5 }, (_, i) => ({ ids: promptOf(9, i), maxTokens: 3 + i }));
    const ends: string[] = [];
    const runs = requests.map((request) => () => engine.submit(request));
    for await (const { index, event } of together(runs, 8, () => {}))
      if (event.kind === "end") ends[index] = `${event.finish} ${event.usage.written}`;
    expect(ends).toEqual(requests.map(({ maxTokens }) => `length ${maxTokens}`));
    // Where others have all places, it is refused.
    const others = [7, 8].map((i) => answer(engine, { ids: promptOf(9, i), maxTokens: 4 }));
    await expect(together(runs, 8, () => {}).next()).rejects.toMatchObject({ reason: "queue" });
    await Promise.all(others);
    await engine.close();
  });
});

describe("what goes wrong", () => {
  test("memory that ends in a step stops nobody: all read again, fewer at once", async () => {
    const own = speakerOf(device);
    const before = device.liveBytes;
    const engine = new Engine(own, { chunk: 30 });
    const requests = Array.from({ length: 4 }, (_, i) => ({
      ids: promptOf(120, i),
      maxTokens: 30,
      temperature: 0,
      promptLogprobs: 0,
    }));
    const allocate = device.allocate.bind(device);
    let failures = 0;
    device.allocate = (elements) => {
      // In the midst of prompts, of which 480 tokens are to be read, and again as they are read once more.
      if (engine.figures.tokensRead >= [60, 250, 450, Number.POSITIVE_INFINITY][failures]!) {
        failures++;
        throw new DeviceError("no memory, for once");
      }
      return allocate(elements);
    };
    try {
      const answers = await Promise.all(requests.map((request) => answer(engine, request)));
      expect(failures).toBe(3);
      expect(engine.figures).toMatchObject({ finished: 4, failed: 0, healthy: true });
      device.allocate = allocate;
      for (const [i, request] of requests.entries()) {
        expect(answers[i]!.ids).toEqual((await alone(own, request)).ids);
        expect(answers[i]!.prompts[0]!.scores).toHaveLength(119);
      }
    } finally {
      device.allocate = allocate;
    }
    await engine.close();
    expect(device.liveBytes).toBe(before);
    for (const t of own.weights.values()) t.free();
  });

  test("an error of one is told to it alone", async () => {
    const engine = new Engine(speaker);
    const constraint = {
      mask() {
        throw new FormatError("grammar: got none");
      },
      accept() {},
      free() {},
    };
    const request = { ids: promptOf(20, 1), maxTokens: 6, temperature: 0 };
    const [bad, good] = await Promise.allSettled([
      answer(engine, { ...request, constraint }),
      answer(engine, { ...request, realm: "another" }),
    ]);
    expect(bad).toMatchObject({ status: "rejected", reason: { message: "grammar: got none" } });
    expect(good).toMatchObject({ status: "fulfilled", value: { ids: (await alone(speaker, request)).ids } });
    expect(engine.figures).toMatchObject({ finished: 1, failed: 1, healthy: true });
    await engine.close();
  });

  test("a device that ends is told to all, and to whoever comes later", async () => {
    const mortal = await WasmDevice.open({ threads: 1 });
    const engine = new Engine(speakerOf(mortal), { slots: 1 });
    const request = { ids: promptOf(20, 1), maxTokens: 500 };
    const runs = [1, 2].map(() =>
      answer(engine, request, (event) => {
        if (event.kind === "token") mortal.close();
      }),
    );
    for (const run of runs) await expect(run).rejects.toThrow(/got a device that has failed .* load the model again/);
    expect(engine.figures).toMatchObject({ healthy: false, running: 0, queued: 0, failed: 2 });
    await expect(answer(engine, request)).rejects.toThrow(DeviceError);
    await engine.close();
  });

  test("time that is over in the queue and in all", async () => {
    const engine = new Engine(speaker, { slots: 1, timeouts: { queue: 0.02, total: 0.2 } });
    const request = { ids: promptOf(20, 1), maxTokens: 100_000 };
    const [runs, waits] = await Promise.allSettled([answer(engine, request), answer(engine, request)]);
    expect(runs).toMatchObject({ status: "rejected", reason: { name: "Refused", reason: "time" } });
    expect(waits).toMatchObject({ status: "rejected", reason: { name: "Refused", reason: "time" } });
    expect((waits as PromiseRejectedResult).reason.message).toMatch(/in the queue, expected at most 0.02 s/);
    await engine.close();
  });

  test("an engine that drains ends what it has and takes no more", async () => {
    const engine = new Engine(speaker, { slots: 1 });
    const runs = [1, 2].map((i) => answer(engine, { ids: promptOf(20, i), maxTokens: 5 }));
    const drained = engine.drain();
    await expect(answer(engine, { ids: promptOf(9, 1) })).rejects.toMatchObject({ reason: "closing" });
    await drained;
    expect((await Promise.all(runs)).map(({ finish }) => finish)).toEqual(["length", "length"]);
    await engine.close();
  });
});

describe("a request", () => {
  test("that is none is refused by name", async () => {
    const engine = new Engine(speaker);
    const wrong: [Partial<Request>, RegExp][] = [
      [{ ids: new Int32Array() }, /prompt: got no tokens/],
      [{ ids: Int32Array.of(1, 256) }, /prompt: got the id 256 at 1/],
      [{ temperature: -1 }, /temperature: got -1/],
      [{ presencePenalty: 3 }, /presencePenalty: got 3, expected a number from -2 to 2/],
      [{ maxTokens: -1 }, /maxTokens: got -1/],
      [{ logprobs: 257 }, /logprobs: got 257, expected a whole number from 0 to 256/],
    ];
    for (const [part, message] of wrong)
      await expect(answer(engine, { ids: promptOf(5, 1), ...part })).rejects.toThrow(message);
    expect(engine.figures).toMatchObject({ refused: wrong.length, running: 0, queued: 0 });
    await engine.close();
  });

  test("bends what is drawn by bias and constraint; log probabilities stay the model's own", async () => {
    const engine = new Engine(speaker, { prefixes: 0 });
    const ids = promptOf(20, 1);
    const accepted: number[] = [];
    const constraint = {
      mask(logits: Numbers) {
        for (let id = 0; id < logits.length; id++) if (id % 2) logits[id] = Number.NEGATIVE_INFINITY;
      },
      accept: (id: number) => accepted.push(id),
      free() {},
    };
    const bias = new Map([
      [64, 100],
      [65, 200],
    ]);
    const { tokens } = await answer(engine, { ids, maxTokens: 3, bias, constraint, logprobs: 256 });
    expect(accepted).toEqual([64, 64, 64]);
    const free = await answer(engine, { ids, maxTokens: 1, logprobs: 256, temperature: 0 });
    const { top } = free.tokens[0]!.score!;
    expect(tokens[0]!.score).toEqual({ ...top.find(({ id }) => id === 64)!, top });
    expect(top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 12);
    await engine.close();
  });

  test("whose constraint takes its time holds up nobody: others write on, and the event loop turns", async () => {
    const engine = new Engine(speaker, { prefixes: 0 });
    const [ids, plain] = [promptOf(20, 1), { ids: promptOf(30, 2), maxTokens: 40, temperature: 0 }];
    const log: string[] = [];
    let known = false;
    const constraint = {
      mask: () => void log.push(known ? "masked" : "held the loop"),
      accept: () => {},
      get ready() {
        return known;
      },
      free() {},
    };
    let turns = 0;
    const beat = setInterval(() => turns++, 0);
    const slow = answer(engine, { ids, maxTokens: 1, temperature: 0, constraint });
    const other = await answer(engine, plain);
    expect(other.ids).toEqual((await alone(speaker, plain)).ids);
    expect(engine.figures).toMatchObject({ finished: 1, running: 1 });
    // With nothing else to do it waits without holding the loop.
    for (const start = turns; turns < start + 20; ) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(log).toEqual([]);
    known = true;
    expect((await slow).ids).toEqual((await alone(speaker, { ids, maxTokens: 1, temperature: 0 })).ids);
    expect(log).toEqual(["masked"]);
    clearInterval(beat);
    await engine.close();
  });

  test("whose end no token tells waits for its constraint between steps, holds up nobody, and ends there", async () => {
    const engine = new Engine(speaker, { prefixes: 0 });
    const [ids, plain] = [promptOf(20, 1), { ids: promptOf(30, 2), maxTokens: 40, temperature: 0 }];
    const log: string[] = [];
    let [accepted, known] = [0, 0];
    const constraint = {
      endless: true,
      mask: () => void log.push(known >= accepted ? "masked" : "held the loop"),
      accept: () => void accepted++,
      get ready() {
        return known >= accepted;
      },
      get done() {
        log.push(known >= accepted ? "asked" : "held the loop");
        return accepted === 3;
      },
      free() {},
    };
    const slow = answer(engine, { ids, temperature: 0, constraint });
    const other = await answer(engine, plain);
    expect(other.ids).toEqual((await alone(speaker, plain)).ids);
    expect([accepted, ...log]).toEqual([1, "masked"]);
    const beat = setInterval(() => known++, 5);
    const { ids: written, finish } = await slow;
    clearInterval(beat);
    expect([finish, written]).toEqual(["end", (await alone(speaker, { ids, maxTokens: 3, temperature: 0 })).ids]);
    expect(log).toEqual(["masked", "asked", "masked", "asked", "masked", "asked"]);
    await engine.close();
  });

  test("that goes away while its constraint is worked out is gone", async () => {
    const engine = new Engine(speaker, { prefixes: 0 });
    const gone = new AbortController();
    const constraint = { mask() {}, accept() {}, ready: false, free() {} };
    const slow = answer(engine, { ids: promptOf(20, 1), maxTokens: 1, constraint, signal: gone.signal });
    while (!engine.figures.tokensRead) await new Promise((resolve) => setTimeout(resolve, 1));
    gone.abort();
    expect((await slow).finish).toBe("abort");
    expect(engine.figures).toMatchObject({ aborted: 1, running: 0 });
    await engine.close();
  });

  test("ends at a stop string, an end token and a full context", async () => {
    const engine = new Engine(speaker, { context: 40 });
    const request = { ids: promptOf(20, 2), temperature: 0 };
    const full = await answer(engine, request);
    // The last token is not run: the context holds 40 tokens, and one is written after them.
    expect([full.finish, full.ids.length]).toEqual(["context", 21]);
    const end = new Set([full.ids[7]!]);
    const ended = await answer(engine, { ...request, end });
    expect([ended.finish, ended.ids]).toEqual(["end", full.ids.slice(0, full.ids.indexOf(full.ids[7]!) + 1)]);
    const stop = [full.text.slice(4, 6)];
    const stopped = await answer(engine, { ...request, stop });
    expect([stopped.finish, stopped.text]).toEqual(["stop", full.text.slice(0, full.text.indexOf(stop[0]!))]);
    await engine.close();
  });
});
