import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expandedCache } from "../../src/attention/unfold.ts";
import { variants } from "../../src/attention/variants.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { LaterDevice } from "../fixture/later.ts";
import { declaredIsCounted, declaredIsHeld } from "./account.ts";
import { givesBack, repeats } from "./agreement.ts";
import { branches } from "./branching.ts";
import { causal } from "./causality.ts";
import { holds } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { cases } from "./geometry.ts";
import { lossProgram, modelIsCounted, models } from "./model.ts";
import { differentiable, unrecorded } from "./op.ts";
import { rewindReplays, sessionContinues } from "./session.ts";
import { formName, layerProgram } from "./subject.ts";

// All laws on a device that enqueues, in another order, over blocks that tell nothing: numbers are the reference's, bit for bit.
const reference = new ReferenceDevice();
let later: LaterDevice;
beforeAll(() => {
  later = new LaterDevice();
});
afterAll(() => {
  // It did run things out of order, or these laws said little.
  expect(later.overtaken).toBeGreaterThan(later.ran / 20);
});

describe.each(Object.entries(differentiable))("%s, enqueued", (name, { draw, make }) => {
  test("is the reference's, output and gradients, and gives back its memory", () =>
    holds(
      draw,
      async (drawn) =>
        (await repeats(name, make(drawn), reference, later)) ?? (await givesBack(name, make(drawn), later)),
      60,
    ));
});

describe.each(Object.entries(unrecorded))("%s, enqueued", (name, { draw, make }) => {
  test("is the reference's", () => holds(draw, (drawn) => repeats(name, make(drawn), reference, later, "output"), 60));
});

const all = [...variants, ...variants.flatMap((variant) => expandedCache(variant) ?? [])];
describe.each(all.map((variant) => [variant.name, variant] as const))("%s, enqueued", (_name, variant) => {
  test("is the reference's, output and gradients, and gives back its memory", () =>
    holds(
      cases(variant, 4),
      async (drawn) => {
        const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
        const program = layerProgram(variant, drawn, form);
        return (
          (await repeats(`${variant.name} ${form}`, program, reference, later)) ??
          (await givesBack(variant.name, program, later))
        );
      },
      20,
    ));

  test("keeps the laws of forms, continuation, branching and causality", () =>
    holds(
      cases(variant),
      async (drawn) => {
        const type = (["f32", "bf16", "q8"] as const)[drawn.seed % 3]!;
        return (
          (await formsAgree(variant, drawn, later)) ??
          (await continues(variant, drawn, later, type)) ??
          (await branches(variant, drawn, later, type)) ??
          (await causal(variant, drawn, later))
        );
      },
      15,
    ));

  test("keeps the laws of accounts", () =>
    holds(
      cases(variant),
      async (drawn) =>
        (await declaredIsHeld(variant, drawn, later)) ?? (await declaredIsCounted(variant, drawn, later)),
      15,
    ));
});

test("a whole model's loss and gradients are the reference's, and its memory comes back", () =>
  holds(
    models("dense"),
    async (drawn) =>
      (await repeats("loss", lossProgram(drawn), reference, later)) ??
      (await givesBack("loss", lossProgram(drawn), later)),
    40,
  ));

test("a session continues a prefill over layers of any variants, experts among them", () =>
  holds(models(), async (drawn) => (await sessionContinues(drawn, later)) ?? modelIsCounted(drawn, later), 40));

test("a session taken back is one that never went further", () =>
  holds(models(), (drawn) => rewindReplays(drawn, later), 40));
