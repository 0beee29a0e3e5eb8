import { describe, expect, test } from "vitest";
import { costFlops, formNames, pairsOf } from "../src/attention/define.ts";
import type { Attention } from "../src/attention/layer.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { expandedCache } from "../src/attention/unfold.ts";
import { variants } from "../src/attention/variants.ts";
import {
  arithmetic,
  chooseForm,
  commonMachine,
  crossoverChunk,
  crossoverContext,
  type Machine,
  predict,
  rivalsOf,
  roofline,
} from "../src/cost/crossover.ts";
import { visiblePairs } from "../src/ops/attend/index.ts";
import { holds } from "./law/check.ts";
import { cases } from "./law/geometry.ts";
import { subjectOf } from "./law/subject.ts";

const mla = (width: number, heads: number, sizes: string): Attention => parseSpec(`MLA:${sizes}`, { width, heads });
const lite = mla(2048, 16, "n128:r64:v128:c512");
const v3 = mla(7168, 128, "n128:r64:v128:c512:q1536");
const glm = mla(2048, 20, "n192:r64:v256:c512:q768");
const miniCpm = mla(2560, 40, "n64:r32:v64:c256:q768");

test.each([
  ["DeepSeek-V2-Lite", lite, 170.7],
  ["DeepSeek-V3", v3, 170.7],
  ["GLM-4.7-Flash", glm, 398.2],
  ["MiniCPM3", miniCpm, 85.3],
])("%s over a long context changes form at the chunk that the equations give", (_name, attention, expected) => {
  // c (n + v) / (2 c - n - v): shared/reference/family.md, section 3.
  expect(crossoverChunk(rivalsOf(attention)!, { s: 1e9 }, arithmetic)).toBeCloseTo(expected, 1);
});

test("a shorter context moves the chunk by 1 - t / s", () => {
  const [s, { c, n, v }] = [1000, lite.sizes];
  const t = crossoverChunk(rivalsOf(lite)!, { s }, arithmetic);
  // The triangle of new tokens that do not see each other is left out of the equation: it is t (t - 1) / 2 of t s pairs.
  const pairs = pairsOf(t, s) / s;
  expect(pairs * (2 * c - n - v)).toBeCloseTo(c * (n + v) * (1 - t / s), -1);
});

test("with arithmetic alone, one token is absorbed over a cache of latents and expanded over one of keys and values", () => {
  const expanded = { attention: { ...lite, variant: expandedCache(lite.variant)! }, form: "expanded" };
  const absorbed = { attention: lite, form: "absorbed" };
  expect(chooseForm(lite, { t: 1, s: 4096 }, arithmetic)).toBe("absorbed");
  expect(chooseForm(lite, { t: 4096, s: 4096 }, arithmetic)).toBe("expanded");
  expect(crossoverContext([expanded, absorbed], { t: 1 }, arithmetic)).toBe(Number.POSITIVE_INFINITY);
  expect(crossoverContext(rivalsOf(lite)!, { t: 1 }, arithmetic)).toBeLessThan(3);
  expect(crossoverContext(rivalsOf(lite)!, { t: 512 }, arithmetic)).toBe(Number.POSITIVE_INFINITY);
});

test("on a roofline a step takes the longer of reading and computing, and starting its ops", () => {
  const sheet = { bytes: 2e12, flops: 4e14 };
  const step = { t: 1, s: 65536, cacheBytes: 2, weightBytes: 2 };
  const one = predict(lite, "absorbed", step, roofline(sheet));
  // 34 FLOPs per byte of a latent read by 16 heads: below the sheet's 200, so reading binds, and computing above it.
  expect(one.attend).toBeCloseTo((65536 * 576 * 2) / sheet.bytes, 12);
  expect(one.start).toBe(0);
  const many = predict(lite, "absorbed", { ...step, t: 64 }, roofline(sheet));
  expect(many.attend).toBeCloseTo((16 * 2 * (2 * 512 + 64) * pairsOf(64, 65536)) / sheet.flops, 12);
  expect(predict(lite, "absorbed", step, roofline({ ...sheet, op: 1e-6 })).start).toBeGreaterThan(5e-6);
  // Sequences share the weights and nothing else.
  const batch = predict(lite, "absorbed", { ...step, batch: 64 }, roofline(sheet));
  expect(batch.attend).toBeCloseTo(64 * one.attend, 12);
  expect(batch.project).toBe(one.project);
});

test("where reading alone takes time, the latent wins over keys and values at any length", () => {
  const rate = { bytes: 1, flops: Number.POSITIVE_INFINITY };
  const reading: Machine = {
    ...arithmetic,
    contract: { few: rate, many: rate },
    attend: { few: rate, many: rate, shared: rate },
  };
  const cached = { ...lite, variant: expandedCache(lite.variant)! };
  const [bytes, expanded] = [2048, 16 * 256 + 64].map((numbers) => numbers * 4);
  const absorbed = predict(lite, "absorbed", { t: 1, s: 2048 }, reading);
  expect(absorbed.attend).toBe(2048 * 576 * 4);
  expect(predict(cached, "expanded", { t: 1, s: bytes! / 4 }, reading).attend).toBe(2048 * expanded!);
  expect(predict(lite, "absorbed", { t: 1, s: 2048, cacheBytes: 2 }, reading).attend).toBe(absorbed.attend / 2);
});

describe.each(variants.map((variant) => [variant.name, variant] as const))("%s", (_name, variant) => {
  test("with arithmetic alone, a step takes its declared FLOPs, in every form", () =>
    holds(cases(variant, 6), async (drawn) => {
      const { attention } = subjectOf(variant, drawn, 1);
      const t = drawn.chunks.at(-1)!.tokens;
      const s = drawn.chunks.reduce((sum, { tokens }) => sum + tokens, 0);
      const pairs = visiblePairs({ t, s, causal: true, window: drawn.window });
      for (const form of formNames(variant, drawn.sizes)) {
        const declared = costFlops(variant.forms[form]!.cost(drawn.sizes), drawn.sizes, { t, s, pairs });
        const { total } = predict(attention, form, { t, s }, arithmetic);
        if (Math.abs(total - declared) > 1e-9 * declared) return `${form}: got ${total}, declared ${declared}`;
      }
      return undefined;
    }));

  test("the form chosen is one it has, and no other is predicted to be faster", () =>
    holds(cases(variant, 6), async (drawn) => {
      const { attention } = subjectOf(variant, drawn, 1);
      const step = { t: 1 + (drawn.seed % 700), s: 700 + (drawn.seed % 9000) };
      const chosen = chooseForm(attention, step, commonMachine);
      const time = (form: string) => predict(attention, form, step, commonMachine).total;
      const faster = formNames(variant, drawn.sizes).filter((form) => time(form) < time(chosen));
      return faster.length ? `chose ${chosen}, faster: ${faster}` : undefined;
    }));
});

test("of two forms with the same work, one that takes whole blocks is for no fewer tokens", () => {
  const { variant, sizes } = parseSpec("KDA", { width: 64, heads: 2 });
  const chosen = [1, 7, 8, 100].map((t) => chooseForm({ variant, sizes }, { t, s: 200, cacheBytes: 4 }, commonMachine));
  expect(chosen).toEqual(["recurrent", "recurrent", "chunked", "chunked"]);
});
