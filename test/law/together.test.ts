import { afterAll, beforeAll, describe, test } from "vitest";
import { expandedCache } from "../../src/attention/unfold.ts";
import { variants } from "../../src/attention/variants.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { PAGE } from "../../src/tensor/page.ts";
import { long } from "../extent.ts";
import { LaterDevice } from "../fixture/later.ts";
import { holds } from "./check.ts";
import { cases } from "./geometry.ts";
import { models } from "./model.ts";
import { sessionsTogether, stepsTogether } from "./together.ts";

const types = ["f32", "bf16", "q8"] as const;
const reference = new ReferenceDevice();
const later = new LaterDevice();
let two: WasmDevice;
beforeAll(async () => {
  two = await WasmDevice.open({ threads: 2, poison: true });
});
afterAll(() => two.close());

/** Past a page, or three; attention of the reference and the bound take the square of it. */
const far = long ? 300 : PAGE + 9;

const all = [...variants, ...variants.flatMap((variant) => expandedCache(variant) ?? [])];
describe.each(all.map((variant) => [variant.name, variant] as const))(
  "%s: sequences that step together",
  (_name, variant) => {
    test.each(types)("are each alone, over caches of %s", async (type) => {
      await holds(cases(variant), (drawn) => stepsTogether(variant, drawn, reference, type), long ? 100 : 40);
      await holds(cases(variant, far), (drawn) => stepsTogether(variant, drawn, reference, type), 12);
    });

    test("are each alone on a device that enqueues", () =>
      holds(cases(variant), (drawn) => stepsTogether(variant, drawn, later, types[drawn.seed % 3]), 30));

    test("are each alone in float32, within the bound of rounding", async () => {
      await holds(cases(variant), (drawn) => stepsTogether(variant, drawn, two), 60);

      await holds(cases(variant, far), (drawn) => stepsTogether(variant, drawn, two), 6);
    });
  },
);

test("sessions of any model that step together write what each writes alone", async () => {
  await holds(models(), (drawn) => sessionsTogether(drawn, reference));
  await holds(models(), (drawn) => sessionsTogether(drawn, later), 60);
});
