/** Small models of every variant with what Biform's float64 says of them, as folders that Python reads. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Variant } from "../../src/attention/define.ts";
import { variants } from "../../src/attention/variants.ts";
import { encodeSafetensors } from "../../src/file/safetensors.ts";
import { formsOf, type Model, parametersOf } from "../../src/model/model.ts";
import { forward } from "../../src/model/transformer.ts";
import { crossEntropy } from "../../src/ops/loss/index.ts";
import { positionsOf } from "../../src/ops/rope/index.ts";
import { Random } from "../../src/tensor/random.ts";
import { Kinds, pythonConfig } from "../../src/torch/package.ts";
import { seed } from "../../test/law/check.ts";
import { type Case, cases, tokensOf } from "../../test/law/geometry.ts";
import { named } from "../../test/law/model.ts";
import { type Bounded, boundedGradients, boundedOutput } from "../../test/law/shaken.ts";
import { type Operand, operand, type Program, subjectOf } from "../../test/law/subject.ts";

/** A model, the form it runs in, and how a sequence is cut. */
export interface TorchCase {
  readonly name: string;
  /** Whether FlexAttention runs wherever it can, as on a GPU. */
  readonly flex?: boolean;
  readonly model: Model;
  readonly form: string;
  readonly drawn: Case;
}

const VOCABULARY = 11;

/** Models of one variant: two layers of one draw. */
export function casesOf(variant: Variant, count: number): TorchCase[] {
  return fc
    .sample(cases(variant, 9), { seed, numRuns: count })
    .map((drawn, i) => caseOf(`${variant.name}-${i}`, [drawn, drawn], [variant, variant]));
}

/** Models whose layers are of two variants. */
export function mixedCases(count: number): TorchCase[] {
  const layer = fc.oneof(...variants.map((variant) => cases(variant, 9).map((drawn) => ({ variant, drawn }))));
  return fc.sample(fc.tuple(layer, layer), { seed, numRuns: count }).map(([a, b], i) => {
    // No rule ties the width to the rest.
    const second = { ...b.drawn, sizes: { ...b.drawn.sizes, d: a.drawn.sizes.d } };
    return caseOf(`mixed-${i}`, [a.drawn, second], [a.variant, b.variant]);
  });
}

function caseOf(name: string, drawn: readonly [Case, Case], kinds: readonly [Variant, Variant]): TorchCase {
  const [first] = drawn;
  const bit = (n: number) => ((first.seed >>> n) & 1) === 1;
  const model: Model = {
    vocabulary: VOCABULARY,
    width: first.sizes.d,
    tied: bit(0),
    eps: 1e-6,
    ...(bit(1) && bit(2) && { scales: { embedding: 3, branch: 0.7, head: 0.5 } }),
    layers: kinds.map((variant, i) => ({
      attention: subjectOf(variant, drawn[i]!).attention,
      feed: { kind: "dense", f: 5, ...(bit(3) && { bias: true }) },
    })),
  };
  const forms = formsOf(model);
  return { name, model, form: forms[(first.chunks[0]?.form ?? 0) % forms.length]!, drawn: first };
}

/** The folders' float32 bounds, in the order of the names that Python says. */
export interface Expected {
  readonly logits: number;
  readonly loss: number;
  readonly gradients: Readonly<Record<string, number>>;
}

/** Writes a case for Python, its package included, and gives how far float32 may be from float64. */
export function writeCase(dir: string, { model, form, drawn, flex = false }: TorchCase): Expected {
  const random = new Random(drawn.seed);
  const inputs = parametersOf(model).map(({ name, axes, shape }): Operand => {
    if (axes === "vocabulary d" || axes === "d vocabulary") return operand(name, shape, random, 0.7);
    const letter = name.split(".").at(-1)![0]!;
    if (letter === "b" || letter === "a") return operand(name, shape, random, 0.5);
    return axes.includes(" ") && letter !== "g"
      ? operand(name, shape, random, shape[0]! ** -0.5)
      : operand(name, shape, random, 0.3, 1);
  });
  const { batch } = drawn;
  const tokens = tokensOf(drawn);
  const draw = (least: number) =>
    Int32Array.from({ length: batch * tokens }, () => least + random.integer(VOCABULARY - least));
  const [ids, targets] = [draw(0), draw(-1)];
  targets[0] = 0;
  const positions = positionsOf(0, tokens, batch);
  const scale = Math.max(...model.layers.map(({ attention: { variant, sizes } }) => variant.scale(sizes)));
  const program = (run: Program["run"]): Program => ({ inputs, scale, run });
  const logitsOf: Program["run"] = (tensors) => forward(model, named(inputs, tensors), ids, { positions, batch, form });
  const logits = boundedOutput(program(logitsOf));
  const [loss, ...grads] = boundedGradients(program((tensors) => crossEntropy(logitsOf(tensors), targets)));
  // The probe of a single number is that number times the first of its weights.
  const weight = Math.fround(new Random(1).normals(1)[0]!);
  const kinds = new Kinds();
  const config = pythonConfig(model, kinds);
  mkdirSync(dir, { recursive: true });
  for (const { name, text } of kinds.files()) writeFileSync(join(dir, name), text);
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  const f64 = (name: string, shape: readonly number[], data: ArrayLike<number>) => ({
    name,
    shape: [...shape],
    dtype: "F64" as const,
    data: Float64Array.from(data),
  });
  writeFileSync(
    join(dir, "model.safetensors"),
    encodeSafetensors(
      inputs.map(({ name, shape, values }) => f64(name, shape, values)),
      { format: "pt" },
    ),
  );
  const answers = [
    f64("logits", [batch, tokens, VOCABULARY], logits.exact),
    f64("loss", [1], loss!.exact),
    ...grads.map(({ exact }, i) =>
      f64(
        `gradient.${inputs[i]!.name}`,
        inputs[i]!.shape,
        exact.map((x) => x / weight),
      ),
    ),
  ];
  writeFileSync(join(dir, "answers.safetensors"), encodeSafetensors(answers));
  const chunks = drawn.chunks.map(({ tokens: n, form: i }) => {
    const forms = formsOf(model);
    return [n, forms[i % forms.length]];
  });
  writeFileSync(
    join(dir, "case.json"),
    JSON.stringify({ batch, tokens, form, chunks, flex, forms: formsOf(model), ids: [...ids], targets: [...targets] }),
  );
  const bound = ({ bound: b }: Bounded) => b;
  return {
    logits: bound(logits),
    loss: bound(loss!),
    gradients: Object.fromEntries(grads.map((g, i) => [inputs[i]!.name, g.bound / Math.abs(weight)])),
  };
}
