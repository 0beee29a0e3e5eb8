import { expandedCache } from "../../src/attention/unfold.ts";
import { variants } from "../../src/attention/variants.ts";
import type { WebgpuDevice } from "../../src/device/webgpu.ts";
import { PAGE } from "../../src/tensor/page.ts";
import { long } from "../extent.ts";
import { declaredIsHeld } from "./account.ts";
import { agrees } from "./agreement.ts";
import { branches } from "./branching.ts";
import { causal } from "./causality.ts";
import { holds } from "./check.ts";
import { continues } from "./continuation.ts";
import { formsAgree } from "./forms.ts";
import { cases } from "./geometry.ts";
import { formName, layerProgram } from "./subject.ts";

const all = [...variants, ...variants.flatMap((variant) => expandedCache(variant) ?? [])];

/** Those that are tried. A software GPU compiles for seconds what a variant needs, so that by default it is one. */
export const tried = all.filter(({ name }) => long || name === "MLA");

const types = ["f32", "bf16", "q8"] as const;

/** What holds for a variant on a GPU, by name: laws with few cases each. */
export const gpuLaws = (variant: (typeof all)[number], gpu: WebgpuDevice): Record<string, () => Promise<void>> => ({
  "agrees with the reference, output and gradients": () =>
    holds(
      cases(variant, 9),
      (drawn) => {
        const form = formName(variant, drawn.sizes, drawn.chunks[0]!.form);
        return agrees(`${variant.name} ${form}`, layerProgram(variant, drawn, form), gpu);
      },
      4,
    ),
  "its forms are the same function within the bound of rounding": () =>
    holds(cases(variant), (drawn) => formsAgree(variant, drawn, gpu), 4),
  "a step continues a prefill, over several pages too": () =>
    holds(cases(variant, 2 * PAGE + 9), (drawn) => continues(variant, drawn, gpu), 4),
  "a fork over a cache is a replay, and so is going back": () =>
    holds(cases(variant), (drawn) => branches(variant, drawn, gpu, types[drawn.seed % 3]!), 4),
  "a later token never changes an earlier output": () =>
    holds(cases(variant), (drawn) => causal(variant, drawn, gpu), 4),
  "the declared cache and parameters are the memory taken": () =>
    holds(cases(variant), (drawn) => declaredIsHeld(variant, drawn, gpu, undefined, types[drawn.seed % 3]), 4),
});
