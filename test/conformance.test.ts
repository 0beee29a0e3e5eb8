import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { conformance } from "../src/plan/conformance.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";

const directory = `${import.meta.dirname}/../conformance`;
const file: ReturnType<typeof conformance> = JSON.parse(readFileSync(`${directory}/kv-cache.json`, "utf8"));
const modelOf = (name: string) => file.models.find((model) => model.name === name)!;

test("the file is what the code says today, one record for each preset", () => {
  expect(file).toEqual(JSON.parse(JSON.stringify(conformance())));
  expect(file.models.map(({ name }) => name)).toEqual(presets.map(({ name }) => name));
});

// From here on nothing of src but the presets' fields: each layer of each model, added up in plain loops.

interface Layer {
  /** Bytes of one sequence of so many tokens, in float16. */
  readonly bytes: (tokens: number) => number;
  /** Bytes in latents, where there are any. */
  readonly absorbed?: (tokens: number) => number;
}

const kept = (values: number, window = Infinity) => ({ bytes: (n: number) => 2 * values * Math.min(n, window) });
const stateOf = (values: number): Layer => ({ bytes: () => 4 * values, absorbed: () => 4 * values });

// biome-ignore lint/suspicious/noExplicitAny: configs as they are, read by hand.
type Fields = Record<string, any>;

/** Keys and values of every group: the windows as the models' own code has them. */
function grouped(f: Fields, layer: number): Layer {
  const heads = f.num_attention_heads ?? f.n_head;
  const width = f.head_dim ?? (f.hidden_size ?? f.n_embd) / heads;
  const groups = f.num_key_value_heads ?? f.num_attention_groups ?? f.num_kv_heads ?? (f.multi_query ? 1 : heads);
  const whole = 2 * groups * width;
  const every = (n: number) => (layer + 1) % n === 0;
  if (f.model_type === "llama4_text") return kept(whole, f.no_rope_layers[layer] ? f.attention_chunk_size : undefined);
  if (f.layer_types) return kept(whole, f.layer_types[layer] === "sliding_attention" ? f.sliding_window : undefined);
  if (f.sliding_window_pattern) return kept(whole, every(f.sliding_window_pattern) ? undefined : f.sliding_window);
  return kept(whole, f.sliding_window ?? undefined);
}

function latent(f: Fields, index = 0): Layer {
  const perHead = f.qk_nope_head_dim + f.qk_rope_head_dim + f.v_head_dim;
  return {
    bytes: (n) => 2 * n * (f.num_attention_heads * perHead + index),
    absorbed: (n) => 2 * n * (f.kv_lora_rank + f.qk_rope_head_dim + index),
  };
}

function gated(f: Fields, layer: number): Layer {
  if ((layer + 1) % f.full_attention_interval === 0) return grouped({ ...f, layer_types: undefined }, layer);
  const { linear_num_value_heads: values, linear_num_key_heads: keys } = f;
  const { linear_key_head_dim: k, linear_value_head_dim: v, linear_conv_kernel_dim: kernel } = f;
  return stateOf(values * k * v + (kernel - 1) * (2 * keys * k + values * v));
}

function kimi(f: Fields, layer: number): Layer {
  const { full_attn_layers: full, num_heads: h, head_dim: d, short_conv_kernel_size: kernel } = f.linear_attn_config;
  return full.includes(layer + 1) ? latent(f) : stateOf(h * d * d + (kernel - 1) * 3 * h * d);
}

function ling(f: Fields, layer: number): Layer {
  const { num_hidden_layers: layers, layer_group_size: group, num_attention_heads: h, head_dim: d } = f;
  const full = (layer + 1) % group === 0 || layer >= layers - (layers % group);
  return full ? latent(f) : stateOf(h * d * d + (f.short_conv_kernel_size - 1) * 3 * h * d);
}

/** The last layers read the cache of an earlier one. */
function gemma(f: Fields, layer: number): Layer {
  if (layer >= f.num_hidden_layers - (f.num_kv_shared_layers ?? 0)) return kept(0);
  if (f.layer_types[layer] === "sliding_attention") return grouped(f, layer);
  const groups = f.num_global_key_value_heads ?? f.num_key_value_heads;
  return kept(2 * groups * (f.global_head_dim ?? f.head_dim));
}

/** One entry for several tokens, one vector as key and value; an indexer's key where an entry stands for four. */
function compressed(f: Fields, layer: number): Layer {
  const every = f.compress_ratios[layer];
  const recent = (n: number) => 2 * f.head_dim * Math.min(n, f.sliding_window);
  if (!every) return { bytes: recent };
  const entry = f.head_dim + (every === 4 ? f.index_head_dim : 0);
  return { bytes: (n) => recent(n) + 2 * entry * Math.floor(n / every) };
}

const mimo = (f: Fields, layer: number): Layer =>
  f.hybrid_layer_pattern[layer]
    ? kept(f.swa_num_key_value_heads * (f.swa_head_dim + f.swa_v_head_dim), f.sliding_window)
    : kept(f.num_key_value_heads * (f.head_dim + f.v_head_dim));

const minimax = (f: Fields, layer: number): Layer =>
  f.attn_type_list[layer] ? grouped(f, layer) : stateOf(f.num_attention_heads * f.head_dim ** 2);

const indexed = (f: Fields, layer: number) => latent(f, f.indexer_types?.[layer] === "shared" ? 0 : f.index_head_dim);

/** DeepSeek-V4.1: a window in every layer; pooled entries and their keys in those that others read. */
function shared(f: Fields, layer: number): Layer {
  const every = f.compress_ratios[layer];
  const recent = (n: number) => 2 * f.head_dim * Math.min(n, f.sliding_window);
  if (!f.kv_source_layer_ids.includes(layer)) return { bytes: recent };
  return { bytes: (n) => recent(n) + 2 * (f.head_dim + f.index_head_dim) * Math.floor(n / every) };
}

/** GLM-5.3-Flash: one index key for so many tokens beside latents, or KDA. */
function glm(f: Fields, layer: number): Layer {
  const { num_heads: h, head_dim: d, short_conv_kernel_size: kernel } = f.linear_attn_config;
  if (f.layer_types[layer] === "linear_attention") return stateOf(h * d * d + (kernel - 1) * 3 * h * d);
  const { bytes, absorbed } = latent(f);
  const keys = (n: number) => 2 * f.index_head_dim * Math.floor(n / f.index_kpool);
  return { bytes: (n) => bytes(n) + keys(n), absorbed: (n) => absorbed!(n) + keys(n) };
}

/** Qwen3.8-Flash-Next: pooled index keys beside keys and values; one layer keeps inputs of a convolution over four streams. */
function flashNext(f: Fields, layer: number): Layer {
  const heads = grouped({ ...f, layer_types: undefined }, layer);
  if (f.layer_types[layer] === "full_attention")
    return { bytes: (n) => heads.bytes(n) + 2 * f.indexer_head_dim * Math.floor(n / f.indexer_compress_ratio) };
  const lookup = (f.ple_conv_kernel_size - 1) * f.ngram_size * f.hc_count * f.hidden_size;
  const own = gated({ ...f, full_attention_interval: 9999 }, layer).bytes(0) / 4;
  return stateOf(own + (f.ple_layer_ids.includes(layer + 1) ? lookup : 0));
}

const blocks = (f: Fields, layer: number): Layer => {
  const { sparse_attention_freq: freq, sparse_index_dim: index } = f.sparse_attention_config;
  return kept(2 * f.num_key_value_heads * f.head_dim + freq[layer] * index);
};

const hunyuan = (f: Fields, layer: number): Layer => latent(f, layer === 0 || layer % 4 === 1 ? f.index_head_dim : 0);

/** Motif 3: a latent behind a window in all but the first of four layers; unfolded, a key and a value for each group. */
function motif(f: Fields, layer: number): Layer {
  const held = (n: number) => (layer % f.sliding_window_period ? Math.min(n, f.sliding_window) : n);
  return {
    bytes: (n) => 2 * f.num_key_value_heads * (f.head_dim + f.v_head_dim) * held(n),
    absorbed: (n) => 2 * (f.kv_lora_rank + f.qk_rope_head_dim) * held(n),
  };
}

const mamba2 = (heads: number, dim: number, groups: number, rows: number, kernel: number) =>
  stateOf(heads * dim * rows + (kernel - 1) * (heads * dim + 2 * groups * rows));

function nemotron(f: Fields, layer: number): Layer {
  const kind = f.hybrid_override_pattern[layer];
  if (kind === "M") return mamba2(f.mamba_num_heads, f.mamba_head_dim, f.n_groups, f.ssm_state_size, f.conv_kernel);
  return kept(kind === "*" ? 2 * f.num_key_value_heads * f.head_dim : 0);
}

/** Granite 4 and Bamba, Falcon-H1, Jamba, LFM2. */
function mixed(f: Fields, layer: number): Layer {
  const heads = grouped({ ...f, layer_types: undefined }, layer);
  const own = () => mamba2(f.mamba_n_heads, f.mamba_d_head, f.mamba_n_groups, f.mamba_d_state, f.mamba_d_conv);
  const here = f.layer_types?.[layer] ?? (f.attn_layer_indices?.includes(layer) ? "attention" : "mamba");
  if (f.model_type === "falcon_h1") return { bytes: (n) => heads.bytes(n) + own().bytes(n) };
  if (f.model_type === "jamba")
    return layer % f.attn_layer_period === f.attn_layer_offset
      ? heads
      : stateOf(f.mamba_expand * f.hidden_size * (f.mamba_d_state + f.mamba_d_conv - 1));
  if (here === "conv") return stateOf(f.hidden_size * (f.conv_L_cache - 1));
  return here === "mamba" ? own() : heads;
}

const olmo = (f: Fields, layer: number): Layer => {
  const h = f.num_attention_heads;
  const k = Math.floor((0.75 * f.hidden_size) / h);
  return layer % 4 === 3 ? grouped(f, layer) : stateOf(h * k * 2 * k + (f.linear_conv_kernel_dim - 1) * 4 * h * k);
};

const byType: Readonly<Record<string, (f: Fields, layer: number) => Layer>> = {
  deepseek_v41_text: shared,
  glm5_next_text: glm,
  qwen4_exp_text: flashNext,
  minimax_m3: blocks,
  hy_v4: hunyuan,
  motif3: motif,
  nemotron_h: nemotron,
  granitemoehybrid: mixed,
  bamba: mixed,
  falcon_h1: mixed,
  jamba: mixed,
  lfm2: mixed,
  olmo_hybrid: olmo,
  mamba2: (f) => ({ bytes: mamba2(f.num_heads, f.head_dim, f.n_groups, f.state_size, f.conv_kernel).bytes }),
  // A square state for each head, and the last token's input to both halves of a block.
  rwkv7: (f) => ({ bytes: stateOf(f.hidden_size * f.head_dim + 2 * f.hidden_size).bytes }),
};

function layerOf(f: Fields, layer: number): Layer {
  const type: string = f.model_type;
  const own = byType[type];
  if (own) return own(f, layer);
  if (type === "deepseek_v4") return compressed(f, layer);
  if (type === "kimi_linear") return kimi(f, layer);
  if (type === "bailing_hybrid") return ling(f, layer);
  if (/^gemma(3n|4)/.test(type)) return gemma(f, layer);
  if (type === "mimo_v2_flash") return mimo(f, layer);
  if (type === "minimax_m1") return minimax(f, layer);
  if (f.attention_method === "LSA") return latent(f, layer % f.cli_factor ? 0 : f.index_head_dim);
  if (f.full_attention_interval) return gated(f, layer);
  if (f.index_head_dim) return indexed(f, layer);
  return f.kv_lora_rank ? latent(f) : grouped(f, layer);
}

/** LongCat's blocks have two attentions each. */
const layersOf = (f: Fields): Layer[] =>
  Array.from(
    { length: f.num_hidden_layers ?? f.n_layer ?? f.hybrid_override_pattern?.length ?? 2 * f.num_layers },
    (_, layer) => layerOf(f, layer),
  );

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);

describe("added up from the config's fields alone", () => {
  test.each(presets.map(({ name, config }) => [name, config as Fields] as const))("%s", (name, config) => {
    const layers = layersOf(config.text_config ?? config);
    const { total, layers: records } = modelOf(name);
    expect(sum(records.map(({ layers }) => layers))).toBe(layers.length);
    expect("absorbed" in total).toBe(layers.every(({ absorbed }) => absorbed));
    for (const [form, { bytes }] of Object.entries(total))
      for (const [tokens, written] of Object.entries(bytes)) {
        const each = layers.map((layer) => (form === "absorbed" ? layer.absorbed! : layer.bytes)(Number(tokens)));
        expect([form, tokens, written]).toEqual([form, tokens, sum(each)]);
      }
  });
});

// Counted by hand: entries and recent tokens; states; windows.
test.each([
  // 43 layers x 128 recent tokens x 512, and 21 x 32,768 x (512 + 128) and 20 x 1,024 x 512 entries
  ["deepseek-v4-flash", "expanded", 131_072, 2 * (43 * 128 * 512 + 21 * 32_768 * 640 + 20 * 1_024 * 512)],
  // 7 layers x 576, and 20 states of 32 x 128 x 128 and 3 x 3 x 4,096
  ["kimi-linear-48b-a3b", "absorbed", 131_072, 2 * 7 * 576 * 131_072 + 4 * 20 * (524_288 + 36_864)],
  // 6 layers x 576, and 18 states of 16 x 128 x 128 and 3 x 3 x 2,048
  ["ling-3.0-tiny", "absorbed", 131_072, 2 * 6 * 576 * 131_072 + 4 * 18 * (262_144 + 18_432)],
  ["gemma-3-27b", "expanded", 131_072, 11_173_625_856],
  ["deepseek-r1", "absorbed", 131_072, 9_210_691_584],
  ["deepseek-r1", "expanded", 1, 4_997_120],
  ["llama-3.1-8b", "expanded", 131_072, 16 * 2 ** 30],
  ["gpt2", "expanded", 1, 36_864],
] as const)("%s, %s, at %i tokens: %i bytes", (name, form, context, bytes) => {
  expect(modelOf(name).total[form]!.bytes[context]).toBe(bytes);
});

/** The value of a sum of products, with each name replaced by its field. */
function evaluate(formula: string, fields: Record<string, number>): number {
  const numbers = formula.replace(/[a-z_]+/g, (name) => String(fields[name]));
  expect(numbers).toMatch(/^[\d\s+*()-]+$/);
  return Number(new Function(`return ${numbers}`)());
}

test("every derivation holds: in names, in numbers and in its result, which is the number beside it", () => {
  for (const { layers } of file.models)
    for (const { fields, forms, state } of layers) {
      const derived = Object.values(forms).map(
        ({ derivation, valuesPerEntry }) => [derivation, valuesPerEntry] as const,
      );
      for (const [text, values] of [...derived, ...(state ? [[state.derivation, state.values] as const] : [])]) {
        const sides = text.split(" = ");
        expect(sides.length).toBeGreaterThanOrEqual(2);
        expect(sides.map((side) => evaluate(side, fields))).toEqual(sides.map(() => values));
      }
    }
});

test("the page beside it says what the file says", () => {
  const page = readFileSync(`${directory}/README.md`, "utf8");
  expect(page).toContain(`${file.models.length} public configurations`);
  const { num_hidden_layers: layers, max_position_embeddings: context } = presetOf("deepseek-r1")!.config as Fields;
  const rows = [...page.matchAll(/^\| ([\d,]+) \| ([\d.]+) \|/gm)].map(([, ...cells]) => cells);
  expect(rows).toHaveLength(7);
  for (const [values, gibibytes] of rows)
    expect(gibibytes).toBe(((Number(values!.replace(",", "")) * layers * context * 2) / 2 ** 30).toFixed(2));
  const stated = rows.map(([values]) => Number(values!.replace(",", "")));
  const { total } = modelOf("deepseek-r1");
  expect(stated).toContain(total.absorbed!.valuesPerTokenPerLayer);
  expect(stated).toContain(total.expanded!.valuesPerTokenPerLayer);
});
