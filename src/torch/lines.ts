/** The kernels of the device that writes: each puts down the Python that gives what the kernel gives. */
import type { Fused, Kernels } from "../ops/kernel.ts";
import { DeviceError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ALL } from "./letters.ts";
import { bracket, contraction, finished, functions, withBias } from "./product.ts";
import type { Scribe } from "./scribe.ts";
import { type Value, wordOf } from "./value.ts";

const scribeOf = (x: Tensor) => x.device as Scribe;

/** A value of the shape of `out` whose axes are those of its first argument unless said. */
function made(out: Tensor, args: readonly Value[], write: Value["write"], more: Partial<Value> = {}): Value {
  const [first] = args as [Value];
  return { shape: out.shape, axes: first.axes, tokens: first.tokens, args, write, kind: "wrap", ...more };
}

/** Words behind a call's arguments, those that are missing left out. */
const also = (words: Readonly<Record<string, string | undefined>>) =>
  Object.entries(words).flatMap(([name, text]) => (text === undefined ? [] : [`${name}=${text}`]));

function refuse(what: string): never {
  throw new DeviceError(`torch: got ${what}, which has no words in Python; add them to src/torch/lines.ts`);
}

type Given = Pick<
  Kernels,
  | "accumulate"
  | "attend"
  | "bias"
  | "combine"
  | "contract"
  | "delta"
  | "factored"
  | "map"
  | "multiply"
  | "norm"
  | "previous"
  | "products"
  | "ready"
  | "rope"
  | "select"
> &
  Pick<Fused, "short">;

function normed(scribe: Scribe, x: Value, gain: Tensor | undefined, eps: number): Value {
  const args = gain ? [x, scribe.read(gain)] : [x];
  const write: Value["write"] = ([text, g = "None"]) => `rms_norm(${text}, ${g}, ${scribe.words.factor(eps)})`;
  return { ...x, args, write, kind: "wrap", loose: false, hint: x.axes.join("") === "q" ? "cq" : undefined };
}

function turned(x: Value, back: boolean): Value {
  return {
    ...x,
    args: [x],
    write: ([text]) => `rope(${text}, at${back ? ", back=True" : ""})`,
    kind: "wrap",
    loose: false,
    hint: undefined,
  };
}

export const lines: Given = {
  contract(plan, a, b, out) {
    const scribe = scribeOf(out);
    scribe.put(contraction(plan.spec, plan.shape, scribe.read(a), scribe.read(b)), out);
  },
  products(list, outs) {
    for (const [i, { x, of, by }] of list.entries()) {
      const scribe = scribeOf(outs[i]!);
      if (of[1] || by !== undefined) refuse("a gated product, or one that is added");
      const { plan, weight, bias, after } = of[0];
      const product = scribe.put(contraction(plan.spec, plan.shape, scribe.read(x), scribe.read(weight)));
      const sum = withBias(scribe, product, bias);
      scribe.put(finished(scribe, sum === product ? product : scribe.put(sum), after), outs[i]);
    }
  },
  ready(list, _table, _layout, outs) {
    for (const [i, { x, gain, eps, turned: turn }] of list.entries()) {
      const scribe = scribeOf(x);
      let value = scribe.read(x);
      if (gain) value = scribe.put(normed(scribe, value, gain, eps));
      if (turn) value = scribe.put(turned(value, false));
      scribe.put(value, outs[i]!);
    }
  },
  norm(x, gain, eps, out) {
    const scribe = scribeOf(out);
    scribe.put(normed(scribe, scribe.read(x), gain, eps), out);
  },
  rope(x, _table, _layout, sign, out) {
    scribeOf(out).put(turned(scribeOf(out).read(x), sign < 0), out);
  },
  bias(x, bias, out) {
    const scribe = scribeOf(out);
    scribe.put(withBias(scribe, scribe.read(x), bias), out);
  },
  map(x, by, out) {
    const value = scribeOf(out).read(x);
    scribeOf(out).put(
      made(out, [value], ([text]) => functions[by](text!, value.loose)),
      out,
    );
  },
  combine(alpha, x, beta, y, out) {
    const scribe = scribeOf(out);
    const a = scribe.read(x);
    if (!y) {
      const factor = alpha === -1 ? "-" : `${scribe.words.factor(alpha)} * `;
      scribe.put(
        made(out, [a], ([text]) => factor + bracket(text!, a), { loose: true }),
        out,
      );
      return;
    }
    if (alpha !== 1 || beta !== 1) refuse(`a sum with factors ${alpha} and ${beta}`);
    const b = scribe.read(y);
    scribe.put(
      made(out, [a, b], ([p, q]) => (q!.startsWith("-") ? `${p} - ${q!.slice(1)}` : `${p} + ${q}`), { loose: true }),
      out,
    );
  },
  multiply(a, b, { inner }, out) {
    const scribe = scribeOf(out);
    const [x, y] = [scribe.read(a), scribe.read(b)];
    let [behind, size] = ["", 1];
    for (const n of a.shape.toReversed()) {
      if (size === inner) break;
      size *= n;
      behind += ", None";
    }
    const spread = behind ? `[...${behind}]` : "";
    scribe.put(
      made(out, [x, y], ([p, q]) => `${bracket(p!, x)} * ${bracket(q!, y)}${spread}`, { loose: true }),
      out,
    );
  },
  accumulate(x, _t, start, direction, out) {
    const scribe = scribeOf(out);
    if (direction !== "forward" || !start) refuse("a sum from the end, or from nothing");
    scribe.put(
      made(out, [scribe.read(x), scribe.read(start)], ([a, b]) => `accumulate(${a}, ${b})`),
      out,
    );
  },
  previous(x, _t, first, out) {
    const scribe = scribeOf(out);
    if (!first) refuse("the token before, of none");
    scribe.put(
      made(out, [scribe.read(x), scribe.read(first)], ([a, b]) => `previous(${a}, ${b})`),
      out,
    );
  },
  short(list, outs) {
    for (const [i, { x, w, bias, before, unit }] of list.entries()) {
      const scribe = scribeOf(x);
      if (!before) refuse("a short convolution without a state");
      const args = [scribe.read(x), scribe.read(w), scribe.read(before), ...(bias ? [scribe.read(bias)] : [])];
      const write: Value["write"] = ([a, taps, tail, b]) =>
        `short_conv(${[a, taps, tail, ...also({ bias: b, unit: unit ? "True" : undefined })].join(", ")})`;
      scribe.put(made(outs[i]!, args, write, { kind: "line", also: wordOf(args[2]!) }), outs[i]);
    }
  },
  delta({ q, k, v, beta, decay, scale, by, state }, out, final) {
    const scribe = scribeOf(out);
    if (!state || !final) refuse("a delta rule without a state");
    const args = [q, k, v, beta, state, ...(decay ? [decay] : [])].map((x) => scribe.read(x));
    const write: Value["write"] = ([a, b, c, d, s, log]) =>
      `${by}_delta(${[a, b, c, d, s, ...also({ decay: log, scale: scribe.words.factor(scale) })].join(", ")})`;
    const axes = scribe.read(v).axes;
    scribe.put(made(out, args, write, { axes, kind: "line", also: wordOf(behind(args[4]!)), hint: "o" }), out);
  },
  factored({ q, ak, bk, av, bv, scale, times }, out) {
    const scribe = scribeOf(out);
    const args = [q, ak, bk, av, bv].map((x) => scribe.read(x));
    const factor = times === 1 ? "" : `${scribe.words.factor(times)} * `;
    const write: Value["write"] = (texts) =>
      `${factor}self.attend_factored(${texts.join(", ")}, scale=${scribe.words.factor(scale)})`;
    scribe.put(made(out, args, write, { hint: "o", kind: "product", loose: factor !== "" }), out);
  },
  select({ q, k, weights, scale, count, s }, { rows }) {
    const scribe = scribeOf(q);
    if (s !== ALL) refuse(`a choice among ${s} keys`);
    const args = [q, k, weights].map((x) => scribe.read(x));
    const write: Value["write"] = (texts) =>
      `select(${texts.join(", ")}, scale=${scribe.words.factor(scale)}, count=${scribe.words.whole(count)})`;
    scribe.put(made(rows, args, write, { kind: "line", axes: ["s"], hint: "chosen" }), rows);
  },
  attend(call, out, lse) {
    const scribe = scribeOf(out);
    if (lse || call.start || call.window || !call.causal || call.batch !== 1)
      refuse("a view other than that of all past");
    const read = (x: Tensor) => scribe.read(x);
    // Forget gates come as a term whose query is made of numbers (ops/attend/decay.ts); its key is minus their sums, cut in groups.
    const gates = call.terms.filter(({ q }) => read(q).numbers);
    const terms = call.terms.filter(({ q }) => !read(q).numbers).map(({ q, k }) => [read(q), read(k)] as const);
    const decay = gates.map(({ k }) => behind(read(k)));
    const values = call.values.map(({ v }) => read(v));
    const extra = [...decay, ...[call.sinks, call.chosen].flatMap((x) => (x ? [read(x)] : []))];
    const { stick } = call;
    if (stick && !stick.remainder) refuse("stick-breaking without a remainder");
    const scale = scribe.words.factor(call.scale);
    scribe.put(
      made(
        out,
        [...values, ...terms.flat(), ...extra],
        (texts) => {
          const rest = [...texts];
          const list = rest.splice(0, values.length);
          const pairs = terms.map(() => `(${rest.splice(0, 2).join(", ")})`);
          const words = {
            decay: decay.length ? rest.shift() : undefined,
            sinks: call.sinks && rest.shift(),
            chosen: call.chosen && rest.shift(),
            stick: stick && (stick.current ? '"current"' : '"older"'),
            scale: scale === "self.scale" ? undefined : scale,
          };
          const seen = list.length === 1 ? list[0] : `[${list.join(", ")}]`;
          return `self.attend(${[seen, ...pairs, ...also(words)].join(", ")})`;
        },
        {
          axes: ["h", values.length > 1 ? "v" : values[0]!.axes.at(-1)!],
          tokens: true,
          kind: "product",
          hint: `o${wordOf(values[0]!) === "c" && values.length === 1 ? "c" : ""}`,
        },
      ),
      out,
    );
  },
};

/** The word that a value is some other view or factor of. */
function behind(key: Value): Value {
  let value = key;
  while (value.kind !== "name" && value.args.length === 1) value = value.args[0]!;
  return value;
}
