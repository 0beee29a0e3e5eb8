/** Products and what becomes of them, as Python: what most of a definition is. */
import type { Mapping } from "../ops/map/index.ts";
import type { After } from "../ops/products/after.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Scribe } from "./scribe.ts";
import { type Value, wordOf } from "./value.ts";

/** A text in brackets where it is a sum or a product and stands in another. */
export const bracket = (text: string, value: Value) => (value.loose ? `(${text})` : text);

/** The contraction as torch's einsum takes it: B counts sequences wherever tokens are counted. */
export function contraction(spec: string, out: readonly number[], a: Value, b: Value): Value {
  const [left = "", right = ""] = spec.split("->").map((part) => part.trim());
  const [la = "", lb = ""] = left.split(",").map((part) => part.trim());
  const tokens = a.tokens || b.tokens;
  const letters = right.split(" ");
  const lead = (value: Value, text: string) => (value.tokens ? `B ${text}` : text);
  const said = `${lead(a, la)}, ${lead(b, lb)} -> ${tokens ? "B " : ""}${right}`;
  return {
    shape: out,
    axes: tokens ? letters.slice(1) : letters,
    tokens,
    args: [a, b],
    write: ([x, y]) => `einsum("${said}", ${x}, ${y})`,
    kind: "product",
    hint: hintOf(a, b, letters),
  };
}

/** What a product is called where it needs a name: what it is made of and where it goes, qn over c being qc and x wQ being xQ. */
function hintOf(a: Value, b: Value, letters: readonly string[]): string | undefined {
  const word = wordOf(a);
  if (word === "x") return /^self\.w/.test(wordOf(b) ?? "") ? `x${wordOf(b)!.slice(6)}` : undefined;
  return word && `${word[0]}${letters.at(-1)}`;
}

export function withBias(scribe: Scribe, product: Value, bias: Tensor | undefined): Value {
  if (!bias) return product;
  return {
    ...product,
    args: [product, scribe.read(bias)],
    write: ([x, b]) => `${x} + ${b}`,
    kind: "wrap",
    loose: true,
  };
}

export const functions: Readonly<Record<Mapping, (x: string, loose: boolean | undefined) => string>> = {
  sigmoid: (x) => `sigmoid(${x})`,
  silu: (x) => `silu(${x})`,
  softplus: (x) => `softplus(${x})`,
  logSigmoid: (x) => `logsigmoid(${x})`,
  relu: (x) => `relu(${x})`,
  tanh: (x) => `tanh(${x})`,
  exp: (x, loose) => `${loose ? `(${x})` : x}.exp()`,
};

/** What becomes of a product: a function of it times a factor, with a rate for each head outside or inside of that. */
export function finished(scribe: Scribe, y: Value, after: After | undefined): Value {
  if (!after) return y;
  const { by, times = 1, rate, inside } = after;
  const args = rate ? [y, scribe.read(rate)] : [y];
  const heads = "[..., None]".repeat(Math.max(0, y.axes.length - 1));
  const factor = times === 1 ? "" : times === -1 ? "-" : `${scribe.words.factor(times)} * `;
  return {
    ...y,
    args,
    kind: "wrap",
    hint: undefined,
    loose: factor !== "" || (rate !== undefined && !inside),
    write([x, a]) {
      const weight = a && `${a}.exp()${heads}`;
      const inner = weight && inside ? `${weight} * ${bracket(x!, y)}` : x!;
      const text = by ? functions[by](inner, y.loose) : bracket(inner, y);
      return `${factor}${weight && !inside ? `${weight} * ` : ""}${text}`;
    },
  };
}
