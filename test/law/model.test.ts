import { afterAll, beforeAll, expect, test } from "vitest";
import { kda } from "../../src/attention/variant/kda.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { generate, idsOf } from "../../src/generate/generate.ts";
import { Session } from "../../src/generate/session.ts";
import { buildModel } from "../../src/model/build.ts";
import type { Model } from "../../src/model/model.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { initialWeights } from "../../src/train/initial.ts";
import { agrees, givesBack, repeats } from "./agreement.ts";
import { holds, unequal } from "./check.ts";
import { gradientIsDifference } from "./gradient.ts";

import { lossProgram, modelIsCounted, models } from "./model.ts";
import { rewindReplays, sessionContinues } from "./session.ts";

const reference = new ReferenceDevice();
let one: WasmDevice;
let two: WasmDevice;
beforeAll(async () => {
  [one, two] = [
    await WasmDevice.open({ threads: 1, poison: true }),
    await WasmDevice.open({ threads: 2, poison: true }),
  ];
});
afterAll(() => {
  one.close();
  two.close();
});

test("the gradient of a whole model's loss is the finite difference", () =>
  holds(models("dense"), (drawn) => gradientIsDifference("loss", lossProgram(drawn), drawn.seed)));

test("a whole model on wasm agrees with the reference, loss and gradients", () =>
  holds(models("dense"), (drawn) => agrees("loss", lossProgram(drawn), two)));

test("a whole model gives the same numbers on one and two threads", () =>
  holds(models("dense"), (drawn) => repeats("loss", lossProgram(drawn), one, two)));

test("a training step gives back the memory it took", async () => {
  await holds(models("dense"), (drawn) => givesBack("loss", lossProgram(drawn), reference));
  await holds(models("dense"), (drawn) => givesBack("loss", lossProgram(drawn), two));
});

test("a model's declared FLOPs and parameters are those counted", () =>
  holds(models(), (drawn) => modelIsCounted(drawn, reference)));

test("a session continues a prefill over layers of any variants, and holds the declared bytes", () =>
  holds(models(), (drawn) => sessionContinues(drawn, reference)));

test("a session goes over layers with rows and layers with a state alike", () =>
  holds(models("dense"), (drawn) => sessionContinues({ ...drawn, model: hybrid(drawn.model) }, reference)));

test("a session taken back is one that never went further, on every device", async () => {
  await holds(models(), (drawn) => rewindReplays(drawn, reference));
  await holds(models("dense"), (drawn) => rewindReplays({ ...drawn, model: hybrid(drawn.model) }, two));
});

test("one seed gives one model and one text", async () => {
  const model = buildModel("[MLA,GQA2-128]", { vocabulary: 13, width: 16, heads: 2, layers: 2 });
  const text = async (device: Device, seed: number) => {
    const weights = initialWeights(model, device, seed);
    const numbers = await weights.get("layers.0.attention.wUK")!.read();
    const session = new Session(model, weights, { context: 14 });
    const steps = generate(session, Int32Array.of(1, 2), { maxTokens: 12, temperature: 0.8, seed });
    const tokens = await idsOf(steps);
    return { numbers, tokens };
  };
  for (const device of [reference, two]) {
    const [first, again, other] = [await text(device, 7), await text(device, 7), await text(device, 8)];
    expect(unequal("weights", first.numbers, again.numbers)).toBeUndefined();
    expect([...again.tokens]).toEqual([...first.tokens]);
    expect([...other.tokens]).not.toEqual([...first.tokens]);
  }
  expect([...(await text(one, 7)).tokens]).toEqual([...(await text(two, 7)).tokens]);
});

/** The same model with a layer of linear attention before the others. */
function hybrid(model: Model): Model {
  const { attention, feed } = model.layers[0]!;
  const { window: _, ...linear } = attention;
  const { with: __, b: ___, ...others } = attention.sizes;
  const sizes = { ...others, g: others.h, n: 2, r: 0, e: 2, v: 3, c: 2, q: 0, o: 0, w: 3 };
  return { ...model, layers: [{ attention: { ...linear, variant: kda, sizes }, feed }, ...model.layers] };
}
