import { countValues, present, type Sizes, shapeOf } from "../attention/define.ts";
import type { Blueprint, LayerKind } from "../cost/blueprint.ts";
import { cacheBytes, formsOf, layerBytes, layerValues, valuesPerLayer } from "../cost/cost.ts";
import { type CachedForm, keptAs, keptOf } from "../cost/keep.ts";
import { presets } from "./preset/preset.ts";
import { blueprintOfConfig } from "./read/config.ts";

/** Tokens for which bytes are given: one, a window's length of many models, and one that most windows are shorter than. */
const contexts = [1, 4096, 131072] as const;
const dtype = "float16";

type Letter = keyof Sizes & string;

/** What configs call the sizes that decide about caches. */
const cacheNames: Readonly<Partial<Record<Letter, string>>> = {
  h: "num_attention_heads",
  g: "num_key_value_heads",
  e: "head_dim",
  v: "v_head_dim",
  i: "index_head_dim",
  c: "kv_lora_rank",
  n: "qk_nope_head_dim",
  r: "qk_rope_head_dim",
};
/** What the sizes of layers with a state are called here; configs agree on no names for them. */
const stateNames: Readonly<Partial<Record<Letter, string>>> = {
  h: "value_heads",
  g: "key_heads",
  n: "key_head_dim",
  v: "value_head_dim",
  w: "conv_kernel",
  d: "hidden_size",
};

/** The same where a layer has two kinds of them, by the variant's name. */
const ownNames: Readonly<Record<string, Readonly<Partial<Record<Letter, string>>>>> = {
  "GQA+Mamba-2": { j: "state_heads", l: "state_head_dim", k: "state_rows", m: "state_groups" },
  "GDN-PLE": { k: "lookup_channels", j: "lookup_reach" },
};

/** Numbers as a sum of products of sizes. */
interface Derivation {
  readonly values: number;
  /** In names, in numbers, and the result: "kv_lora_rank + qk_rope_head_dim = 512 + 64 = 576". */
  readonly derivation: string;
  readonly fields: Readonly<Record<string, number>>;
}

type Parts = readonly (readonly [name: string, axes: string])[];

/** The numbers that parts hold, derived from sizes by the names of their axes; equal products are added up. */
function derive(parts: Parts, sizes: Sizes, names: typeof cacheNames): Derivation {
  // Values as wide as keys have no name of their own in configs of grouped attention.
  const grouped = parts.every(([, axes]) => axes.startsWith("g "));
  const nameOf = (letter: Letter) => names[grouped && letter === "v" && sizes.v === sizes.e ? "e" : letter]!;
  const fields: Record<string, number> = {};
  const terms = new Map<string, { count: number; numbers: string }>();
  for (const [, text] of parts) {
    const axes = text.split(" ");
    const factors = axes.map((axis) => {
      const [letter, less] = axis.split("-") as [Letter, string?];
      const name = nameOf(letter);
      fields[name] = lengthOf(letter, sizes);
      return less ? `(${name} - ${less})` : name;
    });
    const product = factors.join(" * ");
    const count = (terms.get(product)?.count ?? 0) + 1;
    terms.set(product, { count, numbers: axes.map((axis) => lengthOf(axis, sizes)).join(" * ") });
  }
  const values = countValues(parts, sizes);
  const formula = [...terms].map(([product, { count }]) => times(count, product)).join(" + ");
  const numbers = [...terms.values()].map(({ count, numbers }) => times(count, numbers)).join(" + ");
  const derivation = [formula, ...new Set([numbers, String(values)])].join(" = ");
  return { values, derivation, fields };
}

const times = (count: number, text: string) => (count > 1 ? `${count} * ${text}` : text);
const lengthOf = (axis: string, sizes: Sizes) => shapeOf(axis, sizes)[0]!;

const byContext = (bytes: (context: number) => number) => Object.fromEntries(contexts.map((n) => [n, bytes(n)]));

/** What one layer of a kind keeps. */
function layerOf(kind: LayerKind) {
  const { attention, keeping = {} } = kind;
  const { every, indexEvery, recent, owner } = keeping;
  const { variant, sizes, window } = attention;
  const forms = (Object.keys(keptOf(kind)) as CachedForm[]).flatMap((form) => {
    const parts = present(keptAs(kind, form).attention.variant.cache(sizes));
    return parts.length ? [[form, derive(parts, sizes, cacheNames)] as const] : [];
  });
  const held = present(variant.state?.(sizes) ?? {});
  const state = held.length ? derive(held, sizes, { ...stateNames, ...ownNames[variant.name] }) : undefined;
  return {
    attention: variant.name,
    fields: { ...Object.assign({}, ...forms.map(([, { fields }]) => fields)), ...state?.fields },
    ...(window && { window }),
    ...(every && {
      compression: { tokensPerEntry: every, ...(recent !== undefined && { recentTokensWhole: recent }) },
    }),
    ...(indexEvery && { tokensPerIndexKey: indexEvery }),
    ...(owner !== undefined && {
      keepsNothing: recent
        ? "of entries: these layers read another layer's"
        : "these layers read the cache of another layer",
    }),
    forms: Object.fromEntries(
      forms.map(([form, { values, derivation }]) => [
        form,
        {
          valuesPerEntry: values,
          derivation,
          valuesPerToken: layerValues(kind, form),
          bytes: byContext((context) => layerBytes(kind, form, dtype, context)),
        },
      ]),
    ),
    ...(state && { state: { values: state.values, derivation: state.derivation, bytes: 4 * state.values } }),
  };
}

/** Layers that keep the same, whatever else they differ in. */
function alike(layers: readonly LayerKind[]) {
  const kinds = Map.groupBy(layers, (kind) => JSON.stringify(layerOf(kind)));
  return [...kinds.values()].map((same) => ({
    layers: same.reduce((sum, { count }) => sum + count, 0),
    ...layerOf(same[0]!),
  }));
}

function modelOf(blueprint: Blueprint, source: string) {
  const { name, architecture, layers } = blueprint;
  return {
    name,
    architecture,
    source,
    layers: alike(layers),
    total: Object.fromEntries(
      formsOf(blueprint).map((form) => [
        form,
        {
          valuesPerTokenPerLayer: valuesPerLayer(blueprint, form),
          bytes: byContext((context) => cacheBytes(blueprint, form, dtype, context)),
        },
      ]),
    ),
  };
}

/**
 * What every preset keeps of each token, per layer and in total, in each form, with the derivation: conformance/kv-cache.json, for
 * other tools to test against. One sequence; cached numbers in float16, states in float32.
 */
export function conformance() {
  return {
    format: "biform kv-cache 1",
    dtype,
    bytesPerValue: 2,
    bytesPerStateValue: 4,
    models: presets.map(({ name, config, source }) => modelOf(blueprintOfConfig(config, name), source)),
  };
}
