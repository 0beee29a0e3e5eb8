import { describe, expect, test } from "vitest";
import { type Blueprint, countParameters } from "../src/cost/blueprint.ts";
import { cacheBytes, formsOf } from "../src/cost/cost.ts";
import { memorySource } from "../src/file/bytes.ts";
import { readOutline } from "../src/file/outline.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { blueprintOfGguf } from "../src/plan/read/gguf.ts";
import { ggufOf, key, line, list, text, u32 } from "./corpus/gguf.ts";
import * as field from "./fixture/field.ts";

// GGUF headers of the architectures of 2026, by the keys that their converters write, beside the same model's config.

type Value = number | readonly number[];

/** A header with these keys, numbers as u32 and lists of them; `lines` are its tensors. */
async function headerOf(arch: string, values: Readonly<Record<string, Value>>, lines: Uint8Array[] = []) {
  const keys = Object.entries(values).map(([name, value]) =>
    typeof value === "number"
      ? key(`${arch}.${name}`, 4, u32(value))
      : list(`${arch}.${name}`, 4, value.length, u32(...value)),
  );
  const file = ggufOf({ keys: [key("general.architecture", 8, text(arch)), ...keys], tensors: lines });
  return blueprintOfGguf(await readOutline(memorySource("x.gguf", file)), "x");
}

/** What is kept of so many tokens in the smallest form, and the layers by kind. */
const told = (blueprint: Blueprint) => ({
  kept: [1, 100, 5000].map((n) => cacheBytes(blueprint, formsOf(blueprint).at(-1)!, "float16", n)),
  layers: blueprint.layers.map(({ count, attention: { variant, window }, keeping }) => [
    count,
    variant.name,
    window,
    keeping?.every,
    keeping?.owner,
    keeping?.indexEvery,
  ]),
  tables: blueprint.tables,
});

/** Holds a header to a config: what is kept, every layer's kind, and tables; parameters where both say all of them. */
async function agree(arch: string, values: Readonly<Record<string, Value>>, config: object, lines: Uint8Array[] = []) {
  const [found, wanted] = [await headerOf(arch, values, lines), blueprintOfConfig(config as never, "x")];
  expect(told(found)).toEqual(told(wanted));
  return { found, wanted };
}

describe("DeepSeek-V4.1 (deepseek41)", () => {
  const { compress_ratios: ratios, ...small } = field.v41Small;
  const keys = {
    vocab_size: small.vocab_size,
    embedding_length: small.hidden_size,
    block_count: small.num_hidden_layers,
    context_length: 1000,
    expert_feed_forward_length: small.moe_intermediate_size,
    expert_count: small.n_routed_experts,
    expert_used_count: small.num_experts_per_tok,
    expert_shared_count: 1,
    "attention.head_count": small.num_attention_heads,
    "attention.head_count_kv": 1,
    "attention.key_length": small.head_dim,
    "attention.q_lora_rank": small.q_lora_rank,
    "attention.output_lora_rank": small.o_lora_rank,
    "attention.output_group_count": small.o_groups,
    "attention.sliding_window": small.sliding_window,
    "attention.compress_ratios": ratios,
    "attention.indexer.head_count": small.index_n_heads,
    "attention.indexer.key_length": small.index_head_dim,
    "attention.indexer.top_k": small.index_topk,
    "rope.dimension_count": small.qk_rope_head_dim,
    "hyper_connection.count": 4,
  };
  const owners = {
    "attention.kv_source_layer_ids": small.kv_source_layer_ids,
    "attention.index_source_layer_ids": small.index_source_layer_ids,
  };
  const config = { ...field.v41Small, model_type: "deepseek_v41" };

  test("is what its config is: which layers make entries by key", async () => {
    const { found, wanted } = await agree("deepseek41", { ...keys, ...owners }, config);
    expect(told(found).kept[2]).toBe(2 * (16 * (2500 + 5000) + 6 * 4 * 8));
    expect(countParameters(found).active).toBe(countParameters(wanted).active);
  });
  test("or by which have the tensors, of a file in parts", async () => {
    const lines = [
      ...small.kv_source_layer_ids.map((i) => line(`blk.${i}.attn_compressor_kv.weight`, [16, 8])),
      ...small.index_source_layer_ids.map((i) => line(`blk.${i}.indexer.attn_q_b.weight`, [8, 16])),
    ];
    const part = { ...keys, vocab_size: 64 };
    const said = [key("general.architecture", 8, text("deepseek41")), key("split.count", 4, u32(2))];
    const values = Object.entries(part).map(([name, value]) =>
      typeof value === "number"
        ? key(`deepseek41.${name}`, 4, u32(value))
        : list(`deepseek41.${name}`, 4, value.length, u32(...value)),
    );
    const file = ggufOf({ keys: [...said, ...values], tensors: lines });
    const found = blueprintOfGguf(await readOutline(memorySource("x.gguf", file)), "x");
    expect(told(found).kept).toEqual(told(blueprintOfConfig(config as never, "x")).kept);
  });
  test("tables of Engram stand apart, whatever the keys by which they are looked up", async () => {
    const engram = {
      "engram.layer_ids": [1],
      "engram.num_embeddings": [1000],
      "engram.head_count": 2,
      "engram.key_length": 8,
      "engram.max_ngram_size": 3,
      "engram.multipliers": [3, 5, 7],
      "engram.primes": [11, 13],
      "engram.offsets": [0, 11],
      "engram.token_map": Array.from({ length: 5000 }, (_, i) => i),
      "engram.pad_id": 2,
    };
    const more = {
      engram_layer_ids: [1],
      engram_num_embeddings: [1000],
      engram_n_heads: 2,
      engram_head_dim: 8,
      engram_max_ngram_size: 3,
    };
    const { found } = await agree("deepseek41", { ...keys, ...owners, ...engram }, { ...config, ...more });
    expect(found.tables).toEqual([{ name: "Engram of layer 1", parameters: 8000, read: 32 }]);
  });
  test("without a word of which layers those are it is refused by the key", async () => {
    await expect(headerOf("deepseek41", keys)).rejects.toThrow(/^x\.gguf: kv_source_layer_ids: got nothing/);
    await expect(headerOf("deepseek41", { ...keys, ...owners, "attention.kv_latest": 3 })).rejects.toThrow(
      /deepseek41\.attention\.kv_latest/,
    );
  });
});

describe("Qwen3.8-Flash-Next (qwen4exp)", () => {
  const keys = {
    vocab_size: 100,
    embedding_length: 64,
    block_count: 8,
    context_length: 1000,
    expert_count: 4,
    expert_used_count: 2,
    expert_feed_forward_length: 32,
    expert_shared_feed_forward_length: 32,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 16,
    "attention.value_length": 16,
    "ssm.conv_kernel": 4,
    "ssm.state_size": 8,
    "ssm.group_count": 2,
    "ssm.time_step_rank": 4,
    "ssm.inner_size": 32,
    "attention.indexer.head_count": 2,
    "attention.indexer.key_length": 8,
    "attention.indexer.top_k": 64,
    "attention.compress_ratios": [0, 0, 0, 4, 0, 0, 0, 4],
    "hyper_connection.count": 2,
    "hyper_connection.low_rank": 16,
  };
  const tables = {
    "ple.layers": [1],
    "ple.ngram_size": 3,
    "ple.heads_per_ngram": 2,
    "ple.conv_kernel": 4,
    "ple.eos_token_id": 1,
    "ple.layer_multipliers": [1, 3, 5],
    "ple.head_offsets": [0, 101, 204, 311],
    "ple.head_vocab_sizes": [101, 103, 107, 109],
    embedding_length_per_layer_input: 16,
  };
  const config = {
    model_type: "qwen4_exp_text",
    vocab_size: 100,
    hidden_size: 64,
    num_hidden_layers: 8,
    layer_types: Array.from({ length: 8 }, (_, i) => (i % 4 === 3 ? "full_attention" : "linear_attention")),
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 16,
    linear_num_key_heads: 2,
    linear_num_value_heads: 4,
    linear_key_head_dim: 8,
    linear_value_head_dim: 8,
    linear_conv_kernel_dim: 4,
    indexer_n_heads: 2,
    indexer_head_dim: 8,
    indexer_budget: 64,
    indexer_compress_ratio: 4,
    hc_count: 2,
    hc_lowrank: 16,
    num_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 32,
    shared_expert_intermediate_size: 32,
  };
  const table = {
    ple_layer_ids: [2],
    ngram_size: 3,
    heads_per_ngram: 2,
    ple_conv_kernel_size: 4,
    ple_embed_dim: 64,
    ngram_vocab_size_base: 105,
  };
  test("index keys of several tokens, states, streams", async () => {
    const { found } = await agree("qwen4exp", keys, config);
    expect(told(found).kept[2]! - told(found).kept[1]!).toBe(2 * 2 * (4900 * 64 + 8 * (1250 - 25)));
  });
  test("with its table: embeddings that may lie in the host's memory, and what its convolution keeps", async () => {
    const { found } = await agree("qwen4exp", { ...keys, ...tables }, { ...config, ...table });
    expect(found.tables![0]).toMatchObject({ parameters: (101 + 103 + 107 + 109) * 16, read: 64 });
  });
  test("a key that it does not know is refused by its name", async () => {
    await expect(headerOf("qwen4exp", { ...keys, "ple.window": 3 })).rejects.toThrow(/qwen4exp\.ple\.window/);
  });
});

describe("Hy4 (hy_v4)", () => {
  const keys = {
    vocab_size: 100,
    embedding_length: 64,
    block_count: 4,
    context_length: 1000,
    feed_forward_length: 96,
    leading_dense_block_count: 1,
    expert_count: 4,
    expert_used_count: 2,
    expert_shared_count: 1,
    expert_feed_forward_length: 32,
    "attention.head_count": 4,
    "attention.head_count_kv": 1,
    "attention.q_lora_rank": 32,
    "attention.kv_lora_rank": 16,
    "attention.key_length": 24,
    "attention.value_length": 16,
    "attention.key_length_mla": 20,
    "attention.value_length_mla": 12,
    "rope.dimension_count": 8,
    "hyper_connection.count": 4,
    "hyper_connection.magnitude": 1,
    "attention.indexer.head_count": 2,
    "attention.indexer.key_length": 16,
    "attention.indexer.top_k": 64,
    "attention.indexer.types": [1, 1, 0, 0],
  };
  test("MLA whose choice of keys layers share, as its list says", async () => {
    const { found } = await agree("hy_v4", keys, {
      model_type: "hy_v4",
      vocab_size: 100,
      hidden_size: 64,
      num_hidden_layers: 4,
      num_attention_heads: 4,
      q_lora_rank: 32,
      kv_lora_rank: 16,
      qk_nope_head_dim: 12,
      qk_rope_head_dim: 8,
      v_head_dim: 12,
      index_n_heads: 2,
      index_head_dim: 16,
      index_topk: 64,
      indexer_types: ["full", "full", "shared", "shared"],
      intermediate_size: 96,
      moe_intermediate_size: 32,
      n_routed_experts: 4,
      n_shared_experts: 1,
      num_experts_per_tok: 2,
    });
    expect(told(found).kept[1]).toBe(2 * 100 * (4 * (16 + 8) + 2 * 16));
  });
});

describe("Nemotron-NAS (deci)", () => {
  test("heads, groups and widths by layer, of which any may be none", async () => {
    const keys = {
      vocab_size: 100,
      embedding_length: 64,
      block_count: 4,
      context_length: 1000,
      "attention.head_count": [4, 4, 0, 4],
      "attention.head_count_kv": [2, 0, 0, 1],
      "attention.key_length": 16,
      "attention.value_length": 16,
      feed_forward_length: [256, 512, 256, 0],
    };
    const found = await headerOf("deci", keys);
    expect(told(found).kept[1]).toBe(2 * 100 * 2 * (2 + 1) * 16);
    const d = 64;
    const attention = (g: number) => 2 * d * d + 2 * d * g * 16 + d;
    const mlp = (f: number) => 3 * d * f + d;
    const layers = attention(2) + mlp(256) + (d * d + d + mlp(512)) + mlp(256) + attention(1);
    expect(countParameters(found).total).toBe(layers + 2 * 100 * d + d);
  });
});

describe("RWKV", () => {
  const sizes = {
    vocab_size: 100,
    embedding_length: 64,
    block_count: 3,
    context_length: 1000,
    feed_forward_length: 256,
  };
  const ranks = {
    "wkv.head_size": 16,
    "attention.head_count": 0,
    "attention.decay_lora_rank": 8,
    "attention.iclr_lora_rank": 8,
    "attention.value_residual_mix_lora_rank": 4,
    "attention.gate_lora_rank": 12,
    token_shift_count: 2,
  };
  test("RWKV-7 keeps a square state for each head and the last token's input to both halves", async () => {
    const { found } = await agree(
      "rwkv7",
      { ...sizes, ...ranks },
      {
        model_type: "rwkv7",
        vocab_size: 100,
        hidden_size: 64,
        intermediate_size: 256,
        num_hidden_layers: 3,
        head_dim: 16,
        decay_low_rank_dim: 8,
        a_low_rank_dim: 8,
        v_low_rank_dim: 4,
        gate_low_rank_dim: 12,
      },
    );
    expect(told(found).kept).toEqual(Array(3).fill(4 * 3 * (64 * 16 + 2 * 64)));
  });
  test("older and other kinds are refused by the key that sizes their state", async () => {
    for (const arch of ["rwkv6", "rwkv6qwen2", "arwkv7"])
      await expect(headerOf(arch, { ...sizes, "attention.head_count": 4, "wkv.head_size": 16 })).rejects.toThrow(
        new RegExp(`got "${arch}" with ${arch}\\.wkv\\.head_size, expected one whose layers are known`),
      );
  });
});
