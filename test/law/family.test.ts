import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rowNumbers } from "../../src/checkpoint/arrangement.ts";
import { presetConfig, presets, sizes } from "../../src/checkpoint/preset.ts";
import { ggufMetadata, ggufTensors, type ReadRows, recast, type Tensors } from "../../src/checkpoint/recast.ts";
import { sampleTensors } from "../../src/checkpoint/sample.ts";
import { inventVocabulary } from "../../src/checkpoint/vocabulary.ts";
import { collect } from "../../src/convert/stack.ts";
import { blueprintOf, countParameters } from "../../src/cost/blueprint.ts";
import { ownConfig } from "../../src/family/biform.ts";
import type { Config } from "../../src/family/config.ts";
import { architectures, families, familyOf } from "../../src/family/families.ts";
import { describeGguf } from "../../src/family/header.ts";
import type { Sources } from "../../src/family/source.ts";
import { ggufTargets } from "../../src/family/table.ts";
import { memorySource } from "../../src/file/bytes.ts";
import { readOutline } from "../../src/file/outline.ts";
import { ggufChunks } from "../../src/file/writer.ts";
import { buildModel } from "../../src/model/build.ts";
import { modelSize, parametersOf } from "../../src/model/model.ts";
import { blueprintOfGguf } from "../../src/plan/read/gguf.ts";
import { FormatError } from "../../src/tensor/error.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { join } from "../corpus/gguf.ts";
import { share } from "../extent.ts";
import * as small from "../fixture/checkpoint.ts";
import { seed } from "./check.ts";

// What holds for the table of every family: a name for each parameter in either kind of file, and the way there and back.

const layouts = ["absorbed", "joint"] as const;
const bit = fc.boolean();
const whole = (min: number, max: number) => fc.integer({ min, max });

/** Sizes that all families have. */
const decoder = fc
  .record({
    heads: whole(1, 4),
    width: whole(1, 6),
    inner: whole(1, 9),
    layers: whole(1, 4),
    tied: bit,
    eps: whole(3, 9),
  })
  .map(({ heads, width, inner, layers, tied, eps }) => ({
    vocab_size: 320,
    hidden_size: 2 * heads * width,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    tie_word_embeddings: tied,
    rms_norm_eps: Number(`1e-${eps}`),
    rope_theta: 500 * (eps - 2),
    max_position_embeddings: 256,
  }));
const yarn = { ...small.yarn, mscale: 0.7, mscale_all_dim: 0.7 };
const linear = { type: "linear", factor: 3 };
const grouped = (scalings: readonly object[]) =>
  fc
    .record({ config: decoder, alone: bit, bias: bit, pairs: whole(1, 4), scaling: fc.constantFrom(null, ...scalings) })
    .map(({ config, alone, bias, pairs, scaling }) => ({
      ...config,
      num_key_value_heads: alone ? 1 : null,
      attention_bias: bias,
      head_dim: 2 * pairs,
      rope_scaling: scaling,
    }));
const latent = fc
  .record({
    config: decoder,
    q: whole(0, 5),
    c: whole(1, 7),
    n: whole(1, 5),
    v: whole(1, 5),
    pairs: whole(0, 3),
    bias: bit,
  })
  .map(({ config, q, c, n, v, pairs, bias }) => ({
    ...config,
    q_lora_rank: q || null,
    kv_lora_rank: c,
    qk_nope_head_dim: n,
    qk_rope_head_dim: 2 * pairs,
    v_head_dim: v,
    attention_bias: bias,
  }));
const experts = fc
  .record({
    config: latent,
    first: whole(0, 3),
    inner: whole(1, 4),
    shared: whole(0, 2),
    groups: whole(1, 2),
    yarns: bit,
  })
  .map(({ config, first, inner, shared, groups, yarns }) => ({
    ...config,
    first_k_dense_replace: first,
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    n_shared_experts: shared || null,
    moe_intermediate_size: inner,
    n_group: groups,
    topk_group: 1,
    routed_scaling_factor: 1.5,
    rope_scaling: yarns ? yarn : null,
  }));
/** Layers of two kinds, each with a width of its own. */
const hybrid = fc
  .record({
    config: latent,
    n: whole(1, 4),
    w: whole(2, 4),
    first: whole(0, 3),
    inner: whole(1, 4),
    shared: bit,
    all: bit,
  })
  .map(({ config, n, w, first, inner, shared, all }) => ({
    // A GGUF file says nothing of biases in either kind.
    config: { ...config, attention_bias: false, first_k_dense_replace: first, moe_intermediate_size: inner },
    delta: { n, w },
    shared: shared ? 1 : null,
    experts: all ? 4 : null,
  }));
const factors = { type: "longrope", factor: 1, original_max_position_embeddings: 256 };

/** Biform's own format: any variants, one after the other. */
const own = fc
  .record({ config: decoder, pattern: fc.constantFrom("MLA", "[GLA2,MHA]", "[KDA,MLA-FoX,S3]"), width: whole(1, 3) })
  .map(({ config, pattern, width }) => {
    const { num_hidden_layers: layers, tie_word_embeddings: tied } = config;
    const size = { vocabulary: 320, width: 64 * width, heads: 4, layers, tied };
    const model = buildModel(pattern.replace("S3", "GQA1-(512+64)-S3"), size);
    return ownConfig({ ...model, eps: config.rms_norm_eps });
  });

/** A config of every model type, drawn. */
const drawn: Readonly<Record<string, fc.Arbitrary<Config>>> = {
  llama: fc
    .record({ config: grouped([linear, small.yarn, small.llama3]), bias: bit })
    .map(({ config, bias }) => ({ ...config, mlp_bias: bias })),
  qwen3: grouped([linear, small.yarn]),
  deepseek_v2: fc.record({ config: experts, bit }).map(({ config, bit }) => ({
    ...config,
    topk_method: bit ? "greedy" : "group_limited_greedy",
    norm_topk_prob: bit,
  })),
  deepseek_v3: fc.record({ config: experts, bit }).map(({ config, bit }) => ({ ...config, norm_topk_prob: bit })),
  kimi_k2: experts,
  deepseek_v32: fc.record({ config: experts, heads: whole(1, 3) }).map(({ config, heads }) => ({
    ...config,
    index_n_heads: heads,
    index_head_dim: config.qk_rope_head_dim + heads,
    index_topk: 3,
  })),
  glm4_moe_lite: experts,
  youtu: latent,
  youtu_llm: latent,
  minicpm3: fc.record({ config: latent, far: bit }).map(({ config, far }) => {
    const list = (by: number) => Array.from({ length: config.qk_rope_head_dim / 2 }, (_, i) => 1 + by * i);
    const scaling = { ...factors, short_factor: list(0.5), long_factor: list(far ? 3 : 0.5) };
    return { ...config, dim_model_base: 256, scale_depth: 1.4, scale_emb: 12, rope_scaling: scaling };
  }),
  kimi_linear: fc
    .record({ drawn: hybrid, kinds: fc.array(bit, { minLength: 4, maxLength: 4 }), long: bit })
    .map(({ drawn: { config, delta, shared, experts }, kinds, long }) => {
      const { max_position_embeddings: length, ...rest } = config;
      const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => i + 1);
      return {
        ...rest,
        [long ? "model_max_length" : "max_position_embeddings"]: length,
        mla_use_nope: true,
        linear_attn_config: {
          // The last is never KDA: the planner refuses a model whose keys of MLA are of no layer.
          kda_layers: layers.filter((i) => kinds[i - 1] && i < layers.length),
          full_attn_layers: layers.filter((i) => !kinds[i - 1] || i === layers.length),
          num_heads: config.num_attention_heads,
          head_dim: delta.n,
          short_conv_kernel_size: delta.w,
        },
        num_experts: experts,
        num_experts_per_token: 2,
        num_shared_experts: shared,
        routed_scaling_factor: 2.446,
      };
    }),
  biform: own,
  bailing_hybrid: fc
    .record({ drawn: hybrid, group: whole(1, 4), groups: whole(1, 2), floor: fc.constantFrom(-5, -2.5, undefined) })
    .map(({ drawn: { config, delta, shared, experts }, group, groups, floor }) => ({
      ...config,
      architectures: ["BailingMoeV3ForCausalLM"],
      layer_group_size: group,
      head_dim: delta.n,
      short_conv_kernel_size: delta.w,
      kda_lower_bound: floor,
      num_experts: experts,
      num_experts_per_tok: 2,
      num_shared_experts: shared,
      moe_shared_expert_intermediate_size: 3,
      n_group: groups,
      topk_group: 1,
      routed_scaling_factor: 2.5,
    })),
};
const configs: [string, fc.Arbitrary<Config>][] = families
  .flatMap(({ modelTypes }) => modelTypes)
  .map((type) => [type, drawn[type]!.map((config) => JSON.parse(JSON.stringify({ ...config, model_type: type })))]);
const written = configs.filter(([type]) => familyOf(type)!.gguf);

const modelOf = (config: Config) => familyOf(config.model_type)!.model(config);
const hubOf = (config: Config) => familyOf(config.model_type)!.sources(modelOf(config), config);
const always = <T>(arbitrary: fc.Arbitrary<T>, law: (value: T) => void | Promise<void>, numRuns = 25) =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (value) => law(value)),
    { seed, numRuns: share(numRuns) },
  );

/** Throws where a number of a file's tensors is of no parameter or of two, or a parameter has not all of its own. */
function checkCover(config: Config, sources: Sources): void {
  const parameters = parametersOf(modelOf(config));
  expect([...sources.keys()].sort()).toEqual(parameters.map(({ name }) => name).sort());
  const taken = new Map<string, Uint8Array>();
  for (const { name, shape } of parameters) {
    const source = sources.get(name)!;
    let elements = 0;
    for (const tensor of source.tensors) {
      const width = source.shape.length > 1 ? source.shape.at(-1)! : 1;
      const rows = taken.get(tensor) ?? new Uint8Array(sizeOf(source.shape) / width);
      taken.set(tensor, rows);
      for (const row of rowNumbers(source)) {
        expect(rows[row]).toBe(0);
        rows[row] = 1;
        elements += width;
      }
    }
    expect([name, elements]).toEqual([name, sizeOf(shape)]);
  }
  for (const [tensor, rows] of taken) expect([tensor, rows.includes(0)]).toEqual([tensor, false]);
}

/** Tensors whose every number is another. */
function numbered(sources: Sources): Tensors {
  const shapes = new Map(
    [...sources.values()].flatMap(({ tensors, shape }) => tensors.map((t) => [t, shape] as const)),
  );
  let next = 0;
  // Numbers whose exponential a file holds stay those whose logarithm float32 gives back.
  const held = new Set([...sources.values()].flatMap(({ tensors, plain }) => (plain ? tensors : [])));
  const number = (name: string) => (held.has(name) ? (next++ % 1024) / 1024 : next++);
  const values = new Map(
    [...shapes].map(([name, shape]) => [name, Float32Array.from({ length: sizeOf(shape) }, () => number(name))]),
  );
  return { shapes, read: (name) => values.get(name)! };
}

/** The numbers of tensors that were recast. */
async function readAll(made: ReturnType<typeof recast>): Promise<Tensors> {
  const values = new Map<string, Float32Array>();
  for (const { name, data } of made) values.set(name, await data());
  return { shapes: new Map(made.map(({ name, shape }) => [name, shape])), read: (name) => values.get(name)! };
}

async function expectSame(got: Tensors, wanted: Tensors): Promise<void> {
  expect([...got.shapes.keys()].sort()).toEqual([...wanted.shapes.keys()].sort());
  for (const [name, shape] of wanted.shapes) {
    expect([name, got.shapes.get(name)]).toEqual([name, shape]);
    const [ours, theirs] = [await got.read(name), await wanted.read(name)];
    if (/A_log|ssm_a$/.test(name)) expect(Math.max(...ours.map((x, i) => Math.abs(x - theirs[i]!)))).toBeLessThan(1e-6);
    else expect([name, ours]).toEqual([name, theirs]);
  }
}

describe.each(configs)("the table of %s", (_type, arbitrary) => {
  test("has each parameter once in a folder, and each number of the folder in one parameter", () =>
    always(arbitrary, (config) => checkCover(config, hubOf(config))));
});

describe.each(written)("GGUF files of %s", (_type, arbitrary) => {
  test.each(layouts)("have each parameter once, and each number in one parameter: %s", (layout) =>
    always(arbitrary, (config) =>
      checkCover(config, ggufTargets(familyOf(config.model_type)!.places(modelOf(config)), layout)),
    ),
  );

  test("hold the folder's numbers, which come back as they were, whatever way they take", () =>
    always(arbitrary, async (config) => {
      const parameters = parametersOf(modelOf(config));
      const places = familyOf(config.model_type)!.places(modelOf(config));
      const [hub, absorbed, joint] = [hubOf(config), ...layouts.map((layout) => ggufTargets(places, layout))] as const;
      const folder = numbered(hub);
      const rows: ReadRows = async (name, first, count) => {
        const all = await folder.read(name);
        const width = all.length / folder.shapes.get(name)![0]!;
        return all.slice(first * width, (first + count) * width);
      };
      const moved = recast(parameters, hub, absorbed!, folder.read, rows);
      const apart = await readAll(moved);
      for (const { name, pieces } of moved)
        if (pieces) expect([name, (await collect(pieces()))[0]]).toEqual([name, await apart.read(name)]);
      expect(moved.some(({ pieces }) => pieces)).toBe(true);
      const joined = await readAll(recast(parameters, absorbed!, joint!, apart.read));
      await expectSame(joined, await readAll(recast(parameters, hub, joint!, folder.read)));
      await expectSame(await readAll(recast(parameters, joint!, hub, joined.read)), folder);
    }));

  test.each(layouts)("say what the config says, and nothing else when said again: %s", (layout) =>
    always(arbitrary, (config) => {
      // It throws where what is read again is another model.
      const { entries, tables, architecture, sources } = describeGguf(config, layout);
      const shapes = new Map([...sources.values()].flatMap(({ tensors, shape }) => tensors.map((t) => [t, shape])));
      const settings = Object.entries(entries).flatMap(([key, entry]) => (entry ? [[key, entry.value]] : []));
      const again = architectures
        .find(({ name }) => name === architecture)!
        .config({
          settings: Object.fromEntries(settings),
          tables,
          shapeOf: (tensor) => shapes.get(tensor) as number[] | undefined,
        });
      const { model_type: _, ...read } = again;
      expect(modelSize(modelOf(again))).toBe(modelSize(modelOf(config)));
      const { entries: second, tables: kept } = describeGguf({ ...read, model_type: again.model_type }, layout);
      expect(defined(second)).toEqual(defined(entries));
      expect(kept).toEqual(tables);
    }),
  );

  test("are of the same sizes to the planner, by their header alone", () =>
    always(
      arbitrary,
      async (config) => {
        const metadata = ggufMetadata(config, inventVocabulary(320), "F32", "absorbed", "x");
        const tensors = ggufTensors(config, sampleTensors(config, { seed: 1 }), "F32", "absorbed");
        const pieces: Uint8Array[] = [];
        for await (const piece of ggufChunks("x.gguf", metadata, tensors)) pieces.push(piece.slice());
        const planned = blueprintOfGguf(await readOutline(memorySource("x.gguf", join(...pieces))), "x");
        const ran = blueprintOf(modelOf(config), "x");
        expect(countParameters(planned)).toEqual(countParameters(ran));
        expect(planned.layers.map(({ attention: { sizes } }) => sizes)).toEqual(
          ran.layers.map((l) => l.attention.sizes),
        );
      },
      6,
    ));
});

const defined = (entries: object) => Object.fromEntries(Object.entries(entries).filter(([, entry]) => entry));

test.each(presets.flatMap((preset) => sizes.map((size) => [preset, size] as const)))(
  "a GGUF file of the preset %s %s is the model of its config",
  (preset, size) => {
    for (const layout of layouts) expect(() => describeGguf(presetConfig(preset, size), layout)).not.toThrow();
  },
);

test.each<[what: RegExp, config: object]>([
  [/model_type: got "deepseek_v32"/, small.deepseek32],
  [/scales\.embedding 3, .* 12/, small.minicpm],
  [/rotation\.layout "half", .* "interleaved"/, { ...small.deepseek3, rope_interleave: false }],
  [/rotation\.magnitude/, { ...small.deepseek3, rope_scaling: { ...yarn, mscale: 1.5 } }],
  [
    /layers\.3\.feed\.kind "dense"/,
    { ...small.deepseek, moe_layer_freq: 2, first_k_dense_replace: 1, num_hidden_layers: 4 },
  ],
  [/layers\.1\.feed\.kind "dense"/, { ...small.glm, mlp_layer_types: ["sparse", "dense", "sparse"] }],
  [/rotation\./, { ...small.qwen, rope_scaling: small.llama3 }],
  [/max_position_embeddings: got nothing/, { ...small.llama, max_position_embeddings: null }],
  [/rope_scaling\.factor: got nothing/, { ...small.llama, rope_scaling: { ...small.yarn, factor: null } }],
])("what a GGUF file has no words for is refused by name: %s", (message, config) => {
  const refuse = () => describeGguf(JSON.parse(JSON.stringify(config)), "absorbed");
  expect(refuse).toThrow(message);
  expect(refuse).toThrow(FormatError);
});

test("laws see an error: rows that two parameters take, rows that none takes, a parameter without a place", () => {
  const config: Config = { ...small.deepseek3, vocab_size: 320 };
  const change = (name: string, by: object | undefined) => {
    const sources = new Map(hubOf(config));
    if (by) sources.set(name, { ...sources.get(name)!, ...by });
    else sources.delete(name);
    return () => checkCover(config, sources);
  };
  const { rows } = hubOf(config).get("layers.0.attention.wUV")!;
  expect(change("layers.0.attention.wUV", { rows })).not.toThrow();
  expect(change("layers.0.attention.wUV", { rows: { ...rows!, from: rows!.from - 1, to: rows!.to - 1 } })).toThrow();
  expect(change("layers.0.attention.wUV", { rows: { ...rows!, from: rows!.from + 1 } })).toThrow();
  expect(change("layers.0.attention.wUV", undefined)).toThrow();
  expect(change("layers.0.attention.wO", { tensors: ["model.layers.1.self_attn.o_proj.weight"] })).toThrow();
});
