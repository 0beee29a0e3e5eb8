import { z } from "zod";
import type { FeedForward, Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { type Config, readConfig } from "./config.ts";
import { linear, perHead, type Source, type Sources, vector } from "./source.ts";

/** What a GGUF file's header says, as architectures ask for it. */
export interface GgufHeader {
  /** Values of the keys that begin with the architecture's name, without that. */
  readonly settings: Config;
  /** Numbers of the small tensors that belong to the settings (`Architecture.tables`), by name, where they are there. */
  readonly tables: ReadonlyMap<string, readonly number[]>;
  shapeOf(tensor: string): readonly number[] | undefined;
}

/** How one architecture of GGUF files says what a family's config says, and what it calls its tensors. */
export interface Architecture {
  /** `general.architecture`. */
  readonly name: string;
  /** Tensors that are settings and no parameters. */
  readonly tables?: readonly string[];
  /** The config that a folder of the same model has, in one of the families' own keys. Throws FormatError naming the key. */
  config(header: GgufHeader): Config;
  /** What the file's own order of rows makes of the model of that config. */
  adapt?(model: Model): Model;
  /** One source for every parameter. */
  sources(model: Model, header: GgufHeader): Sources;
}

/** Keys of all architectures. */
const shared = {
  vocab_size: z.number().optional(),
  context_length: z.number(),
  embedding_length: z.number(),
  block_count: z.number(),
  nextn_predict_layers: z.number().default(0),
  feed_forward_length: z.number(),
  "attention.head_count": z.number(),
  "attention.head_count_kv": z.number().optional(),
  "attention.key_length": z.number().optional(),
  "attention.value_length": z.number().optional(),
  "attention.layer_norm_rms_epsilon": z.number(),
  "rope.dimension_count": z.number().optional(),
  "rope.freq_base": z.number().default(10000),
  "rope.scaling.type": z.enum(["none", "linear", "yarn", "longrope"]).optional(),
  "rope.scaling.factor": z.number().optional(),
  "rope.scaling.original_context_length": z.number().optional(),
  "rope.scaling.attn_factor": z.literal(1).optional(),
  "rope.scaling.yarn_beta_fast": z.number().optional(),
  "rope.scaling.yarn_beta_slow": z.number().optional(),
  "rope.scaling.yarn_ext_factor": z.literal(1).optional(),
  "rope.scaling.yarn_attn_factor": z.literal(1).optional(),
  // Says how the model was trained, not how it runs.
  "rope.scaling.finetuned": z.boolean().optional(),
};
const sharedSchema = z.object(shared);
type Shared = z.infer<typeof sharedSchema>;

/** Reads settings by the shared keys and an architecture's own. A key that is in neither is refused. Throws FormatError. */
export function readSettings<S extends z.ZodRawShape>(header: GgufHeader, own: S) {
  return readConfig(header.settings, z.object({ ...shared, ...own })) as Shared & z.infer<z.ZodObject<S>>;
}

/** The keys of a config that all architectures fill alike. Rotation is by `rope`, where there is any scaling. */
export function decoderConfig(header: GgufHeader, s: Shared, rope?: Config): Config {
  const [vocabulary, width] = header.shapeOf("token_embd.weight") ?? [];
  if (vocabulary === undefined || width === undefined)
    throw new FormatError(
      "token_embd.weight: got no such tensor of two axes, expected the embedding; use another file",
    );
  return {
    vocab_size: vocabulary,
    hidden_size: s.embedding_length,
    intermediate_size: s.feed_forward_length,
    num_hidden_layers: s.block_count - s.nextn_predict_layers,
    num_attention_heads: s["attention.head_count"],
    rms_norm_eps: rounded(s["attention.layer_norm_rms_epsilon"]),
    tie_word_embeddings: !header.shapeOf("output.weight"),
    max_position_embeddings: s.context_length,
    rope_theta: s["rope.freq_base"],
    ...(rope && { rope_scaling: rope }),
  };
}

/** The scaling of positions in a config's words, or undefined where there is none; `more` goes with YaRN. */
export function scalingOf(s: Shared, more: Config = {}): Config | undefined {
  const factor = s["rope.scaling.factor"];
  switch (s["rope.scaling.type"]) {
    case "linear":
      return { rope_type: "linear", factor };
    case "yarn":
      return {
        rope_type: "yarn",
        factor,
        original_max_position_embeddings: s["rope.scaling.original_context_length"],
        beta_fast: s["rope.scaling.yarn_beta_fast"],
        beta_slow: s["rope.scaling.yarn_beta_slow"],
        ...more,
      };
    default:
      return undefined;
  }
}

/** Files keep numbers in float32: the number of at most seven digits that this is the nearest to. */
export function rounded(x: number): number {
  const short = Number(x.toPrecision(7));
  return Math.fround(short) === Math.fround(x) ? short : x;
}

/** Sources under GGUF's names for what all decoders share; `attention` gives those of one layer's attention. */
export function ggufSources(
  model: Model,
  { shapeOf }: GgufHeader,
  attention: (layer: number, prefix: string) => Readonly<Record<string, Source>>,
): Sources {
  const { width: d, vocabulary } = model;
  const all = new Map<string, Source>();
  all.set("embed", { tensors: ["token_embd.weight"], shape: [vocabulary, d], layout: "stored" });
  model.layers.forEach(({ feed }, i) => {
    const [ours, theirs] = [`layers.${i}.`, `blk.${i}.`];
    all.set(`${ours}normAttention`, vector(`${theirs}attn_norm.weight`, d));
    for (const [name, source] of Object.entries(attention(i, theirs))) all.set(`${ours}attention.${name}`, source);
    all.set(`${ours}normFeed`, vector(`${theirs}ffn_norm.weight`, d));
    for (const [name, source] of feedSources(feed, d, theirs, shapeOf)) all.set(`${ours}feed.${name}`, source);
  });
  all.set("norm", vector("output_norm.weight", d));
  if (!model.tied) all.set("head", linear("output.weight", vocabulary, d));
  return all;
}

function* feedSources(
  feed: FeedForward,
  d: number,
  prefix: string,
  shapeOf: GgufHeader["shapeOf"],
): Generator<[string, Source]> {
  const mlp = function* (under: string, f: number, tail: string, bias = false): Generator<[string, Source]> {
    for (const [ours, theirs] of [
      ["Gate", "gate"],
      ["Up", "up"],
      ["Down", "down"],
    ] as const) {
      const [out, inputs] = ours === "Down" ? [d, f] : [f, d];
      yield [`${under}w${ours}`, linear(`${prefix}ffn_${theirs}${tail}.weight`, out, inputs)];
      if (bias) yield [`${under}b${ours}`, vector(`${prefix}ffn_${theirs}${tail}.bias`, out)];
    }
  };
  if (feed.kind === "dense") return yield* mlp("", feed.f, "", feed.bias);
  const { x, f } = feed;
  yield ["wRoute", linear(`${prefix}ffn_gate_inp.weight`, x, d)];
  if (feed.routing.scores === "sigmoid") yield ["bRoute", vector(`${prefix}exp_probs_b.bias`, x)];
  // All experts lie in one tensor, gates and ups of newer files as well: first the gate's rows of each expert.
  const joined = `${prefix}ffn_gate_up_exps.weight`;
  const stack = (tensor: string, out: number, inputs: number): Source => ({
    tensors: [tensor],
    shape: [x, out, inputs],
    slices: x,
    layout: "transposed",
  });
  if (shapeOf(joined)) {
    yield ["wGate", { ...stack(joined, 2 * f, d), rows: perHead(1, 2 * f, 0, f) }];
    yield ["wUp", { ...stack(joined, 2 * f, d), rows: perHead(1, 2 * f, f, 2 * f) }];
  } else {
    yield ["wGate", stack(`${prefix}ffn_gate_exps.weight`, f, d)];
    yield ["wUp", stack(`${prefix}ffn_up_exps.weight`, f, d)];
  }
  yield ["wDown", stack(`${prefix}ffn_down_exps.weight`, d, f)];
  if (feed.shared) yield* mlp("shared.", feed.shared, "_shexp");
}
