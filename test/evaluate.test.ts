import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { Conversion } from "../src/convert/convert.ts";
import { writeConversion } from "../src/convert/write.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { load } from "../src/generate/load.ts";
import { ask, remember, scoreBeside, spreadIds, summarise } from "../src/lab/evaluate.ts";
import { findNeedles, hideNeedles } from "../src/lab/needle.ts";
import { withEnds } from "../src/lab/standing.ts";
import { buildModel } from "../src/model/build.ts";
import { forward } from "../src/model/transformer.ts";
import { positionsOf } from "../src/ops/rope/index.ts";
import { Random } from "../src/tensor/random.ts";
import { scope } from "../src/tensor/tensor.ts";
import { byteTokenizer } from "../src/tokenizer/tokenizer.ts";
import { initialWeights } from "../src/train/initial.ts";
import { biform } from "./fixture/command.ts";

const device = new ReferenceDevice();
const random = new Random(4);
const sizes = { vocabulary: 40, width: 16, heads: 2, layers: 2 };
const sequences = [1, 2, 3].map(() => Int32Array.from({ length: 9 }, () => random.integer(40)));
const built = (pattern: string, seed: number) => {
  const model = buildModel(pattern, sizes);
  return { model, weights: initialWeights(model, device, seed) };
};

/** log p of every token after each of a sequence, in float64. */
async function logs({ model, weights }: ReturnType<typeof built>, ids: Int32Array): Promise<number[][]> {
  const out = scope(device, () => forward(model, weights, ids, { positions: positionsOf(0, ids.length) }));
  const x = await out.read();
  return Array.from(ids, (_, t) => {
    const row = Array.from(x.subarray(t * 40, (t + 1) * 40));
    const all = Math.log(row.reduce((sum, each) => sum + Math.exp(each), 0));
    return row.map((each) => each - all);
  });
}

describe("scores beside an original", () => {
  test("do not round activations beside packed weights", async () => {
    const folder = await mkdtemp(join(tmpdir(), "biform-"));
    try {
      const file = join(folder, "model.gguf");
      await biform(folder, ["make-model", file, "--preset", "llama", "--type", "Q8_0"]);
      const [packed, plain] = [await load(file, { threads: 1 }), await load(file, { threads: 1, weights: "plain" })];
      const ids = [0, 1].map(() => Int32Array.from({ length: 40 }, () => random.integer(500)));
      const original = await remember(plain.model, plain.weights, ids);
      const { divergence } = summarise(await scoreBeside(original, ask(packed.model, packed.weights, ids)));
      // Float32 in another order: some 1e-7 of logits, squared. Activations of 8 bits make 1e-5 of it.
      expect(divergence.mean).toBeLessThan(1e-10);
      for (const loaded of [packed, plain]) loaded.close();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("are the means that their names say", async () => {
    const [a, b] = [built("GQA1-128", 1), built("MLA", 2)];
    const original = await remember(a.model, a.weights, sequences);
    const found = await scoreBeside(original, ask(b.model, b.weights, sequences));
    for (const [i, ids] of sequences.entries()) {
      const [p, q] = [await logs(a, ids), await logs(b, ids)];
      const mean = (of: (t: number) => number) =>
        Array.from({ length: 8 }, (_, t) => of(t)).reduce((sum, x) => sum + x, 0) / 8;
      const top = (row: readonly number[]) => row.indexOf(Math.max(...row));
      expect(found[i]!.original).toBeCloseTo(
        mean((t) => -p[t]![ids[t + 1]!]!),
        12,
      );
      expect(found[i]!.loss).toBeCloseTo(
        mean((t) => -q[t]![ids[t + 1]!]!),
        12,
      );
      const divergence = mean((t) => p[t]!.reduce((sum, x, k) => sum + Math.exp(x) * (x - q[t]![k]!), 0));
      expect(found[i]!.divergence).toBeCloseTo(divergence, 12);
      expect(divergence).toBeGreaterThan(1e-3);
      expect(found[i]!.agreement).toBe(mean((t) => (top(p[t]!) === top(q[t]!) ? 1 : 0)));
    }
  });

  test("of the original itself lose nothing, to the bit", async () => {
    const { model, weights } = built("MLA", 3);
    const original = await remember(model, weights, sequences);
    const { ratio, divergence, agreement, tokens } = summarise(
      await scoreBeside(original, ask(model, weights, sequences)),
    );
    expect({ ratio, divergence, agreement, tokens }).toEqual({
      ratio: { mean: 1, low: 1, high: 1 },
      divergence: { mean: 0, low: 0, high: 0 },
      agreement: { mean: 1, low: 1, high: 1 },
      tokens: 24,
    });
  });

  test("have the interval of Student's t over sequences, and pairs cancel what is hard in both", () => {
    const scores = [1, 2, 3].map((loss) => ({
      tokens: 4,
      original: loss,
      loss: loss + 0.5,
      divergence: 0,
      agreement: 1,
    }));
    const { perplexity, original, ratio } = summarise(scores);
    // t of two degrees of freedom is 4.302653; the deviation is 1, so that of the mean is 1 / sqrt(3).
    const half = 4.302653 / Math.sqrt(3);
    expect(perplexity.mean).toBeCloseTo(Math.exp(2.5), 10);
    expect(Math.log(perplexity.high!) - 2.5).toBeCloseTo(half, 5);
    expect(2 - Math.log(original.low!)).toBeCloseTo(half, 5);
    expect(ratio.mean).toBeCloseTo(Math.exp(0.5), 10);
    expect(ratio.high! - ratio.low!).toBeLessThan(1e-9);
    expect(withEnds(ratio, (x) => x.toFixed(3))).toBe("1.649 [1.649, 1.649]");
  });
});

test("sequences are spread over the whole text and do not overlap", () => {
  const ids = Int32Array.from({ length: 103 }, (_, i) => i);
  expect(spreadIds(ids, 40, 10).map((each) => each[0])).toEqual([0, 20, 50, 70]);
  expect(spreadIds(ids, 1000, 10)).toHaveLength(10);
  expect(spreadIds(ids, 9, 10)).toHaveLength(0);
  expect(spreadIds(ids.subarray(0, 10), 10, 10)).toEqual([ids.slice(0, 10)]);
});

describe("needles", () => {
  const hay = byteTokenizer.encode("all that is old is told again in other words. ".repeat(20));
  const needles = hideNeedles(byteTokenizer, hay, 256, 4);

  test("lie in texts of the length that is asked for, each at another depth", () => {
    const depths = needles.map(({ prompt, answer }) => {
      const text = byteTokenizer.decode(prompt);
      const number = byteTokenizer.decode(answer);
      expect(prompt.length).toBe(256);
      expect(text.split(number)).toHaveLength(3);
      expect(text).toMatch(/The secret number is$/);
      return text.indexOf(number);
    });
    expect(depths).toEqual(depths.toSorted((a, b) => a - b));
    expect(new Set(depths).size).toBe(4);
    expect(() => hideNeedles(byteTokenizer, hay, 100, 1)).toThrow(/^needles: got 920 tokens of text for 100/);
    expect(() => hideNeedles(byteTokenizer, hay, 2000, 1)).toThrow(/^needles: got 920 tokens/);
  });

  test("are scored by all tokens of the answer, given those before", async () => {
    const model = buildModel("MLA", { ...sizes, vocabulary: 256 });
    const weights = initialWeights(model, device, 5);
    const found = await findNeedles(model, weights, needles.slice(0, 1));
    const { prompt, answer } = needles[0]!;
    const ids = Int32Array.from([...prompt, ...answer]);
    const out = scope(device, () => forward(model, weights, ids, { positions: positionsOf(0, ids.length) }));
    const x = await out.read();
    let sum = 0;
    for (let t = prompt.length; t < ids.length; t++) {
      const row = Array.from(x.subarray((t - 1) * 256, t * 256));
      sum += row[ids[t]!]! - Math.log(row.reduce((all, each) => all + Math.exp(each), 0));
    }
    expect(found.likelihood.mean).toBeCloseTo(sum / answer.length, 9);
    expect(found).toMatchObject({ greedy: 0, needles: 1, length: 256 });
  });
});

describe("biform compare of checkpoints", () => {
  let dir = "";
  const text = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(40);
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "biform-evaluate-"));
    const config = {
      ...presetConfig("llama", "tiny"),
      hidden_size: 32,
      intermediate_size: 48,
      head_dim: 16,
      num_attention_heads: 2,
      num_key_value_heads: 1,
    };
    await writeSampleFolder(join(dir, "llama"), config, { seed: 3, type: "F32" });
    await writeSampleFolder(join(dir, "other"), { ...config, vocab_size: 300 }, { seed: 3, type: "F32" });
    await writeFile(join(dir, "text.txt"), text);
    const wanted = { method: "exact", selection: "high", balance: 1, context: 64 } as const;
    const make = async (name: string, more: object) =>
      writeConversion(
        await Conversion.open(join(dir, "llama"), { wanted: { ...wanted, ...more }, text, tokens: 128, length: 32 }),
        join(dir, name),
      );
    await make("same", {});
    await make("first", { method: "transmla", c: 9, r: 8 });
    await make("second", { method: "mha2mla", c: 9, r: 8 });
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));
  const run = (...words: string[]) =>
    biform(dir, ["compare", ...words, "--text", "text.txt", "--tokens", "128", "--length", "32", "--threads", "1"]);

  test("holds each beside the first, methods side by side at equal bytes", async () => {
    const paths = ["llama", "same", "first", "second"];
    const { status, stdout } = await run(...paths, "--needles", "200", "--contexts", "8", "--json", "c.json");
    expect(status).toBe(0);
    expect(stdout).toMatch(/text\.txt: 124 tokens in 4 sequences/);
    expect(stdout).toMatch(/At 17 numbers (first|second) is the best; (first|second) (is worse by|cannot be told)/);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    const { checkpoints } = JSON.parse(await readFile(join(dir, "c.json"), "utf8"));
    const [llama, same, first, second] = checkpoints.map(
      ({ texts: [evaluation] }: { texts: { divergence: { mean: number }; perplexity: { mean: number } }[] }) =>
        evaluation,
    );
    expect(llama.divergence.mean).toBe(0);
    // float32, and the norm's constant.
    expect(same.divergence.mean).toBeLessThan(1e-8);
    expect(same.perplexity.mean / llama.perplexity.mean).toBeCloseTo(1, 5);
    expect(first.divergence.mean).toBeGreaterThan(1e-6);
    expect(second.divergence.mean).toBeGreaterThan(1e-6);
    expect(checkpoints.map((each: { cachePerLayer: number }) => each.cachePerLayer)).toEqual([32, 32, 17, 17]);
    expect(checkpoints[1].needles[0]).toMatchObject({ length: 200, needles: 5 });
    expect(checkpoints[1].speeds.decode.map(({ form }: { form: string }) => form)).toEqual(["expanded", "absorbed"]);
  });

  test.each([
    [["llama", "other"], /other: got a vocabulary of 300/],
    [["llama", "llama"], /expected each once/],
    [["llama", "same", "--width", "8"], /--width: got it beside checkpoints/],
    [["llama", "--needles", "20"], /needles: got \d+ tokens of text for 20/],
  ] as const)("%j is refused", async (words, message) => {
    const { status, stderr } = await run(...words);
    expect(stderr).toMatch(message);
    expect(status).toBe(1);
  });

  test("--needles without checkpoints is refused", async () => {
    expect((await biform(dir, ["compare", "--needles", "64"])).stderr).toMatch(/--needles: got it without checkpoints/);
  });
});

test("what one conversion has seen of a text serves the next, which is then what it would be alone", async () => {
  const dir = await mkdtemp(join(tmpdir(), "biform-seen-"));
  const config = {
    ...presetConfig("llama", "tiny"),
    hidden_size: 32,
    head_dim: 16,
    num_attention_heads: 2,
    num_key_value_heads: 1,
  };
  await writeSampleFolder(join(dir, "llama"), { ...config, intermediate_size: 48 }, { seed: 3, type: "F32" });
  const text = "the price of a latent is what it leaves out of keys and values. ".repeat(10);
  const looks: string[] = [];
  const open = (method: "biform" | "transmla", c: number, look?: string) =>
    Conversion.open(join(dir, "llama"), {
      wanted: { method, c, r: 8, selection: "high", balance: 1, context: 64 },
      text,
      tokens: 64,
      length: 32,
      threads: 1,
      look,
      watch: (what, done) => void (done === 1 && what.startsWith("looking") && looks.push(`${method} ${c}: ${what}`)),
    });
  const look = join(dir, "seen");
  for (const [method, c] of [
    ["biform", 16],
    ["transmla", 16],
    ["transmla", 9],
  ] as const) {
    const [shared, alone] = [await open(method, c, look), await open(method, c)];
    const layer = await shared.convert(0);
    const told = looks.length;
    expect(layer).toEqual(await alone.convert(0));
    looks.splice(told);
    await Promise.all([shared.close(), alone.close()]);
  }
  // What the caller said where stays.
  expect(await readdir(dir)).toContain(".seen.look");
  // One look for all, and one at the model whose positions are gathered.
  expect(looks).toEqual(["biform 16: looking at text", "transmla 16: looking at text without far turns"]);
  await rm(dir, { recursive: true, force: true });
});
