import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { deviceMemory, groupOf, groups } from "../src/cost/group.ts";
import { rankWeights } from "../src/cost/rank.ts";
import { parseSplit } from "../src/cost/split.ts";
import { biform as family } from "../src/family/biform.ts";
import { writeFolder } from "../src/file/atomic.ts";
import { safetensorsChunks } from "../src/file/safetensors.ts";
import { parametersOf } from "../src/model/model.ts";
import { sglangClasses, vllmClasses } from "../src/plan/launch/classes.ts";
import { pathOfPreset, smallestLaunch } from "../src/plan/launch/find.ts";
import { type EngineName, engineNames, enginesBy } from "../src/plan/launch/flag.ts";
import { keptBy } from "../src/plan/launch/keep.ts";
import { type Launch, type LaunchQuestion, launchOf } from "../src/plan/launch/launch.ts";
import { openPlan } from "../src/plan/open.ts";
import type { PlanSettings } from "../src/plan/plan.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { sizeOf } from "../src/tensor/tensor.ts";
import { biform } from "./fixture/command.ts";
import { lite } from "./fixture/lite.ts";

const read = z.object({
  version: z.string(),
  flags: z.array(z.string()),
  cacheTypes: z.array(z.string()),
  classes: z.array(z.string()),
  methods: z.array(z.string()).optional(),
  proposing: z.array(z.string()).optional(),
  quantizations: z.array(z.string()).optional(),
});
const said = z
  .object({ vLLM: read, SGLang: read })
  .parse(JSON.parse(readFileSync(new URL("../conformance/launch.json", import.meta.url), "utf8")));
const saidBy = { vllm: said.vLLM, sglang: said.SGLang };

const blueprint = (name: string) => blueprintOfConfig(presetOf(name)!.config, name);
const settings: PlanSettings = {
  context: 4096,
  batch: 4,
  step: 1,
  weightType: "file",
  cacheType: "float16",
  hosts: [],
  layouts: [],
};
const launch = (name: string, more: Partial<LaunchQuestion> = {}, asked: Partial<PlanSettings> = {}): Launch =>
  launchOf(blueprint(name), {
    engine: "vllm",
    path: name,
    group: groupOf("8xh200"),
    ...more,
    settings: { ...settings, ...asked },
  });
const given = ({ flags }: Launch, flag: string) => flags.find((one) => one.flag === flag)?.value;

describe.each(engineNames)("%s", (engine) => {
  const stock = enginesBy[engine];

  test("versions, flags, cache types and classes are those that the engine's own package has", () => {
    const { version, flags, cacheTypes, classes } = saidBy[engine];
    expect(stock.version).toBe(version);
    expect(flags).toEqual(expect.arrayContaining(Object.keys(stock.flags)));
    expect([...cacheTypes, "fp8_ds_mla"]).toEqual(expect.arrayContaining(Object.values(stock.cacheTypes)));
    const own = (engine === "vllm" ? vllmClasses : sglangClasses).trim().split(/\s+/);
    expect(own.length).toBeGreaterThan(200);
    expect(classes).toEqual(expect.arrayContaining(own));
  });

  test("every preset has a command of known flags, each with a reason, or is refused by its name", () => {
    const refused: string[] = [];
    for (const { name, config } of presets) {
      const model = blueprintOfConfig(config, name);
      const context = Math.min(4096, model.maxContext ?? 4096);
      let made: Launch;
      try {
        made = launch(name, { engine, group: groupOf("16xb200") }, { context, layouts: [], batch: 16 });
      } catch (error) {
        const { message } = error as Error;
        expect(message, name).toMatch(/^--serve (vllm|sglang): got .*, expected /s);
        refused.push(`${name}: ${message}`);
        continue;
      }
      for (const { flag, why } of made.flags) {
        expect(Object.keys(stock.flags), flag).toContain(flag);
        expect(why, flag).not.toBe("");
      }
      const words = made.flags.flatMap(({ flag, value }) => (value === undefined ? [flag] : [flag, value]));
      expect(made.command.slice(-words.length)).toEqual(words);
    }
    expect(presets.length - refused.length).toBeGreaterThan(engine === "vllm" ? 140 : 130);
    expect(refused.join("\n")).toMatch(/rwkv7/);
  });
});

test("the longest context is the true one: its sequences fit beside weights and what computing takes, and one token more does not", () => {
  for (const engine of engineNames)
    for (const name of ["deepseek-r1", "llama-3.1-70b", "qwen3-235b-a22b", "gpt-oss-120b", "qwen3.5-35b-a3b"]) {
      const question: LaunchQuestion = {
        engine,
        path: name,
        group: groupOf("8xh200"),
        settings: { ...settings, batch: 96, cacheType: "float8" },
      };
      const model = { ...blueprint(name), maxContext: undefined };
      const made = launchOf(model, question);
      const split = parseSplit(made.layout);
      const tokens = Number(given(made, engine === "vllm" ? "--max-model-len" : "--context-length"));
      expect(tokens).toBe(made.longestContext);
      const { bytesOf } = keptBy(model, question, split);
      const room =
        enginesBy[engine].share.value * deviceMemory(question.group) - rankWeights(model, split, question.settings);
      const working = room - bytesOf(tokens);
      expect(working, name).toBeGreaterThanOrEqual(0);
      // What vLLM computes in lies in its share: the next step of the cache takes more than is left.
      expect(bytesOf(tokens + 1), name).toBeGreaterThan(engine === "vllm" ? room - 4e9 : room);
      expect(bytesOf(tokens + 1)).toBeGreaterThan(bytesOf(tokens));
    }
});

test("layouts say what they are: ranks with their own sequences, experts, stages, nodes", () => {
  const flags = (engine: EngineName, group: string, ...layouts: string[]) => {
    const { command } = launch("deepseek-v3", { engine, group: groupOf(group) }, { layouts, batch: 32, context: 1024 });
    return command.join(" ");
  };
  expect(flags("vllm", "8xh200", "tp2,dp4")).toMatch(
    /--tensor-parallel-size 2 --data-parallel-size 4 --enable-expert-parallel /,
  );
  expect(flags("sglang", "8xh200", "tp2,dp4")).toMatch(/--tp-size 8 --attn-dp-size 4 --ep-size 8 /);
  expect(flags("vllm", "16xh200", "tp8,pp2")).toMatch(
    /--pipeline-parallel-size 2 --nnodes 2 --node-rank \$NODE --master-addr \$HEAD /,
  );
  expect(flags("sglang", "16xh200", "tp8,pp2")).toMatch(
    /--tp-size 8 --ep-size 8 --pp-size 2 --nnodes 2 .*--dist-init-addr \$HEAD:25000 /,
  );
  const dense = launch("llama-3.1-8b", { engine: "sglang", group: groupOf("4xh100") }, { layouts: ["dp4"] });
  expect(dense.command.join(" ")).toMatch(/--dp-size 4 (?!--ep-size)/);
  expect(dense.class).toBe("LlamaForCausalLM");
});

test("drafts: layers that a model brings, EAGLE's heads, smaller models", () => {
  const own = launch("glm-5.3-flash", {}, { step: 3 });
  expect(JSON.parse(given(own, "--speculative-config")!)).toEqual({ method: "mtp", num_speculative_tokens: 2 });
  expect(said.vLLM.methods).toEqual(expect.arrayContaining(["mtp", "dspark", "eagle", "eagle3", "draft_model"]));
  const sparks = launch("deepseek-v4.1-flash", {}, { step: 4 });
  expect(JSON.parse(given(sparks, "--speculative-config")!).method).toBe("dspark");
  const small = { path: "meta-llama/Llama-3.2-1B", blueprint: blueprint("llama-3.2-1b") };
  const proposed = { ...blueprint("llama-3.1-70b"), draft: undefined };
  const by = (engine: EngineName, proposer: LaunchQuestion["proposer"]) =>
    launchOf(proposed, { engine, path: "x", group: groupOf("8xh200"), settings: { ...settings, step: 5 }, proposer });
  expect(JSON.parse(given(by("vllm", small), "--speculative-config")!)).toEqual({
    method: "draft_model",
    model: small.path,
    num_speculative_tokens: 4,
  });
  const head = { path: "heads/eagle", blueprint: { ...small.blueprint, architecture: "eagle3" } };
  const chained = by("sglang", head);
  expect(chained.command.join(" ")).toMatch(
    /--speculative-algorithm EAGLE3 --speculative-draft-model-path heads\/eagle --speculative-num-steps 4 --speculative-eagle-topk 1 --speculative-num-draft-tokens 5$/,
  );
  expect(() => launch("llama-3.1-8b", {}, { step: 4 })).toThrow(/has no layers that propose tokens/);
  expect(() => launch("minimax-m2", {}, { step: 2 })).toThrow(/does not use the MTP layers of minimax_m2/);
});

test("types: as they are shipped, widened or narrowed where the engine does so, else refused", () => {
  expect(given(launch("deepseek-v3.2", {}, { cacheType: "float8" }), "--kv-cache-dtype")).toBe("fp8_ds_mla");
  expect(given(launch("deepseek-v4-flash"), "--block-size")).toBe("256");
  expect(given(launch("llama-3.1-8b", {}, { cacheType: "int8" }), "--kv-cache-dtype")).toBe("int8_per_token_head");
  const narrow = given(launch("llama-3.1-8b", {}, { weightType: "float8" }), "--quantization");
  expect(said.vLLM.quantizations).toContain(narrow);
  expect(() => launch("llama-3.1-8b", {}, { weightType: "int4" })).toThrow(/got --weights int4/);
  expect(() => launch("llama-3.1-8b", {}, { weightType: "float32" })).toThrow(
    /got --weights float32, expected f16.*compute in 16 bits/,
  );
  expect(() => launch("deepseek-v3", {}, { weightType: "bfloat16" })).toThrow(/deepseek-v3 is shipped as fp8/);
  expect(() => launch("deepseek-v3", {}, { cacheType: "int8" })).toThrow(/does not have it for deepseek_v3/);
});

test("weights in float32 are loaded, and counted, in 16 bits; other plain numbers in the type that is asked for", () => {
  const model = blueprint("llama-3.1-8b");
  const total = rankWeights(model, parseSplit("tp1"), { weightType: "bfloat16" });
  const shipped = (
    floats: "float32" | "bfloat16",
    weightType: PlanSettings["weightType"],
    engine: EngineName = "vllm",
  ) => {
    const weightBytes = (floats === "float32" ? 2 : 1) * total;
    const question = { engine, path: "x", group: groupOf("h100"), settings: { ...settings, weightType } } as const;
    return launchOf(
      { ...model, weightBytes, widths: undefined, floats, shipped: "said", maxContext: undefined },
      question,
    );
  };
  const plain = shipped("bfloat16", "file");
  expect(given(plain, "--dtype")).toBeUndefined();
  for (const engine of engineNames) expect(given(shipped("float32", "file", engine), "--dtype")).toBe("bfloat16");
  expect(shipped("float32", "file").longestContext).toBe(plain.longestContext);
  expect(given(shipped("float32", "float16"), "--dtype")).toBe("float16");
  expect(given(shipped("bfloat16", "float8"), "--quantization")).toBe("fp8_per_tensor");
  expect(given(shipped("float32", "float8"), "--dtype")).toBe("bfloat16");
  expect(() => shipped("float32", "float32")).toThrow(/kernels of attention compute in 16 bits/);
});

test("kernels are named where the usual ones are made for other sizes", () => {
  const backend = "--attention-backend";
  const sized = (sizes: object, engine: EngineName, group = "h100") => {
    const { layers, ...model } = blueprint(Object.hasOwn(sizes, "c") ? "deepseek-v2-lite" : "llama-3.2-1b");
    const changed = layers.map((kind) => ({
      ...kind,
      attention: { ...kind.attention, sizes: { ...kind.attention.sizes, ...sizes } },
    }));
    const question = { engine, path: "x", group: groupOf(group), settings: { ...settings, context: 64 } };
    return given(launchOf({ ...model, layers: changed }, question), backend);
  };
  expect([sized({ c: 512, r: 64 }, "vllm"), sized({ c: 512, r: 64 }, "sglang")]).toEqual([undefined, undefined]);
  expect([sized({ c: 448, r: 64 }, "vllm"), sized({ c: 448, r: 64 }, "sglang")]).toEqual(["TRITON_MLA", "triton"]);
  expect(given(launch("minicpm3-4b", { group: groupOf("h100") }), backend)).toBeUndefined();
  expect([sized({}, "sglang", "b200"), sized({ e: 80 }, "vllm", "b200")]).toEqual([undefined, undefined]);
  // FlashAttention 3, which is taken on Hopper, has them.
  expect([sized({ e: 80 }, "sglang", "b200"), sized({ e: 80 }, "sglang")]).toEqual(["triton", undefined]);
  expect(sized({ e: 84 }, "sglang")).toBe("triton");
  for (const engine of engineNames) {
    expect(given(launch("deepseek-v3.2", { engine }, {}), backend)).toBeUndefined();
    const { layers, ...model } = blueprint("deepseek-v3.2");
    const small = layers.map((kind) => ({
      ...kind,
      attention: { ...kind.attention, sizes: { ...kind.attention.sizes, c: 64, r: 8 } },
    }));
    expect(() =>
      launchOf({ ...model, layers: small }, { engine, path: "x", group: groupOf("8xh200"), settings }),
    ).toThrow(/got latents of 64 \+ 8 numbers that an indexer chooses, expected 512 \+ 64/);
  }
});

test("what an engine cannot express is refused by its name", () => {
  expect(() => launch("deepseek-v3", {}, { layouts: ["cp8"] })).toThrow(/--layout: got cp8.*splits positions among/);
  expect(() => launch("deepseek-v3", {}, { layouts: ["dp8,ep1"], context: 64, batch: 1 })).toThrow(
    /splits experts over all ranks/,
  );
  expect(() => launch("qwen3.8-flash-next", {}, { layouts: ["pp8"] })).toThrow(/has no stages/);
  expect(() => launch("llama-3.1-8b", {}, { layouts: ["tp4"] })).toThrow(/expected 8 ranks/);
  expect(() => launch("llama-3.1-8b", { group: groupOf("m3-ultra") })).toThrow(
    /expected graphics cards or accelerators/,
  );
  expect(() => launch("llama-3.1-8b", { group: groupOf("rtx-4090+ryzen-9950x") })).toThrow(/a processor beside/);
  expect(() => launch("llama-3.1-70b", { group: groupOf("h100") })).toThrow(/a machine that holds llama-3.1-70b/);
});

describe("checkpoints", () => {
  const dir = mkdtempSync(join(tmpdir(), "biform-launch-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  const folder = async (name: string, config: object) => {
    await writeFolder(join(dir, name), [{ name: "config.json", chunks: [JSON.stringify(config)] }]);
    return join(dir, name);
  };
  const serve = (model: string, ...more: string[]) =>
    biform(dir, ["plan", model, "--machine", "h100", "--serve", "vllm", ...more]);

  test("a converted folder of a stock class is served from where it lies", async () => {
    const path = await folder("mla", { ...lite, architectures: ["DeepseekV3ForCausalLM"] });
    const { stdout, status } = await serve(path, "--json");
    expect(status).toBe(0);
    const { command, class: own } = JSON.parse(stdout);
    expect(own).toBe("DeepseekV3ForCausalLM");
    expect(command.slice(0, 3)).toEqual(["vllm", "serve", path]);
    expect((await serve(path)).stdout).toMatch(/^vllm serve \S+ \\\n( {2}--\S+( \S+)?( \\)?\n)+\n {0,2}--/m);
  });

  test("classes of TransMLA's and CARE's own files, and latents without a norm, are no stock model", async () => {
    const strange = await folder("strange", { ...lite, architectures: ["LlamaMLAForCausalLM"] });
    expect((await serve(strange)).stderr).toMatch(
      /got architectures LlamaMLAForCausalLM, expected a class that vLLM 0.33.0 has/,
    );
    const plain = await folder("plain", {
      ...lite,
      architectures: ["DeepseekV3ForCausalLM"],
      qk_latent_layernorm: false,
    });
    expect((await serve(plain)).stderr).toMatch(/qk_latent_layernorm is false: the latent has no norm/);
    expect((await openPlan(plain)).assumed?.join()).toMatch(/qk_latent_layernorm is false/);
  });

  test("Biform's own format: what it could be written as, or what would lie", async () => {
    const own = async (name: string, attention: string) => {
      const config = {
        architectures: ["BiformForCausalLM"],
        model_type: "biform",
        attention,
        vocab_size: 256,
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 40,
        tie_word_embeddings: true,
        max_position_embeddings: 64,
      };
      const tensors = parametersOf(family.model(config)).map(({ name, shape }) => ({
        name,
        shape,
        data: new Float32Array(sizeOf(shape)),
      }));
      await writeFolder(join(dir, name), [
        { name: "config.json", chunks: [JSON.stringify(config)] },
        { name: "model.safetensors", chunks: safetensorsChunks("x", tensors, { format: "pt" }) },
      ]);
      return join(dir, name);
    };
    const grouped = await own("grouped", "GQA2-8");
    expect((await serve(grouped)).stderr).toMatch(/biform export \S+ --out DIR writes this model as llama/);
    // What it writes is served: in 16 bits, and by token ids once the tokenizer is gone.
    const [stock, tokenizer] = [join(dir, "stock"), join(dir, "stock", "tokenizer.json")];
    expect((await biform(dir, ["export", grouped, "--out", stock])).status).toBe(0);
    const asked = ["--context", "64", "--json"];
    const { command } = JSON.parse((await serve(stock, ...asked)).stdout);
    expect(command.join(" ")).toMatch(/^vllm serve \S+ --dtype bfloat16 .*--max-model-len 64 /);
    expect(command).not.toContain("--skip-tokenizer-init");
    rmSync(tokenizer);
    rmSync(join(dir, "stock", "tokenizer_config.json"));
    expect(JSON.parse((await serve(stock, ...asked)).stdout).command).toContain("--skip-tokenizer-init");
    expect((await serve(await own("kda", "KDA"))).stderr).toMatch(
      /none computes this model \(llama: .*; qwen3: .*; deepseek_v3: .*\)/,
    );
  });

  test("what is no checkpoint is refused", async () => {
    expect((await serve("MLA", "--width", "2048", "--heads", "16", "--layers", "4")).stderr).toMatch(
      /a variant's name are none/,
    );
    expect((await biform(dir, ["plan", "llama-3.1-8b", "--serve", "sglang"])).stderr).toMatch(
      /expected one with --machine/,
    );
    expect((await serve("llama-3.1-8b", "llama-3.2-1b")).stderr).toMatch(/got 2 models, expected one/);
    expect((await biform(dir, ["plan", "llama-3.1-8b", "--serve", "ollama"])).stderr).toMatch(/vllm, sglang/);
  });
});

test("without a machine it is the smallest group on which the engine has room", () => {
  const question = { engine: "vllm", path: "m", settings: { ...settings, context: 131_072, batch: 1 } } as const;
  const found = smallestLaunch(blueprint("llama-3.1-8b"), question);
  const size = ({ count, ...group }: ReturnType<typeof groupOf>) => count * deviceMemory({ count, ...group });
  const least = size(groupOf(found.machine));
  // On no smaller one of the kind that engines run on.
  for (const group of groups.filter((one) => size(one) < least))
    expect(() => launchOf(blueprint("llama-3.1-8b"), { ...question, group }), group.name).toThrow(ShapeError);
  expect(() =>
    smallestLaunch(blueprint("llama-3.1-405b"), { ...question, settings: { ...settings, batch: 2 ** 20 } }),
  ).toThrow(/got llama-3.1-405b with 1048576 x 4096 tokens, expected less than the largest group/);
  expect(pathOfPreset(presetOf("deepseek-v3")!)).toBe("deepseek-ai/DeepSeek-V3");
});
