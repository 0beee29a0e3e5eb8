import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { Variant } from "../src/attention/define.ts";
import type { Attention } from "../src/attention/layer.ts";
import { mla } from "../src/attention/variant/mla.ts";
import { readWeights } from "../src/checkpoint/load.ts";
import { dataOf } from "../src/device/float.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { familyOf } from "../src/family/families.ts";
import { perHead, type Source, type Sources } from "../src/family/source.ts";
import { openFolder } from "../src/file/folder.ts";
import { type Model, parametersOf } from "../src/model/model.ts";
import { scaleBy } from "../src/ops/add/index.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { map } from "../src/ops/map/index.ts";
import { rope } from "../src/ops/rope/index.ts";
import type { Choice } from "../src/ops/route/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { compareLayer, type LayerCase, readLayerCase } from "../src/verify/golden/layer/layer.ts";
import { type Expected, Ledger } from "../src/verify/golden/ledger.ts";
import { compareModel, readModelOracle } from "../src/verify/golden/model.ts";
import type { OpCase } from "../src/verify/golden/op/family.ts";
import { compareOp, readOpCase } from "../src/verify/golden/op/op.ts";

// Implementations that are wrong in one place: the golden vectors must see each of them. The vectors are too large for the
// repository: they lie beside it, or these tests are skipped.
const vectors = fileURLToPath(new URL("../../shared/golden", import.meta.url));
const withVectors = describe.skipIf(!existsSync(join(vectors, "index.json")));

/** Largest error of a layer case in tolerances, with its attention, sources or parameters changed. */
async function layerError(
  name: string,
  change: (attention: Attention) => Attention,
  sourced: (sources: Map<string, Source>) => Sources = (sources) => sources,
  weighed: (weights: Map<string, Tensor>) => void = () => {},
): Promise<number> {
  const layer = await readLayerCase(join(vectors, name));
  const device = new ReferenceDevice();
  const weights = await readWeights(layer.reader, layer.parameters, sourced(new Map(layer.sources)), device);
  weighed(new Map(weights));
  return errorOf(layer, change(layer.attention), Object.fromEntries(weights));
}

async function errorOf(layer: LayerCase, attention: Attention, weights: Readonly<Record<string, Tensor>>) {
  const ledger = new Ledger();
  await compareLayer({ ...layer, attention }, weights, ledger);
  return ledger.worst!.error / ledger.worst!.tolerance;
}

/** The same of an operator whose case is changed, so that the right operator gives what a wrong one would. */
async function opError(name: string, change: (given: OpCase) => OpCase): Promise<number> {
  const ledger = new Ledger();
  await compareOp(change(await readOpCase(join(vectors, name))), new ReferenceDevice(), ledger);
  return ledger.faults.length ? Number.POSITIVE_INFINITY : ledger.worst!.error / ledger.worst!.tolerance;
}

/** The same of a whole model, over its first sequence: what is wrong in it is wrong there too. */
async function modelError(name: string, change: (model: Model) => Model): Promise<number> {
  const { config, tensors } = await openFolder(join(vectors, name, "ckpt"));
  const family = familyOf(config.model_type)!;
  const model = family.model(config);
  const weights = await readWeights(tensors, parametersOf(model), family.sources(model, config), new ReferenceDevice());
  const ledger = new Ledger();
  const oracle = await readModelOracle(join(vectors, name));
  const { shape, values } = oracle.tensors.get("input_ids")!;
  const first = { shape: [1, ...shape.slice(1)], values };
  // What is chosen greedily follows from the logits.
  const some = new Map([...oracle.tensors].filter(([name]) => name !== "greedy_ids")).set("input_ids", first);
  await compareModel(change(model), weights, { ...oracle, tensors: some }, ledger);
  return ledger.worst!.error / ledger.worst!.tolerance;
}

const same = <T>(x: T): T => x;
const inEveryLayer = (change: (attention: Attention) => Attention) => (model: Model) => ({
  ...model,
  layers: model.layers.map((layer) => ({ ...layer, attention: change(layer.attention) })),
});
const routed = (by: Partial<Choice>) => (model: Model) => ({
  ...model,
  layers: model.layers.map(({ attention, feed }) => ({
    attention,
    feed: feed.kind === "dense" ? feed : { ...feed, routing: { ...feed.routing, ...by } },
  })),
});
const otherPairs = (attention: Attention): Attention => {
  const { rotation } = attention;
  return { ...attention, rotation: { ...rotation, layout: rotation.layout === "half" ? "interleaved" : "half" } };
};
const scaledByContentOnly = (attention: Attention): Attention => {
  const { n, e } = attention.sizes;
  return { ...attention, scale: attention.scale! * (e / n) ** 0.5 };
};
/** The latent goes into the cache as it comes out of its projection. */
const withoutLatentNorm: Variant = {
  ...mla,
  project: (p, x, ...others) => ({ ...mla.project(p, x, ...others), c: einsum("t d, d c -> t c", x, p.wDKV!) }),
};
const keyTurnedBack: Variant = {
  ...mla,
  project: (p, x, at, ...others) => ({
    ...mla.project(p, x, at, ...others),
    kr: rope(einsum("t d, d r -> t r", x, p.wKR!), at.rotation, at.positions, "inverse"),
  }),
};

withVectors("a wrong implementation is caught (skipped where ../shared/golden is missing)", () => {
  const layers = ["mla_noqlora", "mla_qlora_yarn"];

  test.each(layers)("and the right one is not: %s", async (name) => {
    expect(await layerError(name, same)).toBeLessThan(1);
  });

  test.each(layers)("a softmax scale by the content dims alone: %s", async (name) => {
    expect(await layerError(name, scaledByContentOnly)).toBeGreaterThan(20);
  });

  test.each(layers)("a latent that is not normed: %s", async (name) => {
    expect(await layerError(name, (layer) => ({ ...layer, variant: withoutLatentNorm }))).toBeGreaterThan(20);
  });

  test.each(layers)("keys and values swapped in kv_b_proj: %s", async (name) => {
    const swapped = (sources: Map<string, Source>) => {
      const { count: h, block, to: n } = sources.get("wUK")!.rows!;
      sources.set("wUK", { ...sources.get("wUK")!, rows: perHead(h, block, block - n, block) });
      sources.set("wUV", { ...sources.get("wUV")!, rows: perHead(h, block, 0, block - n) });
      return sources;
    };
    expect(await layerError(name, same, swapped)).toBeGreaterThan(20);
  });

  test.each(layers)("the rotary key read before the latent: %s", async (name) => {
    const swapped = (sources: Map<string, Source>) => {
      const { to: c, block } = sources.get("wDKV")!.rows!;
      sources.set("wKR", { ...sources.get("wKR")!, rows: perHead(1, block, 0, block - c) });
      sources.set("wDKV", { ...sources.get("wDKV")!, rows: perHead(1, block, block - c, block) });
      return sources;
    };
    expect(await layerError(name, same, swapped)).toBeGreaterThan(20);
  });

  test.each(layers)("half-split rotary pairs for interleaved: %s", async (name) => {
    expect(await layerError(name, otherPairs)).toBeGreaterThan(20);
  });

  test.each(layers)("a rotary key turned the other way: %s", async (name) => {
    expect(await layerError(name, (layer) => ({ ...layer, variant: keyTurnedBack }))).toBeGreaterThan(20);
  });

  test("YaRN's softmax factor left out", async () => {
    const plain = (layer: Attention) => ({ ...layer, scale: mla.scale(layer.sizes) });
    expect(await layerError("mla_qlora_yarn", plain)).toBeGreaterThan(20);
  });

  const models: [what: string, name: string, change: (model: Model) => Model][] = [
    ["a scale by the content dims alone", "hf_deepseek_v2_plainrope", inEveryLayer(scaledByContentOnly)],
    [
      "a latent that is not normed",
      "hf_deepseek_v2_plainrope",
      inEveryLayer((a) => ({ ...a, variant: withoutLatentNorm })),
    ],
    ["half-split pairs in DeepSeek-V2", "hf_deepseek_v2_plainrope", inEveryLayer(otherPairs)],
    ["interleaved pairs in Llama", "hf_llama_gqa", inEveryLayer(otherPairs)],
    ["one expert fewer per token", "hf_deepseek_v2_lite", routed({ perToken: 1 })],
    ["experts' weights not normalised", "hf_deepseek_v3", routed({ normalised: false })],
    ["one group of experts too many", "hf_deepseek_v3", routed({ perGroup: 3 })],
    ["the other pairs rotated", "hf_deepseek_v3_bf16_half_layout", inEveryLayer(otherPairs)],
    ["one key more selected", "hf_deepseek_v32", inEveryLayer((a) => ({ ...a, sizes: { ...a.sizes, m: 7 } }))],
    [
      "latent norms by the model's epsilon",
      "hf_glm4_moe_lite",
      inEveryLayer((a) => ({ ...a, sizes: { ...a.sizes, eps: 1e-5 } })),
    ],
    ["no factors", "hf_minicpm3", ({ scales: _, ...model }) => model],
    ["no factor on the branches", "hf_minicpm3", (model) => ({ ...model, scales: { ...model.scales!, branch: 1 } })],
  ];
  test.each(models)("%s: %s", async (_what, name, change) => {
    expect(await modelError(name, change)).toBeGreaterThan(20);
  });
});

const written = (name: string, change: (values: number[]) => ArrayLike<number>) => (weights: Map<string, Tensor>) => {
  const t = weights.get(name)!;
  t.write(change(Array.from(dataOf(t))));
};
const negated = (values: number[]) => values.map((x) => -x);
const zeros = (values: number[]) => values.map(() => 0);
const both =
  (...changes: ((weights: Map<string, Tensor>) => void)[]) =>
  (weights: Map<string, Tensor>) => {
    for (const change of changes) change(weights);
  };
const taps = (values: number[]) => values.map((_, i) => values[i - (i % 4) + 3 - (i % 4)]!);
/** Rows `[heads, ranks]` of each column read as `[ranks, heads]`. */
const rankMajor = (heads: number, ranks: number) => (values: number[]) =>
  values.map((_, i) => {
    const [row, at] = [Math.floor(i / (heads * ranks)), i % (heads * ranks)];
    return values[row * heads * ranks + (at % ranks) * heads + Math.floor(at / ranks)]!;
  });
const sized = (attention: Attention, sizes: Partial<Attention["sizes"]>): Attention => ({
  ...attention,
  sizes: { ...attention.sizes, ...sizes },
});
const withForwardSign = (attention: Attention): Attention => ({
  ...attention,
  rotation: { ...attention.rotation, frequencies: attention.rotation.frequencies.map((f) => -f) },
});
const gatedOtherwise =
  (key: string, change: (t: Tensor) => Tensor) =>
  (attention: Attention): Attention => ({
    ...attention,
    variant: {
      ...attention.variant,
      project(...args) {
        const made = attention.variant.project(...args) as Record<string, Tensor>;
        return { ...made, [key]: change(made[key]!) };
      },
    },
  });
const half = (t: Tensor) => scaleBy(t, 0.5);

withVectors("a wrong layer is caught (skipped where ../shared/golden is missing)", () => {
  const layers: [
    what: string,
    name: string,
    change: (attention: Attention) => Attention,
    weighed?: (weights: Map<string, Tensor>) => void,
  ][] = [
    ["MFA: interleaved pairs", "mfa_step3", otherPairs],
    ["MFA: the latent norm's epsilon of MLA", "mfa_step3", (a) => sized(a, { eps: 1e-6 })],
    ["TPA: Llama's sense of rotation", "tpa_t6", withForwardSign],
    ["TPA: interleaved pairs", "tpa_t6_kvonly", otherPairs],
    ["TPA: head factors read rank by rank", "tpa_t6", same, written("wAK", rankMajor(4, 2))],
    [
      "TPA: queries not divided by their rank",
      "tpa_t6",
      (a) => ({ ...a, scale: a.variant.scale(a.sizes) * a.sizes.q }),
    ],
    ["FoX: no gate bias", "fox_layer_llama_style", same, written("bF", zeros)],
    ["FoX of fla: no gate bias", "fox_layer_fla_gqa", same, written("bF", zeros)],
    [
      "FoX: alpha weighs the current token",
      "fox_layer_pro",
      same,
      both(written("wSK", negated), written("wSV", negated)),
    ],
    ["FoX: keys alone shift the wrong way", "fox_layer_pro", same, written("wSK", negated)],
    ["FoX: the output norm's epsilon is large", "fox_layer_pro", (a) => sized(a, { eps: 0.1 })],
    [
      "FoX: silu for the output gate's sigmoid",
      "fox_layer_pro",
      (a) => sized(a, { with: { ...a.sizes.with, outputGate: undefined, siluGate: true } as never }),
    ],
    ["KDA: taps reversed", "kda_layer", same, written("fK", taps)],
    ["KDA: no time bias", "kda_layer", same, written("bT", zeros)],
    ["KDA: half the step", "kda_layer", gatedOtherwise("beta", half)],
    ["KDA: no query scale", "kda_layer", (a) => ({ ...a, scale: 1 })],
    ["KDA: silu for the output gate's sigmoid", "kda_layer", gatedOtherwise("gate", (t) => map(t, "silu"))],
    ["GDN: taps reversed", "gated_deltanet_layer", same, written("fV", taps)],
    ["GDN: no time bias", "gated_deltanet_layer", same, written("bT", zeros)],
    ["GDN: decay exponentiated twice", "gated_deltanet_layer", same, written("aLog", (a) => a.map(Math.exp))],
    ["GDN: no decay", "gated_deltanet_layer", gatedOtherwise("decay", (t) => scaleBy(t, 0))],
  ];
  test.each(layers)("%s", async (_what, name, change, weighed) => {
    expect(await layerError(name, change, undefined, weighed)).toBeGreaterThan(20);
  });
  test.each([...new Set(layers.map(([, name]) => name))])("and the right one is not: %s", async (name) => {
    expect(await layerError(name, same)).toBeLessThan(1);
  });
});

/** A case with other inputs or another config. */
function changed(given: OpCase, inputs: Record<string, (x: Expected) => Expected>, config: object = {}): OpCase {
  return {
    ...given,
    config: { ...given.config, ...config },
    input: (name) => (inputs[name] ?? same)(given.input(name)),
  };
}
const mapped =
  (change: (value: number, at: number, all: ArrayLike<number>, shape: readonly number[]) => number) =>
  ({ shape, values }: Expected): Expected => ({
    shape,
    values: Float64Array.from(values, (value, i) => change(value, i, values, shape)),
  });
/** Twice the heads of an indexer, the second half negated in both factors: relu(x) - relu(-x) = x, as if there were none. */
const doubledHeads =
  (each: number) =>
  ({ shape, values }: Expected): Expected => {
    const heads = shape[2]!;
    const width = heads * each;
    const rows = values.length / width;
    const out = Float64Array.from({ length: 2 * values.length }, (_, i) => {
      const [row, at] = [Math.floor(i / (2 * width)), i % (2 * width)];
      return at < width ? values[row * width + at]! : -values[row * width + at - width]!;
    });
    return { shape: [shape[0]!, rows / shape[0]!, 2 * heads, ...shape.slice(3)], values: out };
  };

withVectors("a wrong operator is caught (skipped where ../shared/golden is missing)", () => {
  const ops: [what: string, name: string, change: (given: OpCase) => OpCase][] = [
    ["FoX: no decay", "fox_op", (c) => changed(c, { log_fgate: mapped(() => 0) })],
    [
      "FoX: a key's own gate counts",
      "fox_op",
      // Each gate moved on by one token: the key's own then fades it, and the query's does not.
      (c) =>
        changed(c, {
          log_fgate: mapped((_, i, all, [, , h = 1]) => (i >= h ? all[i - h]! : 0)),
        }),
    ],
    ["FoX: decay scaled as scores are", "fox_op", (c) => changed(c, { log_fgate: mapped((x) => x * 12 ** -0.5) })],
    ["FoX: a window", "fox_op_gqa", (c) => changed(c, {}, { window_size: 5 })],
    ["FoX: padding", "fox_op_gqa", (c) => changed(c, {}, { left_padding: [0, 1] })],
    ["stick-breaking: the query's own key is seen", "stickbreaking", (c) => changed(c, {}, { attend_current: true })],
    [
      "stick-breaking: the query's own key is not seen",
      "stickbreaking_attend_current",
      (c) => changed(c, {}, { attend_current: false }),
    ],
    ["selection without relu", "dsa", (c) => changed(c, { q_idx: doubledHeads(6), w_idx: doubledHeads(1) })],
    ["selection of one key more", "dsa", (c) => changed(c, {}, { topk: 6 })],
    ["factors: queries not divided by their rank", "tpa_decode_rank1", (c) => changed(c, {}, { scale_q: 1 })],
    ["delta rule: no beta", "delta_rule", (c) => changed(c, { beta: mapped(() => 1) })],
    ["delta rule: no query scale", "gated_delta_rule", (c) => changed(c, {}, { scale: 1 })],
    ["KDA: no query scale", "kda", (c) => changed(c, {}, { scale: 1 })],
    [
      "KDA: one decay per head",
      "kda",
      (c) =>
        changed(c, {
          g: mapped((_, i, all, shape) => {
            const n = shape[3]!;
            let sum = 0;
            for (let k = 0; k < n; k++) sum += all[i - (i % n) + k]!;
            return sum / n;
          }),
        }),
    ],
    ["gated delta rule: no decay", "gated_delta_rule", (c) => changed(c, { g: mapped(() => 0) })],
  ];
  test.each(ops)("%s", async (_what, name, change) => {
    expect(await opError(name, change)).toBeGreaterThan(20);
  });
  test.each([...new Set(ops.map(([, name]) => name))])("and the right one is not: %s", async (name) => {
    expect(await opError(name, same)).toBeLessThan(1);
  });
});
