import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../src/batch/engine.ts";
import { Refused, type Request } from "../src/batch/request.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { cacheBytes } from "../src/generate/session.ts";
import type { Speaker } from "../src/generate/text.ts";
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
    await expect(refused).rejects.toThrow(/got a prompt of 300 tokens and 85 to write .* at most 384 together/);
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
    const engine = new Engine(speaker, { slots: 1, queue: 3 });
    const requests = Array.from({ length: 4 }, (_, i) => ({ ids: promptOf(9, i), maxTokens: 6 }));
    const answers = await Promise.allSettled(requests.map((request) => answer(engine, request)));
    const told = answers.map((one) => (one.status === "fulfilled" ? one.value.places : one.reason));
    expect(told.slice(0, 3)).toEqual([[], [1], [2, 1]]);
    expect(told[3]).toBeInstanceOf(Refused);
    expect((told[3] as Refused).reason).toBe("queue");
    await engine.close();
  });
});
