import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cache, declaredBytes } from "../../src/attention/cache.ts";
import {
  cacheOf,
  cacheValues,
  decodeBytes,
  formNames,
  parameterCount,
  type Variant,
} from "../../src/attention/define.ts";
import { runAttention } from "../../src/attention/layer.ts";
import { expandedCache } from "../../src/attention/unfold.ts";
import { gqa } from "../../src/attention/variant/gqa.ts";
import { variants } from "../../src/attention/variants.ts";
import { type Blueprint, blueprintOf, countParameters, type LayerKind } from "../../src/cost/blueprint.ts";
import {
  cacheBytes,
  formsOf,
  longestContext,
  stepBytes,
  stepFlops,
  valuesPerLayer,
  waysOf,
} from "../../src/cost/cost.ts";
import { arithmetic } from "../../src/cost/crossover.ts";
import type { CachedForm } from "../../src/cost/keep.ts";
import { keptOf } from "../../src/cost/keep.ts";
import { layOut } from "../../src/cost/layout.ts";
import { stepSeconds } from "../../src/cost/time.ts";
import type { Dtype } from "../../src/cost/type.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { forwardFlops, modelSize } from "../../src/model/model.ts";
import { countFlops } from "../../src/ops/flops.ts";
import { positionsOf } from "../../src/ops/rope/index.ts";
import { pageTokens } from "../../src/tensor/page.ts";
import { type Device, scope } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { holds, type Violation } from "./check.ts";
import { type Case, cases, tokensOf } from "./geometry.ts";
import { models } from "./model.ts";
import { inChunks, onto, partsOf, subjectOf } from "./subject.ts";

// What a plan says is what the engine allocates and counts, over the list of variants.

const silent: LayerKind["feed"] = { always: 0, expert: 0, experts: 0, chosen: 0, flops: 0 };

/** A model of one attention and nothing else. */
function alone(variant: Variant, drawn: Case): Blueprint {
  const { attention } = subjectOf(variant, drawn, 1);
  const layer: LayerKind = { count: 1, attention, feed: silent, extra: 0 };
  return { name: "", architecture: "", vocabulary: 0, width: drawn.sizes.d, tied: true, extra: 0, layers: [layer] };
}

/** What the variant declares: the absorbed form where it has two. */
const declaredForm = (blueprint: Blueprint): CachedForm => formsOf(blueprint).at(-1)!;

const expected = (what: string, got: number, wanted: number): Violation =>
  got === wanted ? undefined : `${what}: got ${got}, expected ${wanted}`;

/** FLOPs that the last chunk takes over the cache of those before. */
async function counted(variant: Variant, drawn: Case, form: string, device: Device): Promise<number> {
  const subject = subjectOf(variant, drawn, 1);
  const [s, t] = [tokensOf(drawn), drawn.chunks.at(-1)!.tokens];
  const tensors = subject.parameters.map((parameter) => onto(device, parameter));
  const [p, x] = [partsOf(subject.parameters, tensors), onto(device, subject.x)];
  const cache = new Cache(device, subject.attention, s);
  await inChunks(subject, { ...drawn, chunks: drawn.chunks.slice(0, -1) }, cache, p, x);
  return countFlops(() =>
    runAttention(subject.attention, p, x.rows(s - t, s), { positions: positionsOf(s - t, t), form, cache }),
  ).flops;
}

describe.each(variants.map((variant) => [variant.name, variant] as const))("%s planned", (_name, variant) => {
  let wasm: WasmDevice;
  const reference = new ReferenceDevice();
  beforeAll(async () => {
    wasm = await WasmDevice.open({ threads: 1 });
  });
  afterAll(() => wasm.close());

  test("keeps the bytes that a cache takes, of a window no more than its tokens", () =>
    holds(cases(variant, 9), (drawn) => {
      const blueprint = alone(variant, drawn);
      const { attention } = subjectOf(variant, drawn, 1);
      const tokens = pageTokens(tokensOf(drawn));
      const held = (type: Dtype) => cacheBytes(blueprint, declaredForm(blueprint), type, tokens);
      const seen = drawn.window ? Math.min(tokens, drawn.window) : tokens;
      for (const [dtype, type] of [
        ["float32", "f32"],
        ["bfloat16", "bf16"],
        ["int8", "q8"],
      ] as const) {
        // A plan leaves scales out: one of float32 for each part, or for each group's key.
        const scales =
          type === "q8"
            ? cacheOf(variant, drawn.sizes)
                .filter(([name]) => !variant.exact?.includes(name))
                .reduce((sum, [, axes]) => sum + 4 * (axes.startsWith("g ") ? drawn.sizes.g : 1), 0)
            : 0;
        const declared = declaredBytes(attention, seen, type) - scales * seen;
        if (held(dtype) !== declared) return `${dtype}: got ${held(dtype)} bytes, expected ${declared}`;
        if (drawn.window) continue;
        const taken = scope(wasm, () => {
          const cache = new Cache(wasm, attention, tokens, type);
          const before = wasm.liveBytes;
          cache.reserve(tokens);
          const state = Object.values(cache.state).reduce((sum, { size }) => sum + 4 * size, 0);
          const bytes = wasm.liveBytes - before + state;
          cache.free();
          return bytes;
        });
        if (taken - scales * tokens !== held(dtype)) return `${dtype}: a cache took ${taken} bytes, not ${held(dtype)}`;
      }
      return undefined;
    }));

  test("takes the FLOPs counted while running, in each form over what it declares", () =>
    holds(cases(variant), (drawn) =>
      openScope(reference, async () => {
        const blueprint = alone(variant, drawn);
        const span = { t: drawn.chunks.at(-1)!.tokens, s: tokensOf(drawn) };
        const cached = declaredForm(blueprint);
        for (const way of waysOf(blueprint).filter((way) => way.cached === cached)) {
          const name = keptOf(blueprint.layers[0]!)[cached]!.forms[way.form]!;
          const found = await counted(variant, drawn, name, reference);
          const violation = expected(`${way.form} (${name})`, stepFlops(blueprint, way, span), found);
          if (violation) return violation;
        }
        return undefined;
      }),
    ));

  test("keeps keys and values per head as an expanded cache does, its rotary key in each of them", () =>
    holds(cases(variant), (drawn) =>
      openScope(reference, async () => {
        const blueprint = alone(variant, drawn);
        const kept = expandedCache(variant);
        const { expanded, absorbed } = keptOf(blueprint.layers[0]!);
        if (!variant.unfolded) {
          return absorbed
            ? "has an absorbed form without unfolding"
            : expected("values", expanded!.values, cacheValues(variant, drawn.sizes));
        }
        if (!kept) return undefined;
        const { r, g, h } = drawn.sizes;
        const keys = cacheOf(kept, drawn.sizes).filter(([, axes]) => axes === "r").length;
        const owners = cacheOf(kept, drawn.sizes).some(([, axes]) => axes.startsWith("g ")) ? g : h;
        const values = cacheValues(kept, drawn.sizes) + keys * (owners - 1) * r;
        const span = { t: drawn.chunks.at(-1)!.tokens, s: tokensOf(drawn) };
        const way = { cached: "expanded", form: "expanded" } as const;
        return (
          expected("values", valuesPerLayer(blueprint, "expanded"), values) ??
          expected(
            "FLOPs",
            stepFlops(blueprint, way, span),
            await counted(kept, drawn, formNames(kept, drawn.sizes)[0]!, reference),
          )
        );
      }),
    ));

  test("reads for one token what its definition says, and its parameters once", () =>
    holds(cases(variant), (drawn) => {
      const blueprint = alone(variant, { ...drawn, window: 0 });
      const form = declaredForm(blueprint);
      const s = 1 + (drawn.seed % 5000);
      const types = { weightType: "float32", cacheType: "float16" } as const;
      const moved = stepBytes(blueprint, { cached: form, form }, { t: 1, s }, types);
      // decodeBytes has all of the cache at 16 bits and reads and writes the state.
      const { state, exact, values } = keptOf(blueprint.layers[0]!)[form]!;
      const written = 2 * values + 2 * exact;
      return (
        expected("parameters", moved.weights, 4 * parameterCount(variant, drawn.sizes)) ??
        expected("written", moved.written, written + 4 * state) ??
        expected("read", moved.read, decodeBytes(variant, drawn.sizes, s) + 2 * exact * s - 4 * state)
      );
    }));

  test("fits into a memory to the last token", () =>
    holds(cases(variant), (drawn) => {
      const blueprint = alone(variant, drawn);
      const room = 1 + drawn.seed;
      for (const form of formsOf(blueprint)) {
        const most = longestContext(blueprint, form, "float16", { room, batch: drawn.batch });
        const bytes = (tokens: number) => drawn.batch * cacheBytes(blueprint, form, "float16", tokens);
        if (!Number.isFinite(most)) {
          if (bytes(2 ** 52) > room) return `${form}: got no limit, expected one`;
        } else if ((most && bytes(most) > room) || bytes(most + 1) <= room)
          return `${form}: ${most} is not the longest`;
      }
      return undefined;
    }));

  test("is laid over ranks that together hold all of it, and what they hold twice is said", () =>
    holds(cases(variant), (drawn) => {
      const { g, b = 0, h } = drawn.sizes;
      const blueprint = alone(variant, drawn);
      const tensor =
        [2, 3, 5, 7, 4].find((n) => h % n === 0 && [g, b].every((k) => !k || k % n === 0 || n % k === 0)) ?? 1;
      const context = 1 + (drawn.seed % 3);
      const of = {
        context: 1000,
        batch: drawn.batch,
        step: 1,
        weightType: "float32",
        cacheType: "float16",
        hosts: [],
      } as const;
      const layout = layOut(blueprint, `tp${tensor},cp${context}`, of);
      const weights = 4 * parameterCount(variant, drawn.sizes);
      const cache = drawn.batch * cacheBytes(blueprint, declaredForm(blueprint), "float16", 1000);
      const near = (what: string, got: number, wanted: number) =>
        Math.abs(got - wanted) <= 1 ? undefined : `${what}: got ${got}, expected ${wanted}`;
      return (
        near("weights", layout.weightBytesPerRank * layout.ranks - layout.duplicatedWeightBytes, weights) ??
        near("cache", layout.cacheBytesPerRank * layout.ranks - layout.duplicatedCacheBytes, cache)
      );
    }));
});

test("a model's blueprint has its parameters, and its steps the FLOPs that the model declares", () =>
  holds(models(), ({ model, tokens, batch, seed }) => {
    const blueprint = blueprintOf(model, "model");
    const cached = seed % 50;
    const span = { t: tokens, s: tokens + cached };
    const declared = formsOf(blueprint).at(-1)!;
    for (const way of waysOf(blueprint).filter((way) => way.cached === declared)) {
      // Layers that unfold what they keep are planned in the form asked for, all others in their first, whatever forms they have.
      const form = way.form === "absorbed" ? ["absorbed", "factored"] : [];
      const wanted = model.layers.reduce(
        (sum, layer) => {
          const { variant, sizes } = layer.attention;
          const names = formNames(variant, sizes);
          const own = variant.unfolded ? form.find((name) => names.includes(name)) : names[0];
          return sum + forwardFlops({ ...model, layers: [layer], vocabulary: 0 }, tokens, cached, own);
        },
        2 * tokens * model.width * model.vocabulary,
      );
      const violation = expected(way.form, stepFlops(blueprint, way, { ...span, batch }), batch * wanted);
      if (violation) return violation;
    }
    return expected("parameters", countParameters(blueprint).total, modelSize(model));
  }));

test("with arithmetic alone, a step takes the time of its FLOPs, windows and compressed caches included", () =>
  holds(models(), ({ model, tokens, batch, seed }) => {
    const plain = blueprintOf(model, "model");
    const keeping = seed % 3 ? { keeping: { every: 1 + (seed % 7), recent: seed % 11 } } : {};
    const blueprint = { ...plain, layers: plain.layers.map((kind) => ({ ...kind, ...keeping })) };
    const span = { t: tokens, s: tokens + (seed % 90), batch };
    const running = { machine: arithmetic, activationBytes: 4 };
    for (const way of waysOf(blueprint)) {
      const flops = stepFlops(blueprint, way, span);
      const types = { weightType: "float32", cacheType: "float32" } as const;
      const seconds = stepSeconds(blueprint, way, span, types, running);
      if (Math.abs(seconds - flops) > 1e-9 * flops)
        return `${way.cached} ${way.form}: got ${seconds} s, expected ${flops}`;
    }
    return undefined;
  }));

test("queries over a compressed cache see the entries before them and the recent tokens", () =>
  holds(cases(gqa), (drawn) => {
    const { attention } = subjectOf(gqa, { ...drawn, window: 0 }, 1);
    const [every, recent] = [1 + (drawn.seed % 6), drawn.seed % 13];
    const layer: LayerKind = { count: 1, attention, feed: silent, extra: 0, keeping: { every, recent } };
    const blueprint = { ...alone(gqa, drawn), layers: [layer] };
    const [s, t] = [tokensOf(drawn), drawn.chunks.at(-1)!.tokens];
    const { token, pair } = gqa.forms.grouped!.cost(drawn.sizes);
    let seen = 0;
    for (let at = s - t + 1; at <= s; at++) seen += Math.floor(at / every) + Math.min(at, recent);
    const way = { cached: "expanded", form: "expanded" } as const;
    // Pairs go through a quotient.
    const off = stepFlops(blueprint, way, { t, s }) - (token * t + pair * seen);
    return Math.abs(off) < 1e-9 * (1 + pair * seen) ? undefined : `off by ${off} FLOPs`;
  }));

test("laws see an error: a rotary key that is counted once is not what engines keep", () => {
  const mla = variants.find(({ name }) => name === "MLA")!;
  const sizes = { d: 8, h: 4, g: 0, n: 4, r: 2, e: 6, v: 4, c: 5, q: 0, o: 0 };
  const { expanded } = keptOf({ attention: { variant: mla, sizes } });
  expect(expanded!.values).toBe(4 * (4 + 2 + 4));
  expect(expanded!.values).not.toBe(cacheValues(expandedCache(mla)!, sizes));
});
