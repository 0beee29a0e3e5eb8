import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/checkpoint/load.ts";
import type { Preset } from "../src/checkpoint/preset.ts";
import { ggufMetadata, ggufTensors } from "../src/checkpoint/recast.ts";
import { sampleTensors, writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { inventVocabulary } from "../src/checkpoint/vocabulary.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import type { MlaLayout } from "../src/family/table.ts";
import type { Value } from "../src/file/metadata.ts";
import { type GgufTensor, writeGguf } from "../src/file/writer.ts";
import { Session } from "../src/generate/session.ts";
import { formsOf } from "../src/model/model.ts";
import { biformLogits, bound, difference, ids, isRouted, models, seed, small, types } from "../test/logits.ts";
import { openLibrary } from "./llama.ts";

const opened = await openLibrary();
if ("missing" in opened) throw new Error(`${opened.missing}; nothing was compared: npm run parity installs it`);
const library = opened;

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-llama-"));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** llama.cpp's logits of all positions, with a float32 cache and without flash attention, which would round keys and values. */
async function llamaLogits(file: string): Promise<Float64Array> {
  const llama = await library.open(file, { context: 128, threads: 1 });
  try {
    return Float64Array.from(await llama.logits(ids));
  } finally {
    await llama.close();
  }
}

/** Changes a file's metadata and tensors before they are written. */
type Change = (metadata: Map<string, Value>, tensors: GgufTensor[]) => void;

function setting(key: string, value: number): Change {
  return (metadata) => {
    const whole = [...metadata.keys()].find((name) => name.endsWith(`.${key}`))!;
    metadata.set(whole, { ...metadata.get(whole)!, value } as Value);
  };
}

function swapped(one: string, other: string): Change {
  return (_, tensors) => {
    const names = { [one]: other, [other]: one };
    tensors.forEach((tensor, i) => {
      const name = tensor.name.replace(/(?<=\.)\w+(?=\.weight)/, (part) => names[part] ?? part);
      tensors[i] = { ...tensor, name };
    });
  };
}

function numbers(part: string, change: (x: Float32Array, shape: readonly number[]) => Float32Array): Change {
  return (_, tensors) => {
    tensors.forEach((tensor, i) => {
      if (!new RegExp(`(^|\\.)${part}\\.weight$`).test(tensor.name)) return;
      const data = async () => {
        const values = typeof tensor.data === "function" ? await tensor.data() : tensor.data;
        return change(Float32Array.from(values as Float32Array), tensor.shape);
      };
      tensors[i] = { ...tensor, data };
    });
  };
}

/** Rows of each of 4 heads in another order: row i of a head is what was its row `from(i)` of `n`. */
function headRows(from: (i: number, n: number) => number): (x: Float32Array, shape: readonly number[]) => Float32Array {
  return (x, [rows = 1, width = 1]) => {
    const n = rows / 4;
    return Float32Array.from(x, (_, at) => {
      const [row, column] = [Math.floor(at / width), at % width];
      const head = Math.floor(row / n);
      return x[(head * n + from(row % n, n)) * width + column]!;
    });
  };
}

describe("the logits of llama.cpp on the same file", () => {
  test.each(models.flatMap(([preset, layout]) => types.map((type) => [preset, layout, type] as const)))(
    "%s, %s, %s",
    async (preset, layout, type) => {
      const config = small(preset);
      const [file, folder] = [join(dir, `${preset}-${layout}-${type}.gguf`), join(dir, `${preset}-${layout}-${type}`)];
      await writeSampleGguf(file, config, { seed, type, layout });
      const expected = await llamaLogits(file);
      const most = bound(type, config.num_hidden_layers);
      const { rms, middle, worst } = difference(await biformLogits(file), expected);
      expect(middle).toBeGreaterThan(0);
      // Of nearly equal experts, 8 bits may choose another: that row is far off, and few are.
      expect(isRouted(config) ? middle : rms).toBeLessThan(most);
      // The largest of some ten thousand normal numbers lies at four deviations.
      if (!isRouted(config)) expect(worst).toBeLessThan(4 * most);
      if (type !== "F32" && type !== "F16") return;
      // The same numbers as a folder, and in every form.
      await writeSampleFolder(folder, config, { seed, type });
      const { model } = await loadModel(file, new ReferenceDevice());
      for (const form of formsOf(model))
        expect(difference(await biformLogits(folder, form), expected).rms).toBeLessThan(most);
    },
  );

  test.each(models)("the same ids, written one by one: %s, %s", async (preset, layout) => {
    const file = join(dir, "greedy.gguf");
    await writeSampleGguf(file, small(preset), { seed, type: "F32", layout });
    const llama = await library.open(file, { context: 128, threads: 1 });
    const { model, weights } = await loadModel(file, new ReferenceDevice());
    const session = new Session(model, weights);
    let [next, own] = [ids, ids];
    for (let i = 0; i < 12; i++) {
      const id = await llama.append(next);
      const logits = await session.append(Int32Array.from(own), { logits: "last" }).read();
      const best = logits.indexOf(Math.max(...logits));
      expect(best).toBe(id);
      [next, own] = [[id], [best]];
    }
    await llama.close();
  });

  const wrong: readonly [what: string, preset: Preset, layout: MlaLayout, change: Change][] = [
    ["YaRN's softmax factor left out", "deepseek2-moe", "absorbed", setting("rope.scaling.yarn_log_multiplier", 0)],
    ["YaRN by another factor", "deepseek2-moe", "joint", setting("rope.scaling.factor", 16)],
    ["another base of the rotation", "llama", "absorbed", setting("rope.freq_base", 500)],
    ["the experts' factor left out", "deepseek2-moe", "absorbed", setting("expert_weights_scale", 1)],
    ["one expert for each token in place of three", "deepseek2-moe", "joint", setting("expert_used_count", 1)],
    ["norms of attention and feed-forward swapped", "llama", "absorbed", swapped("attn_norm", "ffn_norm")],
    ["the latent's norm left out", "deepseek2", "absorbed", numbers("attn_kv_a_norm", (x) => x.fill(1))],
    ["gate and up swapped", "minicpm3", "absorbed", swapped("ffn_gate", "ffn_up")],
    [
      "rotary pairs as halves",
      "llama",
      "absorbed",
      numbers(
        "attn_q",
        headRows((i, n) => (i % 2) * (n / 2) + (i >> 1)),
      ),
    ],
    [
      "keys and values swapped",
      "deepseek2",
      "joint",
      numbers(
        "attn_kv_b",
        headRows((i, n) => (i + n / 2) % n),
      ),
    ],
    ["another bound of the decay", "ling3", "absorbed", setting("kda.gate_lower_bound", -1)],
    ["the two gates of KDA swapped", "ling3", "absorbed", swapped("ssm_f_a", "ssm_g_a")],
    ["taps of a short convolution reversed", "kimi-linear", "absorbed", numbers("ssm_conv1d_k", (x) => x.reverse())],
    [
      "LongRoPE's factors eight times as large",
      "minicpm3",
      "absorbed",
      numbers("rope_factors_short", (x) => x.map((f) => 8 * f)),
    ],
  ];

  /** Times the bound that each mistake shows at least. */
  const far = { F32: 10000, F16: 40, Q8_0: 2.5, Q4_0: 2.5 };

  test.each(wrong)("are far from those of a file with %s", async (_, preset, layout, change) => {
    const config = small(preset);
    for (const type of types) {
      const [right, other] = [join(dir, "right.gguf"), join(dir, "wrong.gguf")];
      await writeSampleGguf(right, config, { seed, type, layout });
      const metadata = new Map(ggufMetadata(config, inventVocabulary(320), type, layout, "wrong"));
      const tensors = ggufTensors(config, sampleTensors(config, { seed }), type, layout);
      change(metadata, tensors);
      await writeGguf(other, metadata, tensors);
      const { rms } = difference(await biformLogits(other), await llamaLogits(right));
      expect(rms).toBeGreaterThan(far[type] * bound(type, config.num_hidden_layers));
    }
  });
});
