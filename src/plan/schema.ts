import { z } from "zod";
import type { CachedForm } from "../cost/keep.ts";
import type { Bound } from "../cost/serve.ts";
import type { Limit } from "../cost/time.ts";
import { type Dtype, dtypes } from "../cost/type.ts";

const dtype = z.enum(Object.keys(dtypes) as [Dtype, ...Dtype[]]);
const form = z.enum(["expanded", "absorbed"]) satisfies z.ZodType<CachedForm>;
const limit = z.enum(["compute", "memory", "overhead"]) satisfies z.ZodType<Limit>;
const bytes = z.number().nonnegative();

const model = z.object({
  name: z.string(),
  architecture: z.string(),
  source: z.string().optional(),
  vocabulary: z.int(),
  width: z.int(),
  layers: z.int(),
  maxContext: z.int().optional(),
});

/** One kind of layer: how many there are, and what one of them keeps. */
const layer = z.object({
  count: z.int(),
  variant: z.string(),
  /** By the letters of README: d width, h heads, g groups, n r v key and value dims, c latent rank ... those that are not 0. */
  sizes: z.record(z.string(), z.number()),
  window: z.int().optional(),
  /** Of attention alone. */
  parameters: z.int(),
  /** Numbers that a token leaves in each form. */
  cache: z.partialRecord(form, z.number()),
  /** How entries are kept where that is not one of its own for each token. */
  keeping: z
    .object({
      /** Tokens that one entry, or one key of an indexer, stands for. */
      every: z.int().optional(),
      indexEvery: z.int().optional(),
      /** The last tokens, kept whole beside entries. */
      recent: z.int().optional(),
      /** The layer, counted from 0, whose entries or index keys are read in place of own ones. */
      owner: z.int().optional(),
      indexOwner: z.int().optional(),
    })
    .optional(),
  /** Numbers of a state of fixed size per sequence, float32; and of each of its parts. */
  state: z.int(),
  states: z.record(z.string(), z.int()),
});

const cache = z.object({
  form,
  dtype,
  /** On average over all layers, those without a cache included. */
  valuesPerTokenPerLayer: z.number(),
  /** Of one more token while no window is full, all layers. Layers with a compressed cache count by their rate alone. */
  bytesPerToken: bytes,
  /** Of `settings.context` tokens in each of `settings.batch` sequences, states of fixed size included. */
  bytes,
});

const weights = z.array(z.object({ dtype: z.string(), bytes }));

const start = z.object({
  keyType: z.string().optional(),
  valueType: z.string().optional(),
  sequences: z.int().optional(),
  unified: z.boolean().optional(),
  batchTokens: z.int().optional(),
  wholeWindows: z.boolean().optional(),
  tensor: z.int().optional(),
  context: z.int().optional(),
  drafts: z.int().optional(),
  prefixes: z.boolean().optional(),
});

const engine = z.object({
  engine: z.string(),
  /** The versions that this is true of: "0.7.1 and later". */
  version: z.string(),
  valuesPerTokenPerLayer: z.number(),
  /**
   * a + b S of all sequences together: what does not grow (states, windows that are full), and what one more token of each adds in
   * the long run; at the engine's own type where it has one (FP8 rows with scales), else at `settings.cacheType`.
   */
  fixedBytes: bytes,
  bytesPerToken: bytes,
  /** Of `settings.context` tokens in each of `settings.batch` sequences, the engine's pages, padding and scales included. */
  bytes,
  /** The least that its buffers for computing take beside that, where it is known: llama.cpp's for a physical batch. */
  computeBytes: bytes.optional(),
  /** The most tokens per sequence beside the weights and these on each machine that says its memory; null where no length fills it. */
  longestContext: z.array(z.object({ machine: z.string(), tokens: z.int().nullable() })),
  /** What it keeps, in a few words. */
  keeps: z.string(),
  source: z.string(),
});

/**
 * FLOPs and bytes of the whole model for one step: a prefill of `context` tokens with logits of the last one, or `step` new tokens
 * after `context` others with logits of each; in all `batch` sequences.
 */
const cost = z.object({
  phase: z.enum(["prefill", "decode"]),
  /** What is kept, and the form that attention runs in. */
  cached: form,
  form,
  context: z.int(),
  flops: z.number(),
  /** Weights read; cache and states read and written; keys and values that a step unfolds, written and read. */
  bytes,
  /** FLOPs per byte. */
  intensity: z.number(),
});

const timed = z.object({
  cached: form,
  form,
  seconds: z.number(),
  /** New tokens per second, all sequences together. */
  tokensPerSecond: z.number(),
  limit,
});

const machine = z.object({
  machine: z.string(),
  measured: z.boolean(),
  /** Bytes of memory; absent where the machine does not say. */
  memory: bytes.optional(),
  /** Whether weights and cache of `settings.context` fit, in the smallest form. */
  fits: z.boolean().optional(),
  /** The most tokens per sequence beside the weights; 0 where these alone do not fit, null where no length fills the memory. */
  longestContext: z.array(z.object({ form, dtype, tokens: z.int().nullable() })),
  /** The fastest first. */
  prefill: z.array(timed),
  decode: z.array(timed),
  /** For models with two forms. */
  crossover: z
    .object({
      /** Tokens from which on decoding over latents is faster than over keys and values; null: never. */
      decodeContext: z.number().nullable(),
      /** New tokens of a step over `settings.context` up to which absorbed is faster than unfolding latents for the step. */
      prefillChunk: z.number(),
    })
    .optional(),
});

/** A way to lay a model over several devices, and what each of them holds and sends. */
const layout = z.object({
  layout: z.string(),
  ranks: z.int(),
  tensor: z.int(),
  data: z.int(),
  context: z.int(),
  pipeline: z.int(),
  /** Ranks of a stage over which each layer's experts are split. */
  expert: z.int(),
  weightBytesPerRank: bytes,
  /** Of the smallest form, at `settings.context` and `settings.batch`. */
  cacheBytesPerRank: bytes,
  /** Bytes over all ranks that are there more than once, the first copy not counted. */
  duplicatedWeightBytes: bytes,
  duplicatedCacheBytes: bytes,
  /** Sent by a rank for one decoding step; it receives as many. */
  communicationBytesPerStep: bytes,
  /** Of as many machines as there are ranks: whether one holds its share, and the most tokens per sequence that it would. */
  machines: z.array(z.object({ machine: z.string(), fits: z.boolean(), longestContext: z.int().nullable() })),
  notes: z.array(z.string()),
});

const bound = z.enum(["compute", "memory", "overhead", "network"]) satisfies z.ZodType<Bound>;
/** A step of a group: its seconds, those in which ranks do nothing but send, what most go into; tokens of all sequences, accepted ones where several are proposed. */
const served = z.object({ seconds: z.number(), sending: z.number(), bound, tokensPerSecond: z.number() });
const link = z.object({ kind: z.string(), bytesPerSecond: bytes, latency: z.number() });

/** Several devices that are alike, and the model in every sensible layout over them. */
const group = z.object({
  group: z.string(),
  device: z.string(),
  count: z.int(),
  nodes: z.int(),
  /** Of one device, as far as it is there for a model. */
  memory: bytes,
  /** What joins devices in a node, and nodes: bytes per second of one device in one direction, seconds of an empty message. */
  link: link.optional(),
  network: link.optional(),
  layouts: z.array(
    z.object({
      layout: z.string(),
      tensor: z.int(),
      data: z.int(),
      context: z.int(),
      pipeline: z.int(),
      expert: z.int(),
      weightBytesPerRank: bytes,
      /** Of the smallest form, at `settings.context` and `settings.batch`. */
      cacheBytesPerRank: bytes,
      fits: z.boolean(),
      /** Of each of `settings.batch` sequences; null where no length fills the memory. */
      longestContext: z.int().nullable(),
      /** Of `settings.context` tokens, at the same time. */
      mostSequences: z.int(),
      /** Of `settings.context` tokens in each sequence. */
      prefill: served.optional(),
      decode: served.optional(),
      /** A decoding step with as many sequences as fit. */
      full: served.optional(),
    }),
  ),
  /** The layout with the shortest step, with the most tokens written where all sequences that fit are there, and with the fastest prefill. */
  best: z.array(z.object({ by: z.enum(["latency", "throughput", "prefill"]), layout: z.string(), why: z.string() })),
});

/** Seconds of a step: all, what of them the host computes, and what crosses between its memory and the devices. */
const shared = z.object({ seconds: z.number(), host: z.number(), crossing: z.number(), tokensPerSecond: z.number() });

/** A model on devices and their host, which has the experts or the last layers in its memory and computes them. */
const offload = z.object({
  group: z.string(),
  /** As it was asked for: "experts", "layers:12". */
  offload: z.string(),
  /** Of weights and caches of `settings.context` tokens, and what there is. */
  deviceBytes: bytes,
  deviceMemory: bytes,
  hostBytes: bytes,
  hostMemory: bytes,
  fits: z.boolean(),
  longestContext: z.int().nullable(),
  prefill: shared,
  decode: shared,
});

/** What `biform plan` prints with --json. */
export const planSchema = z.object({
  format: z.literal("biform plan 1"),
  model,
  settings: z.object({
    context: z.int(),
    batch: z.int(),
    step: z.int(),
    /** Tokens of a sequence that a decoding step adds, of `step` that are proposed. */
    accepted: z.number(),
    weightType: z.union([dtype, z.literal("file")]),
    cacheType: dtype,
    /** How engines are started, where not as usual: of one rank where there are several. */
    engine: start.optional(),
  }),
  /** Active: those that work on one token. Hosted: of tables, which may lie in the host's memory; they are in the total. */
  parameters: z.object({ total: z.int(), active: z.int(), hosted: z.int() }),
  weights,
  /** Tables beside the vocabulary's: how many parameters, and how many of them a token reads. */
  tables: z.array(z.object({ name: z.string(), parameters: z.int(), read: z.int() })),
  /** Layers that propose further tokens: what they add where they are used. No other figure counts them. */
  draft: z
    .object({
      name: z.string(),
      layers: z.int(),
      parameters: z.object({ total: z.int(), active: z.int() }),
      weights,
      cache: z.array(cache),
    })
    .optional(),
  layers: z.array(layer),
  cache: z.array(cache),
  engines: z.array(engine),
  costs: z.array(cost),
  machines: z.array(machine),
  layouts: z.array(layout),
  groups: z.array(group),
  offloads: z.array(offload),
  /** What a reader must know: what was assumed, what is not counted. */
  notes: z.array(z.string()),
});
/** A plan as JSON has it: bytes, FLOPs, seconds and tokens, in the fields that docs/plan.schema.json describes. */
export type Plan = z.infer<typeof planSchema>;

/** The JSON Schema (draft 2020-12) of a plan, as published with the package. */
export function planJsonSchema(): Record<string, unknown> {
  return { title: "biform plan", ...z.toJSONSchema(planSchema, { io: "input" }) };
}
