import type { Cache } from "../attention/cache.ts";
import { formNames, type Parts } from "../attention/define.ts";
import { runAttention } from "../attention/layer.ts";
import { add, addBias, scaled } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { gather } from "../ops/embed/index.ts";
import { gate } from "../ops/gate/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { route } from "../ops/route/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FeedForward, Model } from "./model.ts";

/** Parameters by name, as `parametersOf` lists them. */
export type Weights = ReadonlyMap<string, Tensor>;

/** The tokens to run and how. */
export interface Run {
  /** One per token of `ids`. */
  readonly positions: Int32Array;
  readonly batch?: number;
  /** Which form attention runs in, for all layers or for each; a variant without a form of this name uses its first. */
  readonly form?: string | readonly string[];
  /** One per layer. */
  readonly caches?: readonly Cache[];
  /** Only these rows of the last hidden state go through the head. */
  readonly rows?: readonly [from: number, to: number];
  /** Sees each hidden state: the embeddings, each block's output, and the normed last. */
  readonly watch?: (hidden: Tensor) => void;
}

/** Logits `[rows, vocabulary]` of token ids, `batch` sequences laid one after the other. */
export function forward(model: Model, weights: Weights, ids: Int32Array, run: Run): Tensor {
  const { scales } = model;
  const branch = (y: Tensor) => (scales ? scaled(y, scales.branch) : y);
  let x = gather(weights.get("embed")!, ids);
  if (scales) x = scaled(x, scales.embedding);
  run.watch?.(x);
  model.layers.forEach(({ attention, feed }, i) => {
    const p = part(weights, `layers.${i}.`);
    const wanted = typeof run.form === "string" ? run.form : run.form?.[i];
    const form = wanted && formNames(attention.variant, attention.sizes).includes(wanted) ? wanted : undefined;
    const cache = run.caches?.[i];
    const a = runAttention(attention, part(weights, `layers.${i}.attention.`), rmsNorm(x, p.normAttention, model.eps), {
      positions: run.positions,
      batch: run.batch ?? 1,
      ...(form ? { form } : {}),
      ...(cache ? { cache } : {}),
    });
    x = add(x, branch(a));
    x = add(x, branch(feedForward(feed, part(weights, `layers.${i}.feed.`), rmsNorm(x, p.normFeed, model.eps))));
    if (i < model.layers.length - 1) run.watch?.(x);
  });
  const normed = rmsNorm(run.rows ? x.rows(...run.rows) : x, weights.get("norm"), model.eps);
  run.watch?.(normed);
  const last = scales ? scaled(normed, scales.head) : normed;
  const head = weights.get("head");
  return head ? einsum("t d, d w -> t w", last, head) : einsum("t d, w d -> t w", last, weights.get("embed")!);
}

function feedForward(feed: FeedForward, p: Parts, x: Tensor): Tensor {
  if (feed.kind === "dense") return swiglu(p, "", x);
  const weights = route(einsum("t d, d x -> t x", x, p.wRoute!), feed.routing, p.bRoute);
  // Every expert sees every token and the router's zeros silence the rest: exact, and no faster than dense.
  const inner = gate(einsum("t d, x d f -> x t f", x, p.wGate!), einsum("t d, x d f -> x t f", x, p.wUp!));
  const weighed = einsum("x t f, t x -> x t f", inner, weights);
  const routed = einsum("x t f, x f d -> t d", weighed, p.wDown!);
  return feed.shared ? add(routed, swiglu(p, "shared.", x)) : routed;
}

/** (silu(x wGate) * x wUp) wDown. */
function swiglu(p: Parts, prefix: string, x: Tensor): Tensor {
  const of = (name: string) => p[prefix + name];
  const inner = gate(
    addBias(einsum("t d, d f -> t f", x, of("wGate")!), of("bGate")),
    addBias(einsum("t d, d f -> t f", x, of("wUp")!), of("bUp")),
  );
  return addBias(einsum("t f, f d -> t d", inner, of("wDown")!), of("bDown"));
}

const parts = new WeakMap<Weights, Map<string, Parts>>();

/** The weights whose name starts with `prefix`, by the rest of the name; looked up once per prefix. */
function part(weights: Weights, prefix: string): Parts {
  let known = parts.get(weights);
  if (!known) {
    known = new Map();
    parts.set(weights, known);
  }
  let found = known.get(prefix);
  if (!found) {
    found = Object.fromEntries(
      [...weights].flatMap(([name, t]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), t]] : [])),
    );
    known.set(prefix, found);
  }
  return found;
}
