import { z } from "zod";
import type { Sizes } from "../attention/define.ts";
import { type Attention, checkSizes, checkWindow } from "../attention/layer.ts";
import { variants } from "../attention/variants.ts";
import { buildModel } from "../model/build.ts";
import { type FeedForward, type Model, type Parameter, parametersOf } from "../model/model.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { formatJson, parseJson } from "../tensor/json.ts";
import { type Config, count, limits, readConfig, refuse } from "./config.ts";
import type { Family } from "./family.ts";
import type { Architecture } from "./gguf.ts";
import type { Source } from "./source.ts";
import { hubSources, type Place, type Places } from "./table.ts";

// Biform's own format: a model as Biform holds it, said in full, for what no engine's architecture computes. Other engines refuse
// its name, so that none of them runs it as something else.

const whole = z.number().int().min(0).max(limits.width);
const positive = z.number().positive().max(1e12);

/** Sizes under their letters (see `Sizes`). */
const sizesSchema = z.strictObject({
  ...Object.fromEntries([..."dhgnrevcqo"].map((letter) => [letter, whole])),
  ...Object.fromEntries([..."bklwijm"].map((letter) => [letter, whole.optional()])),
  bias: z.enum(["all", "inputs"]).optional(),
  eps: z.number().min(0).max(1).optional(),
  floor: z.number().min(-1e6).max(0).optional(),
  with: z.record(z.string().max(40), z.literal(true)).optional(),
});

const angles = z.array(z.number().min(-1e6).max(1e6)).max(limits.width / 2);
const attentionSchema = z.strictObject({
  variant: z.string().max(40),
  sizes: sizesSchema,
  rotation: z.strictObject({
    frequencies: angles,
    layout: z.enum(["interleaved", "half"]),
    magnitude: positive,
    beyond: z.strictObject({ from: z.number().int().positive(), frequencies: angles }).optional(),
  }),
  scale: positive.optional(),
  window: count(2 ** 31).optional(),
});

const feedSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("dense"), f: count(limits.width * 8), bias: z.boolean().optional() }),
  z.strictObject({
    kind: z.literal("experts"),
    f: count(limits.width * 8),
    x: count(limits.experts),
    shared: z
      .number()
      .int()
      .min(0)
      .max(limits.width * 8),
    routing: z.strictObject({
      scores: z.enum(["softmax", "sigmoid"]),
      perToken: count(limits.experts),
      groups: count(limits.experts),
      perGroup: count(limits.experts),
      normalised: z.boolean().optional(),
      factor: positive,
    }),
  }),
]);

const factor = z.number().positive().max(1e6);
const schema = z.object({
  model_type: z.literal("biform"),
  vocab_size: count(limits.vocabulary),
  hidden_size: count(limits.width),
  num_hidden_layers: count(limits.layers),
  tie_word_embeddings: z.boolean().default(true),
  rms_norm_eps: z.number().min(0).max(1).default(1e-6),
  max_position_embeddings: z.number().int().positive().max(1e12).nullish(),
  /** Where ids are the symbols of a task: no tokenizer makes them of text. */
  ids: z.literal("symbols").optional(),
  /** As `biform train` writes it: a spec, or a pattern of specs, and what it is read by. */
  attention: z.string().max(4000).optional(),
  attention_dims: z.enum(["scaled", "exact"]).optional(),
  attention_scale: positive.optional(),
  num_attention_heads: count(limits.heads).optional(),
  intermediate_size: count(limits.width * 8).nullish(),
  rope_theta: z.number().gt(1).max(1e15).optional(),
  /** Or every layer in full: neighbours that are alike, counted. */
  layers: z
    .array(z.strictObject({ times: count(limits.layers), attention: attentionSchema, feed: feedSchema }))
    .max(limits.layers)
    .optional(),
  scales: z.strictObject({ embedding: factor, branch: factor, head: factor }).optional(),
});
type Said = z.infer<typeof schema>;

/** A model and its config's other keys in Biform's own format: every number of it, exactly. */
export function ownConfig(model: Model, others: Config = {}): Config {
  const layers: { times: number; attention: unknown; feed: FeedForward }[] = [];
  for (const { attention, feed } of model.layers) {
    const said = { attention: describeAttention(attention), feed };
    const last = layers.at(-1);
    if (last && formatJson({ attention: last.attention, feed: last.feed }) === formatJson(said)) last.times++;
    else layers.push({ times: 1, ...said });
  }
  return {
    ...others,
    architectures: ["BiformForCausalLM"],
    model_type: "biform",
    vocab_size: model.vocabulary,
    hidden_size: model.width,
    num_hidden_layers: model.layers.length,
    tie_word_embeddings: model.tied,
    rms_norm_eps: model.eps,
    layers,
    ...(model.scales && { scales: model.scales }),
  };
}

function describeAttention({ variant, sizes, rotation, scale, window }: Attention) {
  const { frequencies, layout, magnitude, beyond } = rotation;
  return {
    variant: variant.name,
    sizes,
    rotation: {
      frequencies: Array.from(frequencies),
      layout,
      magnitude,
      ...(beyond && { beyond: { from: beyond.from, frequencies: Array.from(beyond.frequencies) } }),
    },
    scale,
    window,
  };
}

function modelOf(config: Said): Model {
  const { num_hidden_layers: layers, hidden_size: width, num_attention_heads: heads, attention } = config;
  if ((attention === undefined) === (config.layers === undefined))
    throw new FormatError(
      `layers: got ${attention === undefined ? "neither it nor attention" : "it and attention"}, expected one of both; correct the config`,
    );
  if (attention !== undefined) {
    if (heads === undefined)
      throw new FormatError("num_attention_heads: got nothing, expected a number beside attention; add it");
    return {
      ...buildModel(attention, {
        vocabulary: config.vocab_size,
        width,
        heads,
        layers,
        intermediate: config.intermediate_size ?? undefined,
        tied: config.tie_word_embeddings,
        dims: config.attention_dims,
        scale: config.attention_scale,
        base: config.rope_theta,
      }),
      eps: config.rms_norm_eps,
    };
  }
  const all = config.layers!.flatMap(({ times, ...layer }, i) => {
    const one = { attention: attentionOf(layer.attention, i), feed: layer.feed as FeedForward };
    return Array.from({ length: times }, () => one);
  });
  if (all.length !== layers)
    throw new FormatError(
      `layers: got ${all.length}, expected ${layers}, as num_hidden_layers says; correct the config`,
    );
  return {
    vocabulary: config.vocab_size,
    width,
    layers: all,
    tied: config.tie_word_embeddings,
    eps: config.rms_norm_eps,
    ...(config.scales && { scales: config.scales }),
  };
}

function attentionOf(said: z.infer<typeof attentionSchema>, entry: number): Attention {
  const { sizes, rotation, scale, window } = said;
  const variant = variants.find(({ name }) => name === said.variant);
  if (!variant)
    throw new FormatError(
      `layers.${entry}.attention.variant: got ${formatJson(said.variant)}, expected one of ${variants.map(({ name }) => name).join(", ")}`,
    );
  const z = sizes as unknown as Sizes;
  for (const list of [rotation.frequencies, rotation.beyond?.frequencies])
    if (list?.length && 2 * list.length !== z.r)
      throw new FormatError(
        `layers.${entry}.attention.rotation.frequencies: got ${list.length} numbers, expected one for each of ${z.r / 2} rotary pairs, or none`,
      );
  const { beyond } = rotation;
  const attention: Attention = {
    variant,
    sizes: z,
    rotation: {
      frequencies: Float64Array.from(rotation.frequencies),
      layout: rotation.layout,
      magnitude: rotation.magnitude,
      ...(beyond && { beyond: { from: beyond.from, frequencies: Float64Array.from(beyond.frequencies) } }),
    },
    scale,
    window,
  };
  checkSizes(variant, z);
  checkWindow(attention);
  return attention;
}

/** Matrices are called w and something, by the convention of all variants; gains, biases, rates and taps are no matrices. */
const isMatrix = ({ name }: Parameter) => /(^|\.)(w[A-Z]\w*|embed|head)$/.test(name);

/** Parameters lie under their own names and in their own shapes, in a folder and in a GGUF file alike. */
function places(model: Model): Places {
  return new Map(
    parametersOf(model).map((parameter): [string, Place] => {
      const { name, shape } = parameter;
      const own = isMatrix(parameter) ? { unpacked: true as const } : { plain: true as const };
      const source: Source = { tensors: [name], shape, layout: "stored", ...own };
      return [name, { hub: source, gguf: { usual: source } }];
    }),
  );
}

const read = (config: Config) => readConfig(config, schema) as Said;

/** A GGUF file has the whole config as one text. */
const gguf: Architecture = {
  name: "biform",
  tables: [],
  layout: undefined,
  ignores: () => false,
  config({ settings }) {
    const text = settings.config;
    if (typeof text !== "string")
      throw new FormatError(
        `biform.config: got ${text === undefined ? "nothing" : "no text"}, expected a config as JSON`,
      );
    return readOwnText(text);
  },
  entries: (config) => ({ config: { type: "string", value: JSON.stringify(config) } }),
};

/** The most letters that a config within a GGUF file may have. */
const TEXT_LIMIT = 16_000_000;

/** The config that a GGUF file of Biform's own architecture holds as a text. Throws FormatError. */
export function readOwnText(text: string): Config {
  try {
    if (text.length > TEXT_LIMIT) throw new Error("too long");
    const config = parseJson(text);
    if (typeof config === "object" && config !== null && !Array.isArray(config)) return config as Config;
  } catch (error) {
    throw new FormatError("biform.config: got no JSON, expected a config; use another file", { cause: error });
  }
  throw refuse("biform.config", text.slice(0, 40), "expected an object of keys");
}

/** Biform's own format. */
export const biform: Family = {
  modelTypes: ["biform"],
  gguf,
  read: (config) => read(config) as Config,
  model(config) {
    const said = read(config);
    try {
      return modelOf(said);
    } catch (error) {
      // A spec or sizes that do not fit are the config's fault.
      if (error instanceof ShapeError) throw new FormatError(error.message, { cause: error });
      throw error;
    }
  },
  places,
  sources: (model) => hubSources(places(model)),
  ignores: () => false,
};
