import { z } from "zod";
import type { Config } from "../../family/config.ts";
import { readCompressed, readModelopt, readQuark } from "./mixed.ts";
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
  readSpared,
  type Scheme,
  sayGroup,
} from "./scheme.ts";

const fp8Keys = reading({
  weight_block_size: block.nullish(),
  modules_to_not_convert: names.nullish(),
  ignored_layers: names.nullish(),
  expert_dtype: z.string().max(40).nullish(),
});
const gptqKeys = reading({ bits, group_size: group.nullish(), lm_head: z.boolean().nullish() });
const awqKeys = reading({
  bits: bits.nullish(),
  w_bit: bits.nullish(),
  group_size: group.nullish(),
  q_group_size: group.nullish(),
});
const bitsandbytesKeys = reading({
  load_in_4bit: z.boolean().nullish(),
  bnb_4bit_use_double_quant: z.boolean().nullish(),
  llm_int8_skip_modules: names.nullish(),
});
const torchaoKeys = reading({
  quant_type: z.union([z.string().max(80), z.object({ default: z.looseObject({ _type: z.string().max(80) }) })]),
  quant_type_kwargs: z.object({ group_size: group.nullish() }).nullish(),
});
const exl3Keys = reading({ bits, head_bits: bits.nullish() });
const hqqKeys = reading({
  quant_config: z.object({ weight_quant_params: z.object({ nbits: bits, group_size: group }) }),
  skip_modules: names.nullish(),
});
const mlxKeys = reading({ bits, group_size: group, mode: z.string().max(40).nullish() });
const groupKeys = reading({ group_size: group.nullish() });

/** A scheme by the text of `quant_method`: what reads the keys that stand beside it. */
const methods: Readonly<Record<string, (config: Config) => Scheme | undefined>> = {
  fp8(config) {
    const keys = fp8Keys(config);
    const size = keys.weight_block_size;
    // DeepSeek-V4: a byte of exponent for every 32 numbers of an expert.
    const experts: Scheme["rules"] =
      keys.expert_dtype === "fp4" ? [{ named: ["experts"], width: mxfp4, product: "float8" }] : [];
    // DeepSeek-V4.1, whose blocks are of 32 x 32: Engram's tables are as its matrices, with a byte of exponent for every 32 numbers.
    const table = experts.length && size?.[0] === 32 && size[1] === 32 ? perGroup(8, 32, 8) : undefined;
    return {
      about: `fp8${size ? ` in blocks of ${size[0]} x ${size[1]}` : ""}${experts.length ? ", experts fp4" : ""}`,
      table,
      rules: [...experts, { width: size ? perBlock(8, size, 32) : perTensor(8), product: "float8" }],
      spared: [...(keys.modules_to_not_convert ?? []), ...(keys.ignored_layers ?? [])],
    };
  },
  fbgemm_fp8: (config) => ({
    about: "fp8 by row",
    rules: [{ width: perGroup(8, -1, 32), product: "float8" }],
    spared: readSpared(config),
  }),
  gptq(config) {
    const keys = gptqKeys(config);
    const size = keys.group_size ?? 128;
    // Scales are halves, zeros are packed as the weights are; the order of rows is a number for each input.
    const width = perGroup(keys.bits, size, 16 + keys.bits);
    const head = keys.lm_head ? width : undefined;
    return { about: `${keys.bits} bits ${sayGroup(size)}`, rules: [{ width }], spared: readSpared(config), head };
  },
  awq(config) {
    const keys = awqKeys(config);
    const [n, size] = [keys.bits ?? keys.w_bit ?? 4, keys.group_size ?? keys.q_group_size ?? 128];
    return {
      about: `${n} bits ${sayGroup(size)}`,
      rules: [{ width: perGroup(n, size, 16 + n) }],
      spared: readSpared(config),
    };
  },
  bitsandbytes(config) {
    const keys = bitsandbytesKeys(config);
    // A float32 scale for 64 numbers, or a byte, and a float32 for 256 of those.
    const four = keys.bnb_4bit_use_double_quant ? perGroup(4, 64, 8 + 32 / 256) : perGroup(4, 64, 32);
    const about = keys.load_in_4bit ? "4 bits in blocks of 64" : "8 bits by row";
    const width = keys.load_in_4bit ? four : perGroup(8, -1, 32);
    return { about, rules: [{ width }], spared: keys.llm_int8_skip_modules ?? [] };
  },
  mxfp4: (config) => ({
    about: "mxfp4 in experts",
    rules: [{ named: ["experts"], width: mxfp4 }],
    spared: readSpared(config),
  }),
  "compressed-tensors": readCompressed,
  modelopt: readModelopt,
  quark: readQuark,
  torchao(config) {
    const keys = torchaoKeys(config);
    const { quant_type: type } = keys;
    const name = typeof type === "string" ? type : type.default._type;
    const data = typeof type === "string" ? {} : ((type.default._data ?? {}) as Config);
    const size = groupKeys({ ...data, ...keys.quant_type_kwargs }).group_size ?? 128;
    const width = /int4/i.test(name)
      ? perGroup(4, size, 32)
      : /nvfp4/i.test(name)
        ? nvfp4
        : /^(int8|float8)/i.test(name)
          ? perGroup(8, -1, 32)
          : undefined;
    return width && { about: name, rules: [{ width }], spared: readSpared(config) };
  },
  exl3(config) {
    const keys = exl3Keys(config);
    // Signs and scales of rows and columns: two halves for every one.
    const head = keys.head_bits ? perGroup(keys.head_bits, -1, 32) : undefined;
    return { about: `${keys.bits} bits on average`, rules: [{ width: perGroup(keys.bits, -1, 32) }], spared: [], head };
  },
  hqq(config) {
    const keys = hqqKeys(config);
    const { nbits, group_size } = keys.quant_config.weight_quant_params;
    const width = perGroup(nbits, group_size, 32);
    return { about: `${nbits} bits ${sayGroup(group_size)}`, rules: [{ width }], spared: keys.skip_modules ?? [] };
  },
  bitnet: (config) => ({ about: "2 bits", rules: [{ width: perTensor(2) }], spared: readSpared(config) }),
  /** MLX's own key `quantization`, which says no method. */
  mlx(config) {
    const keys = mlxKeys(config);
    const { mode = "affine" } = keys;
    const width = mode === "nvfp4" ? nvfp4 : mode === "affine" ? perGroup(keys.bits, keys.group_size, 32) : undefined;
    const own = width ?? (mode?.startsWith("mxfp") ? perGroup(keys.bits, keys.group_size, 8) : undefined);
    return (
      own && {
        about: `${keys.bits} bits ${sayGroup(keys.group_size)}`,
        rules: [{ width: own }],
        spared: [],
        head: own,
        embedding: own,
      }
    );
  },
};

const aliases: Readonly<Record<string, string>> = {
  "auto-round": "gptq",
  autoround: "gptq",
  "intel/auto-round": "gptq",
  awq_marlin: "awq",
  gptq_marlin: "gptq",
  exl2: "exl3",
  modelopt_fp4: "modelopt",
  modelopt_mixed: "modelopt",
  nvfp4: "modelopt",
};

/**
 * The scheme of a `quantization_config`; undefined for a method that is not known. Sources: transformers 5 and vLLM 0.33 (their
 * classes of quantization configs), compressed-tensors, ModelOpt, Quark and the published configs that test/shipped.test.ts names.
 *
 * Errors: FormatError naming the key that cannot be read.
 */
export function schemeOf(config: Config, method: string): Scheme | undefined {
  const name = aliases[method] ?? method;
  const scheme = Object.hasOwn(methods, name) ? methods[name]!(config) : undefined;
  return (
    scheme && { ...scheme, about: `${method === "mlx" ? "MLX" : method}: ${scheme.about}`.replace(/^(\w+): \1/, "$1") }
  );
}
