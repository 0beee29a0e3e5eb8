import type { Parts } from "../attention/define.ts";
import { add, update } from "../ops/add/index.ts";
import { einsum } from "../ops/einsum/index.ts";
import { addExperts, chosenExperts, FEW } from "../ops/expert/few.ts";
import { gate } from "../ops/gate/index.ts";
import { copy } from "../ops/move/index.ts";
import { recorderOf } from "../ops/op.ts";
import { addProduct, gatedProduct, productsOf, type Residual } from "../ops/products/index.ts";
import { route } from "../ops/route/index.ts";
import { scope, Tensor } from "../tensor/tensor.ts";
import type { FeedForward } from "./model.ts";

/** Rows of a prompt that go through half a block at once where a device does not say. */
const ROWS = 256;

/** Rows that go through half a block at once where no tape records: more hold more memory, far fewer take longer. */
export function rowsAtOnce(weight: Tensor): number {
  return weight.device.rowsAtOnce?.(weight.packing) ?? ROWS;
}

/** The feed-forward half of a block, of hidden states `[t, d]`; `p` holds its parameters. */
export function feedForward(feed: FeedForward, p: Parts, x: Tensor): Tensor {
  if (feed.kind === "dense") return swiglu(p, "", x, undefined);
  const routed = experts(feed, p, x);
  return feed.shared ? add(routed, swiglu(p, "shared.", x, undefined)) : routed;
}

/** The same, added in place to what a residual holds. */
export function addFeed(feed: FeedForward, p: Parts, x: Tensor, residual: Residual): void {
  if (feed.kind === "dense") {
    swiglu(p, "", x, residual);
    return;
  }
  if (x.shape[0]! <= FEW && !recorderOf([x, p.wGate])) {
    const { routing: choice, shared } = feed;
    const of = (name: string) => ["t d, d f -> t f", p[`shared.${name}`]!] as const;
    const [logits, inner] = productsOf(
      { x, of: [["t d, d x -> t x", p.wRoute!]] },
      shared ? { x, of: [of("wGate"), of("wUp")] } : undefined,
    );
    const common = inner && { inner, down: p["shared.wDown"]! };
    addExperts({ x, logits, choice, bias: p.bRoute, ...expertsOf(p), shared: common }, residual);
    return;
  }
  // All that reads x goes before the first that adds, since x may be the norm of what is added to.
  const routed = experts(feed, p, x);
  if (feed.shared) swiglu(p, "shared.", x, residual);
  update(residual.into, 1, residual.by, routed);
}

const expertsOf = (p: Parts) => ({ gate: p.wGate!, up: p.wUp!, down: p.wDown! });

function experts({ routing }: FeedForward & { kind: "experts" }, p: Parts, x: Tensor): Tensor {
  const weights = route(einsum("t d, d x -> t x", x, p.wRoute!), routing, p.bRoute);
  if (recorderOf([x, p.wGate])) return everyExpert(p, x, weights);
  return chosenExperts(expertsOf(p), x, weights, routing.perToken);
}

/** (silu(x wGate) * x wUp) wDown, or that added to the residual. Without a tape, a few rows at a time: in between they are several times as wide as x. */
function swiglu(p: Parts, prefix: string, x: Tensor, residual: Residual | undefined): Tensor {
  const [t = 0] = x.shape;
  const most = rowsAtOnce(p[`${prefix}wGate`]!);
  if (t <= most || recorderOf([x, p[`${prefix}wGate`]])) return wholeSwiglu(p, prefix, x, residual);
  const { device } = x;
  const out = residual?.into ?? new Tensor(device, x.shape);
  const pieces = Math.ceil(t / most);
  for (let i = 0; i < pieces; i++)
    scope(device, () => {
      const [from, to] = [Math.floor((i * t) / pieces), Math.floor(((i + 1) * t) / pieces)];
      const some = out.rows(from, to);
      const made = wholeSwiglu(p, prefix, x.rows(from, to), residual && { into: some, by: residual.by });
      if (!residual) copy(made, some);
    });
  return out;
}

function wholeSwiglu(p: Parts, prefix: string, x: Tensor, residual: Residual | undefined): Tensor {
  const of = (name: string) => p[prefix + name];
  const inner = gatedProduct(
    x,
    ["t d, d f -> t f", of("wGate")!, of("bGate")],
    ["t d, d f -> t f", of("wUp")!, of("bUp")],
  );
  return addProduct(inner, ["t f, f d -> t d", of("wDown")!, of("bDown")], residual);
}

/** On a tape: every expert sees every token and the router's zeros silence the rest. Exact, and as costly as dense. */
function everyExpert(p: Parts, x: Tensor, weights: Tensor): Tensor {
  const inner = gate(einsum("t d, x d f -> x t f", x, p.wGate!), einsum("t d, x d f -> x t f", x, p.wUp!));
  return einsum("x t f, x f d -> t d", einsum("x t f, t x -> x t f", inner, weights), p.wDown!);
}
