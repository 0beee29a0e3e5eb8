/**
 * The training step of bench/model.ts in jax-js (wasm or WebGPU backend, one `jit` over loss, gradients and Adam).
 *
 *   node jax.ts DIR THREADS     or webgpu instead of THREADS, on the GPU that the package `webgpu` offers
 * As shipped jax-js is single-threaded in Node, which lacks the browser's `Worker`; with THREADS > 1 a stand-in over
 * worker_threads gives it the pool it would have in a browser. The embedding's gradient is a product with a one-hot
 * matrix, since that of `take` does not trace under `jit` in this version; and it is written out, since left to `grad` the
 * compiler fuses the norm's backward pass into that product and computes it again for every element (5 times slower).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Array as Jax } from "@jax-js/jax";
import { type Parameter, sizes } from "../model.ts";
import type { Answer, Request } from "../peer.ts";
import { serve } from "./serve.ts";
import { installWorker } from "./worker.ts";

const [folder = "", threads = "1"] = process.argv.slice(2);
if (Number(threads) > 1) installWorker(Number(threads));
const backend = threads === "webgpu" ? "webgpu" : "wasm";
if (backend === "webgpu") {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  // Kept by navigator: devices of the package end with what made them.
  Object.defineProperty(navigator, "gpu", { value: create([]), configurable: true });
}
const { init, defaultDevice, jit, nn, numpy: np, valueAndGrad, blockUntilReady } = await import("@jax-js/jax");
await init(backend);
defaultDevice(backend);

const { width: d, layers, heads, headDim, tokens: t, batch: b, vocabulary } = sizes;
type Named = Record<string, Jax>;
const float = (values: Float32Array, shape: readonly number[]): Jax => np.array(values).reshape([...shape]);

const layout = JSON.parse(readFileSync(join(folder, "layout.json"), "utf8")) as { parameters: Parameter[] };
const flat = new Float32Array(new Uint8Array(readFileSync(join(folder, "weights.f32"))).buffer);
const ids = new Int32Array(new Uint8Array(readFileSync(join(folder, "tokens.i32"))).buffer);
const names = layout.parameters.map((p) => p.name);
const count = (p: Parameter) => p.shape.reduce((x, y) => x * y, 1);
const each = (make: (p: Parameter) => Jax): Named =>
  Object.fromEntries(layout.parameters.map((p) => [p.name, make(p)]));

/** Where position `i` of the flattened inputs lies in the rows of tokens. */
function place(i: number): number {
  return Math.floor(i / t) * (t + 1) + (i % t);
}

function oneHot(shift: number): Jax {
  const rows = new Float32Array(b * t * vocabulary);
  for (let i = 0; i < b * t; i++) rows[i * vocabulary + ids[place(i) + shift]!] = 1;
  return float(rows, [b * t, vocabulary]);
}

const angles = Array.from({ length: t }, (_, position) =>
  Array.from({ length: headDim / 2 }, (_, i) => position * sizes.ropeBase ** ((-2 * i) / headDim)),
).flat();
const fixed: Named = {
  ids: np.array(Int32Array.from({ length: b * t }, (_, i) => ids[place(i)]!)),
  inputs: oneHot(0),
  targets: oneHot(1),
  cos: float(Float32Array.from(angles, Math.cos), [1, t, 1, headDim / 2]),
  sin: float(Float32Array.from(angles, Math.sin), [1, t, 1, headDim / 2]),
};

// Every function below owns its arguments, as jax-js asks: `.ref` on all uses but the last.
function norm(x: Jax, gain: Jax): Jax {
  const mean = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(mean.add(sizes.normEpsilon)))).mul(gain);
}

function rotate(x: Jax, cos: Jax, sin: Jax): Jax {
  const [first, second] = np.split(x, 2, -1) as [Jax, Jax];
  const top = first.ref.mul(cos.ref).sub(second.ref.mul(sin.ref));
  return np.concatenate([top, second.mul(cos).add(first.mul(sin))], -1);
}

function loss(p: Named, embedded: Jax, f: Named): Jax {
  const at = (name: string): Jax => p[name]!.ref;
  let x = embedded;
  for (let n = 0; n < layers; n++) {
    const y = norm(x.ref, at(`${n}.norm1`));
    const project = (name: string): Jax => np.matmul(y.ref, at(`${n}.${name}`)).reshape([b, t, heads, headDim]);
    const turned = (name: string): Jax => rotate(project(name), f.cos!.ref, f.sin!.ref);
    const o = nn.dotProductAttention(turned("wQ"), turned("wK"), project("wV"), { isCausal: true });
    y.dispose();
    x = x.add(np.matmul(o.reshape([b * t, d]), at(`${n}.wO`)));
    const z = norm(x.ref, at(`${n}.norm2`));
    const gate = nn.silu(np.matmul(z.ref, at(`${n}.gate`)));
    x = x.add(np.matmul(gate.mul(np.matmul(z, at(`${n}.up`))), at(`${n}.down`)));
  }
  const logits = np.matmul(norm(x, at("norm")), at("head"));
  const picked = nn.logSoftmax(logits, -1).mul(f.targets!.ref);
  for (const tree of [p, f]) for (const leaf of Object.values(tree)) leaf.dispose();
  return picked.sum().mul(-1 / (b * t));
}

/** Loss, then parameters and both moments after one Adam update; `c1` and `c2` are the bias corrections of this step. */
const step = jit((p: Named, m: Named, v: Named, f: Named, c1: Jax, c2: Jax) => {
  const held: Named = Object.fromEntries(names.map((name) => [name, p[name]!.ref]));
  const embedded = np.take(p.embedding!.ref, f.ids!.ref, 0);
  const inputs = f.inputs!.ref;
  const [value, [g, atEmbedded]] = valueAndGrad(loss, { argnums: [0, 1] })(p, embedded, f) as unknown as [
    Jax,
    [Named, Jax],
  ];
  g.embedding!.dispose();
  // Returned as well: a result is stored, and so not computed again for every element of this product.
  g.embedding = np.matmul(np.transpose(inputs), atEmbedded.ref);
  const next: [Named, Named, Named] = [{}, {}, {}];
  for (const name of names) {
    const grad = g[name]!;
    const first = m[name]!.mul(sizes.beta1).add(grad.ref.mul(1 - sizes.beta1));
    const second = v[name]!.mul(sizes.beta2).add(np.square(grad).mul(1 - sizes.beta2));
    const divisor = np.sqrt(second.ref.div(c2.ref)).add(sizes.epsilon);
    next[0][name] = held[name]!.sub(first.ref.div(c1.ref).div(divisor).mul(sizes.learningRate));
    next[1][name] = first;
    next[2][name] = second;
  }
  c1.dispose();
  c2.dispose();
  return [value, ...next, atEmbedded];
});

let p = each((q) => float(flat.slice(q.offset, q.offset + count(q)), q.shape));
let m = each((q) => np.zeros([...q.shape]));
let v = each((q) => np.zeros([...q.shape]));
let done = 0;

async function train(steps: number): Promise<Answer> {
  const seconds: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    done++;
    const kept: Named = Object.fromEntries(Object.entries(fixed).map(([name, x]) => [name, x.ref]));
    const corrections = [1 - sizes.beta1 ** done, 1 - sizes.beta2 ** done].map((x) => np.array(x));
    const out = step(p, m, v, kept, corrections[0]!, corrections[1]!) as unknown as [Jax, Named, Named, Named, Jax];
    [, p, m, v] = out;
    out[4].dispose();
    await blockUntilReady([p, m, v]);
    losses.push((await out[0].data())[0]!);
    seconds.push((performance.now() - start) / 1000);
  }
  return { seconds, losses };
}

const { version } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../node_modules/@jax-js/jax/package.json"), "utf8"),
) as { version: string };
await serve({ engine: "jax-js", version }, async (request: Request) =>
  request.op === "train" ? train(request.steps) : { unsupported: request.op },
);
process.exit(0);
