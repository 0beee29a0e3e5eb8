import { afterAll, beforeAll, expect, test } from "vitest";
import { PIECE } from "../src/attention/unfold.ts";
import { arithmetic, commonMachine, type Machine } from "../src/cost/crossover.ts";
import { PREFILL_CHUNK } from "../src/cost/host.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { cacheBytes, Session, type SessionOptions } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import type { Weights } from "../src/model/transformer.ts";
import { Random } from "../src/tensor/random.ts";
import { initialWeights } from "../src/train/initial.ts";

const model = buildModel("[MLA,GLA2,GQA2-128]", { vocabulary: 40, width: 64, heads: 4, layers: 3 });
const random = new Random(5);
const ids = Int32Array.from({ length: 2 * Math.max(PIECE, PREFILL_CHUNK) + 100 }, () => random.integer(40));
let device: WasmDevice;
let weights: Weights;
beforeAll(async () => {
  device = await WasmDevice.open({ poison: true });
  weights = initialWeights(model, device, 3);
});
afterAll(() => device.close());

/** Logits after the tokens, fed in pieces that end where `cuts` say, and what ran. */
async function after(cuts: readonly number[], options: SessionOptions & { form?: string } = {}) {
  const before = device.liveBytes;
  const session = new Session(model, weights, options);
  let from = 0;
  let logits: readonly number[] = [];
  for (const to of [...cuts, ids.length]) {
    const last = session.append(ids.subarray(from, to), {
      logits: "last",
      ...(options.form ? { form: options.form } : {}),
    });
    logits = [...(await last.read())];
    last.free();
    from = to;
  }
  const { forms, bytes } = session;
  session.free();
  expect(device.liveBytes).toBe(before);
  return { logits, forms, bytes };
}

const close = (a: readonly number[], b: readonly number[]) =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / Math.max(...b.map(Math.abs));

test("every form and every chunking of a long input gives the same logits to rounding", async () => {
  const { logits } = await after([], { form: "absorbed" });
  const cuts = () => Array.from({ length: 3 }, () => 1 + random.integer(ids.length - 1)).sort((a, b) => a - b);
  // Three layers of float32, over 2000 keys: their rounding is some 1e-6 of the largest logit.
  for (const options of [{ form: "expanded" }, {}, { keep: "unfolded" as const }, { cache: "f32" as const }])
    for (const at of [[], cuts(), [ids.length - 1]])
      expect(close((await after(at, options)).logits, logits)).toBeLessThan(2e-5);
});

test("the machine's figures decide which form runs, and a session counts it", async () => {
  const short = [ids.length - 3, ids.length - 2, ids.length - 1];
  const slowToUnfold: Machine = {
    ...arithmetic,
    contract: { ...arithmetic.contract, many: { bytes: 1, flops: 1e-3 } },
  };
  const [layers, prompt] = [2, ids.length - 3];
  const free = (await after(short, { machine: arithmetic })).forms;
  // The last layer has one form only.
  expect(free).toEqual({
    prefill: { expanded: layers * prompt, grouped: prompt },
    decode: { absorbed: layers * 3, grouped: 3 },
  });
  const forced = (await after(short, { machine: arithmetic, form: "expanded" })).forms;
  expect(forced.decode).toEqual({ expanded: layers * 3, grouped: 3 });
  const slow = (await after(short, { machine: slowToUnfold })).forms;
  // The first chunk unfolds no more than it would absorb.
  expect(slow.prefill).toEqual({
    expanded: layers * PREFILL_CHUNK,
    absorbed: layers * (prompt - PREFILL_CHUNK),
    grouped: prompt,
  });
});

test("keys and values are the cache where they are faster and fit", async () => {
  const context = ids.length;
  const latent = cacheBytes(model, context);
  // Reading costs nothing, so that the latents' longer sums are all that counts.
  const reader = arithmetic;
  const kept = (options: SessionOptions) => new Session(model, weights, options).model;
  expect(cacheBytes(kept({ context, keep: "faster", machine: reader }), context)).toBeGreaterThan(latent);
  const slow: Machine = { ...commonMachine, attend: { ...commonMachine.attend, few: { bytes: 1, flops: 1e30 } } };
  expect(cacheBytes(kept({ context, keep: "faster", machine: slow }), context)).toBe(latent);
  // Unbounded, nobody knows whether it fits.
  expect(cacheBytes(kept({ keep: "faster", machine: reader }), context)).toBe(latent);
  // So many tokens that only the latents fit: layer after layer is left as it is.
  const most = Math.floor(device.freeBytes / (latent / context)) - 1;
  expect(cacheBytes(kept({ context: most, keep: "faster", machine: reader }), most)).toBeLessThan(device.freeBytes);
});
