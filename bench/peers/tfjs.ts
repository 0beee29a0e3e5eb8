/**
 * The training step of bench/model.ts in TensorFlow.js (wasm backend; single-threaded in Node, where it refuses threads).
 *
 *   node tfjs.ts DIR
 * The embedding is a product with a one-hot matrix (its gradient's kernel is not registered for wasm), and products have
 * their own gradient that transposes first, since the wasm kernel for transposed operands is several times slower.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type * as Core from "@tensorflow/tfjs";
import { type Parameter, sizes } from "../model.ts";
import type { Answer, Request } from "../peer.ts";
import { serve } from "./serve.ts";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs") as typeof Core;
require("@tensorflow/tfjs-backend-wasm");
await tf.setBackend("wasm");
await tf.ready();

type Tensor = Core.Tensor;
const { width: d, layers, heads, headDim, tokens: t, batch: b, vocabulary } = sizes;
const [folder = ""] = process.argv.slice(2);
const layout = JSON.parse(readFileSync(join(folder, "layout.json"), "utf8")) as { parameters: Parameter[] };
const flat = new Float32Array(new Uint8Array(readFileSync(join(folder, "weights.f32"))).buffer);
const ids = new Int32Array(new Uint8Array(readFileSync(join(folder, "tokens.i32"))).buffer);

const p: Record<string, Core.Variable> = {};
for (const q of layout.parameters) {
  const size = q.shape.reduce((x, y) => x * y, 1);
  p[q.name] = tf.variable(tf.tensor(flat.slice(q.offset, q.offset + size), [...q.shape]), true, q.name);
}
const { add, cast, concat, matMul, mean, mul, reshape, sigmoid, slice, softmax, split, square, sub, sum } = tf;
const { logSoftmax, oneHot, rsqrt, transpose } = tf;
const rows = tf.tensor2d(ids, [b, t + 1], "int32");
const [inputs, targets] = [0, 1].map((shift) => {
  const flatIds = reshape(slice(rows, [0, shift], [b, t]), [b * t]);
  return cast(oneHot(flatIds, vocabulary), "float32");
}) as [Tensor, Tensor];
const angles = tf.tensor(
  Array.from({ length: t }, (_, position) =>
    Array.from({ length: headDim / 2 }, (_, i) => position * sizes.ropeBase ** ((-2 * i) / headDim)),
  ),
);
const cos = tf.cos(angles);
const sin = tf.sin(angles);
const causal = tf.tensor(
  Array.from({ length: t }, (_, row) => Array.from({ length: t }, (_, column) => (column > row ? -1e9 : 0))),
);

const flip = (x: Tensor): Tensor => transpose(x, x.rank === 2 ? [1, 0] : [0, 1, 3, 2]);
const product = tf.customGrad((...args: unknown[]) => {
  const [x, y, save] = args as [Tensor, Tensor, (tensors: Tensor[]) => void];
  save([x, y]);
  const gradFunc = (g: Tensor, saved: Tensor[]) => [matMul(g, flip(saved[1]!)), matMul(flip(saved[0]!), g)];
  return { value: matMul(x, y), gradFunc };
}) as (x: Tensor, y: Tensor) => Tensor;

function norm(x: Tensor, gain: Tensor): Tensor {
  return mul(mul(x, rsqrt(add(mean(square(x), -1, true), sizes.normEpsilon))), gain);
}

function rotate(x: Tensor): Tensor {
  const [first, second] = split(x, 2, -1) as [Tensor, Tensor];
  return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], -1);
}

function loss(): Core.Scalar {
  let x = product(inputs, p.embedding!);
  for (let n = 0; n < layers; n++) {
    const at = (name: string): Tensor => p[`${n}.${name}`]!;
    const y = norm(x, at("norm1"));
    const perHead = (name: string): Tensor =>
      transpose(reshape(product(y, at(name)), [b, t, heads, headDim]), [0, 2, 1, 3]);
    const scores = mul(product(rotate(perHead("wQ")), flip(rotate(perHead("wK")))), headDim ** -0.5);
    const o = product(softmax(add(scores, causal)), perHead("wV"));
    x = add(x, product(reshape(transpose(o, [0, 2, 1, 3]), [b * t, d]), at("wO")));
    const z = norm(x, at("norm2"));
    const gate = product(z, at("gate"));
    x = add(x, product(mul(mul(gate, sigmoid(gate)), product(z, at("up"))), at("down")));
  }
  const logits = product(norm(x, p.norm!), p.head!);
  return reshape(mul(sum(mul(logSoftmax(logits), targets)), -1 / (b * t)), []) as Core.Scalar;
}

const adam = tf.train.adam(sizes.learningRate, sizes.beta1, sizes.beta2, sizes.epsilon);

function train(steps: number): Answer {
  const seconds: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    const value = tf.tidy(() => adam.minimize(loss, true)!);
    losses.push(value.dataSync()[0]!);
    value.dispose();
    seconds.push((performance.now() - start) / 1000);
  }
  return { seconds, losses };
}

await serve({ engine: "TensorFlow.js", version: tf.version_core }, async (request: Request) =>
  request.op === "train" ? train(request.steps) : { unsupported: request.op },
);
