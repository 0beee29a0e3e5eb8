import { z } from "zod";
import type { Dtype } from "../../cost/type.ts";
import type { Config } from "../../family/config.ts";
import {
  bits,
  block,
  group,
  mxfp4,
  names,
  nvfp4,
  perBlock,
  perGroup,
  perTensor,
  reading,
  type Scheme,
  type Width,
} from "./scheme.ts";

// Formats that may give every module a scheme of its own.

/** What compressed-tensors says of the weights of a group of modules. */
const weightArgs = z.object({
  num_bits: bits,
  type: z.string().max(40).nullish(),
  strategy: z.string().max(40).nullish(),
  group_size: group.nullish(),
  block_structure: z.union([block, z.string().max(40)]).nullish(),
  symmetric: z.boolean().nullish(),
  scale_dtype: z.string().max(40).nullish(),
});
/** What it says of what is multiplied with them; nothing where that stays as it is. */
const inputArgs = z.object({ num_bits: bits, type: z.string().max(40).nullish() });
const groups = z.record(
  z.string().max(200),
  z.object({
    targets: names.nullish(),
    weights: weightArgs.nullish(),
    input_activations: inputArgs.nullish(),
    format: z.string().max(80).nullish(),
  }),
);

/** The type of products of numbers of so many bits each. */
function productOfBits(bits: number, float: boolean): Dtype | undefined {
  if (bits <= 4) return float ? "int4" : undefined;
  return bits <= 8 ? (float ? "float8" : "int8") : undefined;
}

const compressedKeys = reading({
  config_groups: groups,
  ignore: names.nullish(),
  format: z.string().max(80).nullish(),
});

export function readCompressed(config: Config): Scheme | undefined {
  const keys = compressedKeys(config);
  const abouts: string[] = [];
  const rules = Object.values(keys.config_groups).flatMap(({ targets, weights, input_activations: input, format }) => {
    if (!weights) return [];
    const { num_bits, type, strategy, group_size, block_structure, symmetric } = weights;
    const micro = (format ?? keys.format ?? "").startsWith("mx") || weights.scale_dtype === "torch.uint8";
    const zeros = symmetric === false ? num_bits : 0;
    const scale = micro || (type === "float" && num_bits === 4) ? 8 : 16;
    const square = Array.isArray(block_structure) ? block_structure : undefined;
    const whole = strategy === "tensor" ? perTensor(num_bits) : perGroup(num_bits, -1, scale + zeros);
    const grouped = group_size && group_size > 0 ? perGroup(num_bits, group_size, scale + zeros) : whole;
    const width = square ? perBlock(num_bits, [square[0], square[1]], scale) : grouped;
    const size = square ? ` in blocks of ${square[0]} x ${square[1]}` : grouped === whole ? "" : ` by ${group_size}`;
    abouts.push(`${num_bits}-bit ${type ?? "int"}${size}`);
    const named = targets?.filter((target) => target !== "Linear");
    // Numbers of two widths are multiplied in the wider type.
    const product = input
      ? productOfBits(Math.max(num_bits, input.num_bits), (input.type ?? "int") === "float")
      : undefined;
    const rule = { width, product };
    return [named?.length ? { named, ...rule } : rule];
  });
  const all = rules.find((rule) => !("named" in rule))?.width;
  // Those that name their modules go before the one for all.
  const ordered = rules.toSorted((a, b) => Number("named" in b) - Number("named" in a));
  return { about: [...new Set(abouts)].join(", ") || "dense", rules: ordered, spared: keys.ignore ?? [], head: all };
}

/** ModelOpt's names of algorithms (its hf_quant_config.json): widths, and the type of products. */
const algorithms: Readonly<Record<string, readonly [Width, Dtype?]>> = {
  FP8: [perTensor(8), "float8"],
  FP8_PER_CHANNEL_PER_TOKEN: [perGroup(8, -1, 32), "float8"],
  // "WO": weights only.
  FP8_PB_WO: [perBlock(8, [128, 128], 32)],
  FP8_BLOCK: [perBlock(8, [128, 128], 32), "float8"],
  MXFP8: [perGroup(8, 32, 8), "float8"],
  NVFP4: [nvfp4, "int4"],
  W4A16_NVFP4: [nvfp4],
  NVFP4_AWQ: [nvfp4, "int4"],
  NVFP4_SVDQUANT: [nvfp4, "int4"],
  MXFP4: [mxfp4, "int4"],
  W4A8_MXFP4_FP8: [mxfp4, "float8"],
  W4A16_AWQ: [perGroup(4, 128, 16)],
  INT4_AWQ: [perGroup(4, 128, 16)],
  W4A8_AWQ: [perGroup(4, 128, 16), "float8"],
  INT8_SQ: [perGroup(8, -1, 32), "int8"],
  W8A16: [perGroup(8, -1, 32)],
};

const modeloptKeys = reading({
  quant_algo: z.string().max(80).nullish(),
  ignore: names.nullish(),
  exclude_modules: names.nullish(),
  quantized_layers: z.record(z.string().max(1000), z.object({ quant_algo: z.string().max(80) })).nullish(),
});

export function readModelopt(config: Config): Scheme | undefined {
  const keys = modeloptKeys(config);
  const algo = keys.quant_algo?.toUpperCase();
  const spared = [...(keys.ignore ?? []), ...(keys.exclude_modules ?? [])];
  if (algo === undefined && config.config_groups) return readCompressed(config);
  if (algo !== "MIXED_PRECISION") {
    const found = algorithms[algo ?? ""];
    if (!found) return undefined;
    const [width, product] = found;
    return { about: algo!, rules: [{ width, product }], spared, head: width };
  }
  const layers = Object.entries(keys.quantized_layers ?? {});
  const byAlgo = Map.groupBy(layers, ([, layer]) => layer.quant_algo.toUpperCase());
  if ([...byAlgo.keys()].some((name) => !algorithms[name])) return undefined;
  const rules = [...byAlgo].map(([name, all]) => {
    const [width, product] = algorithms[name]!;
    return { named: all.map(([layer]) => layer), width, product };
  });
  return { about: [...byAlgo.keys()].join(" and "), rules, spared };
}

const quarkWeight = z.object({
  dtype: z.string().max(40),
  qscheme: z.string().max(40).nullish(),
  group_size: group.nullish(),
  scale_format: z.string().max(40).nullish(),
});
const quarkSteps = z.union([quarkWeight, z.array(quarkWeight).min(1).max(8)]).nullish();
const quarkGroup = z.object({ weight: quarkSteps, input_tensors: quarkSteps });

const quarkKeys = reading({
  global_quant_config: quarkGroup.nullish(),
  layer_quant_config: z.record(z.string().max(1000), quarkGroup).nullish(),
  exclude: names.nullish(),
});

export function readQuark(config: Config): Scheme | undefined {
  const keys = quarkKeys(config);
  // Of several steps the last is what is stored.
  const lastOf = (steps: z.infer<typeof quarkSteps>) => (Array.isArray(steps) ? steps.at(-1) : steps);
  const bitsOf = (dtype = "") => Number(/(\d+)/.exec(dtype)?.[1]);
  const readGroup = ({ weight, input_tensors }: z.infer<typeof quarkGroup>) => {
    const [stored, input] = [lastOf(weight), lastOf(input_tensors)];
    const n = bitsOf(stored?.dtype);
    if (!stored || !(n >= 1 && n <= 32)) return undefined;
    const { qscheme, group_size: size, scale_format } = stored;
    const scale = scale_format === "e8m0" ? 8 : 16;
    const width =
      qscheme === "per_tensor" ? perTensor(n) : perGroup(n, qscheme === "per_group" ? (size ?? 32) : -1, scale);
    const product = input
      ? productOfBits(Math.max(n, bitsOf(input.dtype) || 16), /fp|float/i.test(input.dtype))
      : undefined;
    return { about: stored.dtype, width, product };
  };
  const all = keys.global_quant_config ? readGroup(keys.global_quant_config) : undefined;
  const some = Object.entries(keys.layer_quant_config ?? {}).map(([name, of]) => ({ named: [name], ...readGroup(of) }));
  const rules = [
    ...some.flatMap(({ named, width, product }) => (width ? [{ named, width, product }] : [])),
    ...(all ? [{ width: all.width, product: all.product }] : []),
  ];
  const about = [...new Set([all?.about, ...some.map(({ about }) => about)].filter(Boolean))].join(" and ");
  return rules.length ? { about, rules, spared: keys.exclude ?? [], head: all?.width } : undefined;
}
