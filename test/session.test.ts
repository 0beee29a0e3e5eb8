import { expect, test } from "vitest";
import { WasmDevice } from "../src/device/wasm.ts";
import { generate, idsOf } from "../src/generate/generate.ts";
import { cacheBytes, Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { initialWeights } from "../src/train/initial.ts";

const model = buildModel("[MLA,GQA2-(192+64)-S2]", { vocabulary: 40, width: 48, heads: 4, layers: 2 });
const prompt = Int32Array.from([3, 1, 4, 1, 5, 9, 2, 6]);

test("generating leaves no memory behind, and every form writes the same text", async () => {
  const device = await WasmDevice.open({ threads: 1, poison: true });
  const weights = initialWeights(model, device, 7);
  const before = device.liveBytes;
  const texts = [];
  for (const form of ["expanded", "absorbed"]) {
    const session = new Session(model, weights, { context: 28 });
    texts.push(await idsOf(generate(session, prompt, { maxTokens: 20, temperature: 0, form })));
    session.free();
  }
  expect(device.liveBytes).toBe(before);
  expect(texts[0]).toEqual(texts[1]);
  device.close();
});

test("a session holds the bytes that its variants declare", async () => {
  const device = await WasmDevice.open({ threads: 1 });
  const weights = initialWeights(model, device, 7);
  const before = device.liveBytes;
  const session = new Session(model, weights, { context: 30 });
  expect(session.bytes).toBe(0);
  session.append(prompt).free();
  expect(session.length).toBe(8);
  expect(session.bytes).toBe(device.liveBytes - before);
  expect(session.bytes).toBe(cacheBytes(model, 8));
  expect(() => session.append(new Int32Array(23))).toThrow(/got 31 tokens, expected at most its capacity 30/);
  expect(session.bytes).toBe(cacheBytes(model, 8));
  session.free();
  expect(device.liveBytes).toBe(before);
  device.close();
});
