import { afterAll, beforeAll, describe, test } from "vitest";
import { expandedCache } from "../../src/attention/unfold.ts";
import { variants } from "../../src/attention/variants.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { PAGE } from "../../src/tensor/page.ts";
import { long } from "../extent.ts";
import { declaredIsHeld } from "./account.ts";
import { agrees, givesBack, repeats } from "./agreement.ts";
import { branches } from "./branching.ts";
import { causal } from "./causality.ts";
import { holds } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { cases } from "./geometry.ts";
import { formName, layerProgram } from "./subject.ts";

// In float32, over the list of variants. Unset memory is NaN, and a write past the end of a tensor is noticed.
const open = (threads: number) => WasmDevice.open({ threads, poison: true });
let one: WasmDevice;
let two: WasmDevice;
beforeAll(async () => {
  [one, two] = [await open(1), await open(2)];
});
afterAll(() => {
  one.close();
  two.close();
});

/** Bounds and gradients of the reference take most of the time. */
const many = long ? 200 : 120;

const all = [...variants, ...variants.flatMap((variant) => expandedCache(variant) ?? [])];
describe.each(all.map((variant) => [variant.name, variant] as const))("%s on wasm", (_name, variant) => {
  test("agrees with the reference, output and gradients, in every form", () =>
    holds(
      cases(variant, 9),
      async (drawn) => {
        const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
        return agrees(`${variant.name} ${form}`, layerProgram(variant, drawn, form), two);
      },
      many,
    ));

  test("its forms are the same function within the bound of rounding", () =>
    holds(cases(variant), (drawn) => formsAgree(variant, drawn, two), many));

  test("a step continues a prefill, for every split and in every form", () =>
    holds(cases(variant), (drawn) => continues(variant, drawn, two)));

  test("over several pages too", () =>
    holds(cases(variant, 2 * PAGE + 9), (drawn) => continues(variant, drawn, two), 25));

  test.each(["f32", "bf16", "q8"] as const)(
    "a fork over a cache of %s is a replay, and so is going back",
    async (type) => {
      await holds(cases(variant), (drawn) => branches(variant, drawn, two, type), 60);
      await holds(cases(variant, 2 * PAGE + 9), (drawn) => branches(variant, drawn, one, type), 15);
    },
  );

  test("a later token never changes an earlier output", () =>
    holds(cases(variant), (drawn) => causal(variant, drawn, two)));

  test("the declared cache and parameters are the memory taken", () =>
    holds(cases(variant), (drawn) =>
      declaredIsHeld(variant, drawn, two, undefined, (["f32", "bf16", "q8"] as const)[drawn.seed % 3]),
    ));

  test("one and two threads give the same numbers bit for bit", () =>
    holds(cases(variant), (drawn) => {
      const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
      return repeats(`${variant.name} ${form}`, layerProgram(variant, drawn, form), one, two);
    }));

  test("a gradient gives back the memory it took", () =>
    holds(cases(variant), (drawn) => {
      const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
      return givesBack(`${variant.name} ${form}`, layerProgram(variant, drawn, form), two);
    }));
});
