import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cacheBytes, formsOf } from "../src/cost/cost.ts";
import { memorySource } from "../src/file/bytes.ts";
import { readOutline } from "../src/file/outline.ts";
import { openPlan } from "../src/plan/open.ts";
import { blueprintOfGguf } from "../src/plan/read/gguf.ts";
import { FormatError } from "../src/tensor/error.ts";
import { ggufOf, key, line, list, text, u32 } from "./corpus/gguf.ts";

/** Bytes of `context` tokens in float16, in the smallest form. */
const kept = (blueprint: Awaited<ReturnType<typeof openPlan>>, context: number) =>
  cacheBytes(blueprint, formsOf(blueprint).at(-1)!, "float16", context);

const cases = join(import.meta.dirname, "../../shared/cases");

describe.skipIf(!existsSync(cases))(
  "headers that were told wrong (skipped where the cases beside the checkout are missing)",
  () => {
    test.each([
      ["gguf-compress/deepseek4.gguf", 4096, 88064],
      ["gguf-compress/deepseek4-real-sizes.gguf", 131072, 907411456],
      ["gguf-indexer-types/glm-dsa.gguf", 4096, 1572864],
      ["gguf-indexer/deepseek32.gguf", 4096, 917504],
      ["gguf-indexer/deepseek32-real-sizes.gguf", 131072, 11257511936],
      ["gguf-indexer/minimax-m3.gguf", 4096, 2293760],
      ["gguf-recurrent-layers/qwen35.gguf", 4096, 2104320],
      ["gguf-window-pattern/key-length-swa.gguf", 4096, 573440],
      ["gguf-window-pattern/motif3.gguf", 4096, 343040],
    ])("%s", async (file, context, bytes) => {
      expect(kept(await openPlan(join(cases, file)), context)).toBe(bytes);
    });

    test("layers that share a cache in an architecture that is not known", async () => {
      await expect(openPlan(join(cases, "gguf-shared-kv/newarch.gguf"))).rejects.toThrow(
        /newarch\.attention\.shared_kv_layers: got newarch\.attention\.shared_kv_layers 2, expected nothing/,
      );
    });
  },
);

const base = (arch: string, more: Readonly<Record<string, number>> = {}) =>
  Object.entries({
    embedding_length: 64,
    block_count: 4,
    feed_forward_length: 96,
    context_length: 512,
    vocab_size: 100,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 16,
    "attention.value_length": 16,
    ...more,
  }).map(([name, value]) => key(`${arch}.${name}`, 4, u32(value)));
const planned = async (arch: string, keys: Uint8Array[], tensors: Uint8Array[] = [], as?: string) =>
  blueprintOfGguf(
    await readOutline(
      memorySource("x.gguf", ggufOf({ keys: [key("general.architecture", 8, text(arch)), ...keys], tensors })),
    ),
    "x",
    { as },
  );

describe("a key that can change caches or attention and that nobody asks for", () => {
  test.each([
    ["attention.indexer.key_length", 8],
    ["attention.compress_ratio", 4],
    ["attention.shared_kv_layers", 2],
    ["attention.key_length_swa", 8],
    ["attention.kv_lora_rank_swa", 8],
    ["attention.sliding_window_size", 8],
    ["ssm.state_size", 8],
    ["kda.head_dim", 8],
    ["shortconv.l_cache", 3],
    ["wkv.head_size", 8],
    ["hyper_connection.count", 4],
    ["full_attention_interval", 4],
    ["ple.ngram_size", 3],
  ])("%s is refused by its name, whoever's architecture it is", async (name, value) => {
    for (const arch of ["novel", "llama", "qwen3"])
      await expect(planned(arch, base(arch, { [name]: value }))).rejects.toThrow(
        new RegExp(`x\\.gguf: .*${arch}\\.${name.replaceAll(".", "\\.")}`),
      );
  });

  test("one that is 0 or says nothing of the kind passes", async () => {
    const wanted = await planned("novel", base("novel"));
    const more = {
      "attention.sliding_window": 0,
      "attention.shared_kv_layers": 0,
      "attention.clamp_value": 3,
      expert_group_scale: 1,
    };
    expect(JSON.stringify(await planned("novel", base("novel", more)))).toBe(JSON.stringify(wanted));
  });

  test("--as with all sizes overrides it, and says so; without them it is refused", async () => {
    const keys = base("novel", { "attention.indexer.key_length": 8 });
    const { assumed } = await planned("novel", keys, [], "GQA2:n0:r16:v16");
    expect(assumed).toEqual(["attention is as --as GQA2:n0:r16:v16 says; the model's index_head_dim is not read"]);
    // Sizes that it does not name are the variant's usual ones: each is told.
    const partly = await planned("novel", keys, [], "MLA:c8");
    expect(partly.assumed).toEqual([
      "attention is as --as MLA:c8 says, with n 128, r 64, v 128, which it does not name; the model's index_head_dim is not read",
    ]);
    await expect(planned("novel", keys, [], "GQA")).rejects.toThrow(
      /--as GQA, which takes its sizes from here, cannot say/,
    );
  });
});

describe("windows", () => {
  test("without a list of layers are refused where the architecture is not known", async () => {
    const keys = base("novel", { "attention.sliding_window": 64 });
    await expect(planned("novel", keys)).rejects.toThrow(/novel\.attention\.sliding_window: got 64 without/);
    await expect(planned("novel", keys)).rejects.toThrow(FormatError);
    const known = [...keys, list("novel.attention.sliding_window_pattern", 4, 4, u32(1, 1, 0, 1))];
    expect(kept(await planned("novel", known), 512)).toBe((3 * 64 + 512) * 2 * 32 * 2);
  });
});

describe("layers that predict further tokens", () => {
  const arch = "glm4moe";
  const sizes = { block_count: 5, nextn_predict_layers: 1, expert_count: 0 };
  const layersOf = async (tensors: readonly string[]) => {
    const lines = tensors.map((tensor) => line(tensor, [64]));
    const part = [...base(arch, sizes), key("split.count", 4, u32(2))];
    const { layers, draft } = await planned(arch, part, lines);
    return [layers.reduce((sum, { count }) => sum + count, 0), draft?.layers.at(0)?.count];
  };
  test("are among the blocks, unless the last block has nothing that joins an embedding", async () => {
    expect(await layersOf([])).toEqual([4, 1]);
    expect(await layersOf(["blk.4.attn_norm.weight", "blk.4.nextn.eh_proj.weight"])).toEqual([4, 1]);
    expect(await layersOf(["blk.3.attn_norm.weight"])).toEqual([4, 1]);
    expect(await layersOf(["blk.4.attn_norm.weight"])).toEqual([5, undefined]);
  });
});

describe("what is kept is counted from the tensors that make it", () => {
  const sizes = { block_count: 2, "attention.key_length": 16 };
  const layer = (i: number, keys = 32) => [
    line(`blk.${i}.attn_q.weight`, [64, 64]),
    line(`blk.${i}.attn_k.weight`, [64, keys]),
    line(`blk.${i}.attn_v.weight`, [64, keys]),
    line(`blk.${i}.attn_output.weight`, [64, 64]),
    ...["gate", "up"].map((part) => line(`blk.${i}.ffn_${part}.weight`, [64, 96])),
    line(`blk.${i}.ffn_down.weight`, [96, 64]),
    ...["attn", "ffn"].map((part) => line(`blk.${i}.${part}_norm.weight`, [64])),
  ];
  // A vocabulary beside which a layer's keys are less than what counts of parameters may differ by.
  const tables = [line("token_embd.weight", [64, 20_000]), line("output_norm.weight", [64])];
  const read = (tensors: Uint8Array[], as?: string) =>
    planned("novel", base("novel", sizes), [...tables, ...tensors], as);

  test("as many keys as the header says, or a refusal that names a tensor", async () => {
    expect(kept(await read([...layer(0), ...layer(1)]), 10)).toBe(2 * 10 * 64 * 2);
    await expect(read([...layer(0), ...layer(1, 64)])).rejects.toThrow(
      "x.gguf: blk.0.attn_k.weight: got 96 numbers of keys in 2 layers, and keys that speak of 64, expected the same",
    );
  });
  test("index keys and states that no key speaks of", async () => {
    const index = line("blk.1.indexer.k_proj.weight", [64, 8]);
    await expect(read([...layer(0), ...layer(1), index])).rejects.toThrow(
      /blk\.1\.indexer\.k_proj\.weight: got 8 numbers of index keys .*speak of 0/,
    );
    const state = line("blk.1.shortconv.out_proj.weight", [64, 64]);
    await expect(read([...layer(0), ...layer(1), state])).rejects.toThrow(/got 1 layers with a state|numbers of keys/);
  });
});

describe("hybrids, whose layers without groups of keys and values have a state", () => {
  const groups = (arch: string, ...counts: number[]) =>
    list(`${arch}.attention.head_count_kv`, 4, counts.length, u32(...counts));
  const ssm = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 16,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 2,
  };
  const sized = (arch: string, more: Readonly<Record<string, number>>, ...counts: number[]) => [
    ...base(arch, more).filter(
      (entry) => counts.length === 0 || !new TextDecoder().decode(entry).includes("head_count_kv"),
    ),
    ...(counts.length ? [groups(arch, ...counts)] : []),
  ];
  /** Mamba-2's state and what its convolutions keep: llama.cpp's n_embd_s and n_embd_r. */
  const state = 4 * (128 * 16 + 3 * (128 + 2 * 2 * 16));
  const cache = (tokens: number) => 2 * 2 * 32 * tokens;

  test.each([
    ["lfm2", { "shortconv.l_cache": 3 }, [0, 2, 0, 2], 2 * cache(100) + 2 * 4 * 2 * 64],
    ["granitehybrid", ssm, [0, 0, 2, 0], cache(100) + 3 * state],
    ["falcon-h1", ssm, [], 4 * (cache(100) + state)],
    [
      "glm5next",
      {
        "attention.kv_lora_rank": 24,
        "attention.key_length_mla": 16,
        "attention.value_length_mla": 16,
        "rope.dimension_count": 0,
        "kda.head_dim": 8,
        "ssm.conv_kernel": 4,
        "attention.indexer.head_count": 2,
        "attention.indexer.key_length": 8,
        "attention.indexer.top_k": 64,
        "attention.indexer.kpool": 4,
      },
      [0, 0, 0, 1],
      2 * (24 * 100 + 8 * 25) + 3 * 4 * (4 * 8 * 8 + 3 * 3 * 4 * 8),
    ],
  ] as const)("%s", async (arch, more, counts, bytes) => {
    expect(kept(await planned(arch, sized(arch, more, ...counts)), 100)).toBe(bytes);
  });

  test("Nemotron-H: a layer is attention, an MLP or Mamba-2", async () => {
    const widths = list("nemotron_h.feed_forward_length", 4, 4, u32(0, 96, 0, 0));
    const keys = sized("nemotron_h", ssm, 0, 0, 2, 0).filter(
      (entry) => !new TextDecoder().decode(entry).includes("feed_forward"),
    );
    expect(kept(await planned("nemotron_h", [...keys, widths]), 100)).toBe(cache(100) + 2 * state);
  });

  test("Jamba: Mamba's first kind, and one layer in so many with a cache", async () => {
    const keys = sized("jamba", { ...ssm, "ssm.time_step_rank": 4 }, 0, 2, 0, 2).filter(
      (entry) => !new TextDecoder().decode(entry).includes("group_count"),
    );
    expect(kept(await planned("jamba", keys), 100)).toBe(2 * cache(100) + 2 * 4 * (128 * 16 + 3 * 128));
  });
});
