import { assume, type Blueprint } from "../../cost/blueprint.ts";
import { type ByPart, countByPart, type Part, parts } from "../../cost/part.ts";
import type { Dtype } from "../../cost/type.ts";
import type { Config } from "../../family/config.ts";
import { linearsOf } from "./linear.ts";
import { schemeOf } from "./method.ts";
import type { Scheme } from "./scheme.ts";
import { countNamed, readWildcards, type Wildcard } from "./wildcard.ts";

/** Keys under which configs say how weights are quantised: that of transformers, an older one of compressed-tensors, MLX's. */
const keys = ["quantization_config", "compression_config", "quantization"] as const;

/**
 * The blueprint with the bytes of weights that a config says they are shipped in: by its `quantization_config` (which matrices at
 * which bits, with scales), all else in its `dtype`. Nothing is added where it says neither. A method that is not known is told in
 * `assumed`, and weights are then counted in the config's type.
 *
 * Errors: FormatError naming the key that cannot be read.
 */
export function shipByConfig(blueprint: Blueprint, config: Config): Blueprint {
  const found = keys.find((key) => typeof config[key] === "object" && config[key] !== null);
  const [type, rest] = /float32/.test(String(config.dtype ?? config.torch_dtype)) ? ["float32", 4] : ["bfloat16", 2];
  if (found === undefined) return rest === 4 ? ship(blueprint, countByPart(blueprint), () => rest, type) : blueprint;
  const settings = config[found] as Config;
  const method = methodOf(settings, found);
  const scheme = schemeOf({ expert_dtype: config.expert_dtype, ...settings }, method);
  if (!scheme) {
    const told = `${found}: ${method.slice(0, 60)} is not known, and weights that no file lists are counted as ${type}`;
    return assume(blueprint, told);
  }
  return quantise(blueprint, scheme, rest, `${scheme.about}; all else ${type}`);
}

/** The name of the method; of ModelOpt's own file and of MLX what they leave out. */
function methodOf(settings: Config, key: string): string {
  const method = settings.quant_method ?? settings.method;
  if (typeof method === "string") return method.toLowerCase();
  if (key === "quantization" && settings.bits !== undefined) return "mlx";
  if (settings.quant_algo !== undefined) return "modelopt";
  return settings.config_groups === undefined ? "a method without quant_method" : "compressed-tensors";
}

function quantise(
  blueprint: Blueprint,
  { rules, spared, head, embedding, table }: Scheme,
  rest: number,
  about: string,
): Blueprint {
  const counts = countByPart(blueprint);
  const bytes = new Map<Part, number>(parts.map((part) => [part, counts[part] * rest]));
  const add = (part: Part, more: number) => bytes.set(part, bytes.get(part)! + more);
  /** Parameters of a part by the type that their products are of. */
  const products = new Map<Part, Map<Dtype | undefined, number>>();
  const multiply = (part: Part, product: Dtype | undefined, parameters: number) => {
    const some = products.get(part) ?? new Map<Dtype | undefined, number>();
    products.set(part, some.set(product, (some.get(product) ?? 0) + parameters));
  };
  const left = readWildcards(spared);
  const count = blueprint.layers.reduce((sum, layer) => sum + layer.count, 0);
  const named = rules.map((rule) => ({ ...rule, ...readWildcards(rule.named ?? []) }));
  for (const { part, names, parameters, layers, inner } of linearsOf(blueprint)) {
    const share = (wildcards: readonly Wildcard[]) => Math.min(1, countNamed(wildcards, names, count) / layers);
    let open = 1 - share(left.wildcards);
    for (const { named: some, wildcards, width, product } of named) {
      const taken = some ? Math.min(open, share(wildcards)) : open;
      add(part, taken * parameters * (width(inner) - rest));
      multiply(part, product, taken * parameters);
      open -= taken;
    }
    multiply(part, undefined, (share(left.wildcards) + open) * parameters);
  }
  const isLeft = (name: string) => left.wildcards.some((wildcard) => wildcard.matches(name));
  const { width } = blueprint;
  if (head && !isLeft("lm_head")) {
    add("head", counts.head * (head(width) - rest));
    multiply("head", rules.find((rule) => !rule.named)?.product, counts.head);
  }
  if (embedding) add("embedding", counts.embedding * (embedding(width) - rest));
  if (table) add("table", counts.table * (table(width) - rest));
  const unclear = [...left.unclear, ...named.flatMap((rule) => rule.unclear)];
  // A part whose matrices are of several types is taken for what most of it is.
  const most = (some: ReadonlyMap<Dtype | undefined, number>) =>
    [...some].reduce((most, one) => (one[1] > most[1] ? one : most))[0];
  const widthOf = (part: Part) => (counts[part] ? bytes.get(part)! / counts[part] : rest);
  const shipped = {
    ...ship(blueprint, counts, widthOf, about),
    products: Object.fromEntries([...products].map(([part, some]) => [part, most(some)])),
  };
  if (unclear.length === 0) return shipped;
  const shown = unclear.slice(0, 3).map((text) => JSON.stringify(text.slice(0, 60)));
  const told = `quantization_config: ${shown.join(", ")}${unclear.length > 3 ? " and others are" : " is"} not understood as names of modules`;
  return assume(shipped, told);
}

function ship(blueprint: Blueprint, counts: ByPart, widthOf: (part: Part) => number, shipped: string): Blueprint {
  const widths = Object.fromEntries(parts.map((part) => [part, widthOf(part)])) as Record<Part, number>;
  const weightBytes = Math.round(parts.reduce((sum, part) => sum + counts[part] * widths[part], 0));
  return { ...blueprint, weightBytes, widths, shipped };
}
