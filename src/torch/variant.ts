/** One attention as a Python module: parameters, cache, state, and its functions as they were written down. */
import {
  cacheOf,
  formNames,
  type Parts,
  paramsOf,
  present,
  type Sizes,
  shapeOf,
  type Variant,
} from "../attention/define.ts";
import type { Attention } from "../attention/layer.ts";
import { positionsOf, rotation } from "../ops/rope/index.ts";
import { DeviceError } from "../tensor/error.ts";
import { Tensor } from "../tensor/tensor.ts";
import { writeBody } from "./body.ts";
import { ALL, NEW, telling, Words } from "./letters.ts";
import { Scribe } from "./scribe.ts";
import { named } from "./value.ts";

/** A scale that no size gives by chance. */
const SCALE = 0.1234567;

/** The functions of a variant at sizes of this kind, written down. Throws DeviceError for what has no words in Python. */
export function writeVariant({ variant, sizes }: Attention): { className: string; text: string } {
  const [one, other] = telling(variant, sizes).map((z) => writeAt(variant, z));
  if (one!.text !== other!.text)
    throw new DeviceError(
      `internal: ${variant.name}: sizes have no words that hold at others; change those of src/torch/letters.ts`,
    );
  return one!;
}

function writeAt(variant: Variant, z: Sizes): { className: string; text: string } {
  const words = new Words(z, SCALE);
  const className = variant.name.replace(/[^A-Za-z0-9]/g, "");
  const forms = formNames(variant, z);
  const over = forms.filter((name) => variant.forms[name]!.over);
  const methods = [projectMethod(variant, z, words)];
  if (over.length && variant.unfold) methods.push(unfoldMethod(variant, z, words));
  for (const form of forms) methods.push(formMethod(variant, z, words, form));
  methods.push(outputMethod(variant, z, words));
  const body = methods.join("\n");
  const table = (entries: readonly (readonly [string, string])[]) =>
    entries.length ? `{${entries.map(([name, axes]) => `"${name}": "${axes}"`).join(", ")}}` : "{}";
  const list = (names: readonly string[]) =>
    `(${names.map((name) => `"${name}"`).join(", ")}${names.length === 1 ? "," : ""})`;
  const text = [
    ...wrapped(`"""${variant.name}: ${variant.source}.`),
    "",
    ...forms.map((form) => `${form}: ${variant.forms[form]!.about}`),
    '"""',
    "",
    ...importsOf(body),
    "",
    "",
    `class ${className}(Attention):`,
    `    forms = ${list(forms)}`,
    ...(over.length ? [`    unfolded = ${list(over)}`] : []),
    "    params = {",
    ...paramsOf(variant, z).map(([name, axes]) => `        "${name}": "${axes}",`),
    "    }",
    `    cache = ${table(cacheOf(variant, z))}`,
    ...(variant.exact?.length ? [`    exact = ${list(variant.exact)}`] : []),
    ...(variant.state ? [`    state = ${table(present(variant.state(z)))}`] : []),
    "",
    body.trimEnd(),
    "",
  ].join("\n");
  return { className, text };
}

/** A text in lines of at most 112 letters. */
const wrapped = (text: string) => text.match(/\S.{0,111}(?=\s|$)/g) ?? [];

const modules: readonly (readonly [module: string, names: readonly string[]])[] = [
  ["torch", ["relu", "sigmoid", "tanh"]],
  ["torch.nn.functional", ["logsigmoid", "silu", "softplus"]],
  [".attention", ["Attention"]],
  [".delta", ["chunked_delta", "recurrent_delta"]],
  [".ops", ["accumulate", "centring", "einsum", "placement", "previous", "rms_norm", "rope", "select", "short_conv"]],
];

function importsOf(body: string): string[] {
  return modules.flatMap(([module, names]) => {
    const used = names.filter((name) => name === "Attention" || new RegExp(`(?<![.\\w])${name}\\(`).test(body));
    return used.length ? [`from ${module} import ${used.join(", ")}`] : [];
  });
}

/** Parameters, and what stands for tensors with tokens, on a page of their own. */
class Page {
  readonly scribe: Scribe;
  readonly p: Parts;
  readonly state: Parts | undefined;
  readonly at;

  constructor(variant: Variant, z: Sizes, words: Words) {
    this.scribe = new Scribe(words);
    const word = (name: string, axes: string) => this.scribe.name(named(name, shapeOf(axes, z), axes, false));
    this.p = Object.fromEntries(paramsOf(variant, z).map(([name, axes]) => [name, word(`self.${name}`, axes)]));
    const state = variant.state && present(variant.state(z));
    this.state = state && Object.fromEntries(state.map(([name, axes]) => [name, word(`state["${name}"]`, axes)]));
    this.at = { positions: positionsOf(ALL - NEW, NEW), rotation: rotation(z.r), batch: 1 };
  }

  /** Parts by name, of so many tokens. */
  parts(axes: readonly (readonly [name: string, axes: string])[], z: Sizes, tokens: number): Parts {
    return Object.fromEntries(
      axes.map(([name, own]) => [name, this.scribe.name(named(name, [tokens, ...shapeOf(own, z)], own, true))]),
    );
  }

  write(name: string, about: string, args: readonly string[], results: Parts | Tensor): string {
    const values =
      results instanceof Tensor ? this.scribe.read(results) : mapValues(results, (t) => this.scribe.read(t));
    return writeBody(name, about, args, this.scribe.page, values);
  }
}

const mapValues = <T>(parts: Parts, by: (t: Tensor) => T) =>
  Object.fromEntries(Object.entries(parts).flatMap(([name, t]) => (t ? [[name, by(t)]] : [])));

function projectMethod(variant: Variant, z: Sizes, words: Words): string {
  const page = new Page(variant, z, words);
  const x = page.scribe.name(named("x", [NEW, z.d], "d", true));
  const parts = variant.project(page.p, x, page.at, z, page.state) as Parts;
  return page.write("project", "Hidden states to queries and to what a token leaves behind.", ["x"], parts);
}

function unfoldMethod(variant: Variant, z: Sizes, words: Words): string {
  const page = new Page(variant, z, words);
  const cached = page.parts(cacheOf(variant, z), z, ALL);
  const parts = variant.unfold!(page.p, cached, z) as Parts;
  const kept = new Set(Object.values(cached));
  const fresh = Object.fromEntries(Object.entries(parts).filter(([, t]) => !kept.has(t)));
  return page.write("unfold", "Rows of the cache to keys and values.", Object.keys(cached), fresh);
}

function formMethod(variant: Variant, z: Sizes, words: Words, form: string): string {
  const page = new Page(variant, z, words);
  const { about, over, run } = variant.forms[form]!;
  const cached = cacheOf(variant, z);
  const unfolded = over ? present(variant.unfolded!(z)) : [];
  const parts = {
    ...page.parts(present(variant.query(z)), z, NEW),
    ...page.parts(cached, z, ALL),
    ...page.parts(unfolded, z, ALL),
  };
  const o = run(page.p, parts, { scale: SCALE, batch: 1 }, z, page.at, page.state);
  return page.write(form, sentence(about), Object.keys(parts), o);
}

function outputMethod(variant: Variant, z: Sizes, words: Words): string {
  const page = new Page(variant, z, words);
  const o = page.scribe.name(named("o", [NEW, z.h, z.v], "h v", true));
  const parts = page.parts(present(variant.query(z)), z, NEW);
  const y = variant.output(page.p, o, page.at, z, parts);
  return page.write("output", "Heads' outputs to hidden states.", ["o", ...Object.keys(parts)], y);
}

const sentence = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}.`;
