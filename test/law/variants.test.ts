import { describe, test } from "vitest";
import { formNames } from "../../src/attention/define.ts";
import { expandedCache } from "../../src/attention/unfold.ts";
import { variants } from "../../src/attention/variants.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { PAGE } from "../../src/tensor/page.ts";
import { declaredIsCounted, declaredIsHeld } from "./account.ts";
import { givesBack, repeats } from "./agreement.ts";
import { branches } from "./branching.ts";
import { causal } from "./causality.ts";
import { holds } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { cases } from "./geometry.ts";
import { gradientIsDifference } from "./gradient.ts";
import { formName, layerProgram } from "./subject.ts";

// In float64, over the list of variants: a new one is tested the moment it is listed.
const all = [...variants, ...variants.flatMap((variant) => expandedCache(variant) ?? [])];
describe.each(all.map((variant) => [variant.name, variant] as const))("%s", (_name, variant) => {
  const device = new ReferenceDevice();
  test("its forms are the same function", () => holds(cases(variant), (drawn) => formsAgree(variant, drawn, device)));

  test("a step continues a prefill, for every split and in every form", () =>
    holds(cases(variant), (drawn) => continues(variant, drawn, device)));

  test.each(["f32", "bf16", "q8"] as const)("over a cache of %s too, and of several pages", async (type) => {
    await holds(cases(variant), (drawn) => continues(variant, drawn, device, type), 60);
    await holds(cases(variant, 2 * PAGE + 9), (drawn) => continues(variant, drawn, device, type), 12);
  });

  test.each(["f32", "bf16", "q8"] as const)(
    "a fork over a cache of %s is a replay, and so is going back",
    async (type) => {
      await holds(cases(variant), (drawn) => branches(variant, drawn, device, type), 40);
      await holds(cases(variant, 2 * PAGE + 9), (drawn) => branches(variant, drawn, device, type), 8);
    },
  );

  test("a later token never changes an earlier output", () =>
    holds(cases(variant, 4), (drawn) => causal(variant, drawn, device)));

  test("its gradient is the finite difference, in every form", () =>
    holds(cases(variant, 4), (drawn) => {
      for (const form of formNames(variant, drawn.sizes)) {
        const violation = gradientIsDifference(
          `${variant.name} ${form}`,
          layerProgram(variant, drawn, form),
          drawn.seed,
        );
        if (violation) return violation;
      }
      return undefined;
    }));

  test("the declared cache and parameters are the memory taken", () =>
    holds(cases(variant), (drawn) => declaredIsHeld(variant, drawn, device)));

  test("the declared FLOPs are those counted while running", () =>
    holds(cases(variant), (drawn) => declaredIsCounted(variant, drawn, device)));

  test("one seed gives one result", () =>
    holds(cases(variant, 4), (drawn) => {
      const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
      return repeats(`${variant.name} ${form}`, layerProgram(variant, drawn, form), device, new ReferenceDevice());
    }));

  test("a gradient gives back the memory it took", () =>
    holds(cases(variant, 4), (drawn) => {
      const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
      return givesBack(`${variant.name} ${form}`, layerProgram(variant, drawn, form), device);
    }));
});
