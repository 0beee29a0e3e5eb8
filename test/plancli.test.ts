import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseSpec } from "../src/attention/spec.ts";
import { differenceSchema } from "../src/plan/difference.ts";
import { planSchema } from "../src/plan/schema.ts";
import { biform } from "./fixture/command.ts";
import { lite } from "./fixture/lite.ts";

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "biform-plan-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Without figures of this machine, whatever a user of it has measured. */
vi.stubEnv("XDG_CONFIG_HOME", join(scratch, "config"));
afterAll(() => void vi.unstubAllEnvs());
const plan = (...args: string[]) => biform(scratch, ["plan", ...args]);
const planned = async (...args: string[]) => {
  const { stdout, status, stderr } = await plan(...args, "--json");
  // A busy machine may take so long to read a file that it is told of.
  expect(stderr.replace(/^reading .* after \d+ s; Ctrl-C stops\n/gm, "")).toBe("");
  expect(status).toBe(0);
  return JSON.parse(stdout);
};
const put = (name: string, content: unknown) => {
  writeFileSync(join(scratch, name), typeof content === "string" ? content : JSON.stringify(content));
  return name;
};

test("DeepSeek-R1 at 163,840 tokens in float16 is 10.72 GiB of latent cache", async () => {
  const found = planSchema.parse(await planned("deepseek-r1", "--context", "163840"));
  const latent = found.cache.find(({ form, dtype }) => form === "absorbed" && dtype === "float16")!;
  expect(latent).toMatchObject({ valuesPerTokenPerLayer: 576, bytesPerToken: 61 * 576 * 2 });
  expect((latent.bytes / 2 ** 30).toFixed(2)).toBe("10.72");
  expect(found.parameters.total).toBe(671_026_419_200);
  const kept = (version: string) => found.engines.find((row) => row.engine === "llama.cpp" && row.version === version);
  expect(kept("2025-04 to 2026-01")?.valuesPerTokenPerLayer).toBe(1088);
  expect(kept("since 2026-01-24")?.valuesPerTokenPerLayer).toBe(576);
});

test("a config.json, its folder and a spec with the same sizes keep the same", async () => {
  put("config.json", lite);
  const [file, folder] = [await planned("config.json"), await planned(".")];
  const spec = await planned(..."MLA:n128:r64:v128:c512 --width 2048 --heads 16 --layers 27".split(" "));
  expect(folder.cache).toEqual(file.cache);
  expect(spec.cache).toEqual(file.cache);
  expect(
    file.cache.map(({ valuesPerTokenPerLayer }: { valuesPerTokenPerLayer: number }) => valuesPerTokenPerLayer),
  ).toContain(5120);
});

test("a variant with one form calls it expanded, and several models are a list", async () => {
  const both = await planned("llama-3.1-8b", "deepseek-v2-lite");
  expect(both).toHaveLength(2);
  expect(new Set(both[0].cache.map(({ form }: { form: string }) => form))).toEqual(new Set(["expanded"]));
  expect(new Set(both[1].cache.map(({ form }: { form: string }) => form))).toEqual(new Set(["expanded", "absorbed"]));
});

test("a group of machines answers which layout is best, and why", async () => {
  const args = ["deepseek-r1", "--weights", "fp8", "--batch", "64", "--machine", "8xh200, 2x rtx-5090,h100"];
  const found = planSchema.parse(await planned(...args, "--step", "2", "--accepted", "1.7"));
  expect(found.machines.map(({ machine }) => machine)).toEqual(["h100-sxm"]);
  expect(found.groups.map(({ group }) => group)).toEqual(["8xh200", "2xrtx-5090"]);
  expect(found.settings.accepted).toBe(1.7);
  expect(found.groups[0]!.best.map(({ by }) => by)).toEqual(["latency", "throughput", "prefill"]);
  expect(found.groups[1]!.best).toEqual([]);
  const { stdout } = await plan(...args);
  expect(stdout).toContain("8 x h200, 131 GiB each, NVLink 450 GB/s");
  expect(stdout).toMatch(/T best throughput: dp8: \d+ sequences fit/);
  for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
});

test("an architecture that is not known is planned where the user names the variant", async () => {
  const odd = put("odd.json", { ...lite, model_type: "odd" });
  const { stderr, status } = await plan(odd);
  expect(stderr).toMatch(/odd.*kv_lora_rank.*--as/s);
  expect(status).not.toBe(0);
  expect((await planned(odd, "--as", "MLA")).cache[0].valuesPerTokenPerLayer).toBeGreaterThan(0);
});

test("--diff says what changes between two files, and nothing else", async () => {
  const [a, b] = [put("a.json", lite), put("b.json", { ...lite, kv_lora_rank: 256 })];
  const { changes } = differenceSchema.parse(await planned(a, "--diff", b));
  expect(changes.find(({ what }) => what === "absorbed, float16: of a token")).toMatchObject({
    a: 27 * 576 * 2,
    b: 27 * 320 * 2,
    ratio: 320 / 576,
  });
  const { stdout, status } = await plan(a, "--diff", b);
  expect(status).toBe(0);
  expect(stdout).toMatch(/MLA +27 +27 +c 512 -> 256, parameters/);
  expect(stdout).not.toMatch(/^(layers|width|vocabulary) /m);
});

test("sizes that meet a target are read back as specs that do", async () => {
  const { matches } = await planned("--match", "cache=512", "--width", "1024", "--heads", "8");
  const met = matches[0].matches.filter((row: object) => !("reason" in row));
  expect(met.length).toBeGreaterThan(20);
  for (const { spec, cacheValues, value } of met) {
    expect(value).toBeLessThanOrEqual(512);
    expect(cacheValues).toBe(value);
    const { sizes } = parseSpec(spec, { width: 1024, heads: 8, dims: "exact" });
    expect(sizes.d).toBe(1024);
  }
});

describe("the terminal", () => {
  const args = ["deepseek-r1", "--layout", "tp8,dp8", "--details", "--pictures"];
  let stdout = "";
  beforeAll(async () => {
    ({ stdout } = await plan(...args));
  });

  test("gets at most 100 columns, and no colours", () => {
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(stdout).not.toContain("\u001b");
  });

  test("is told what is duplicated, which engines keep what, and how fast machines are", () => {
    expect(stdout).toMatch(/the latent is duplicated on each of 8 tensor ranks/);
    expect(stdout).toMatch(/40960 .*71\.1/);
    expect(stdout).toMatch(/h100-sxm/);
    expect(stdout).toMatch(/Roofline/);
  });

  test("a pipe gets no pictures, from a process of its own what is said here", async () => {
    const piped = spawnSync(process.execPath, [bin, "plan", "deepseek-r1"], { cwd: scratch, encoding: "utf8" });
    expect(piped.stdout).not.toMatch(/Roofline/);
    const { status, stdout } = await plan("deepseek-r1");
    expect([piped.status, piped.stdout]).toEqual([status, stdout]);
  });
});

test("a report is one page with its pictures", async () => {
  expect((await plan("deepseek-v2-lite", "--html", "plan.html")).status).toBe(0);
  const page = readFileSync(join(scratch, "plan.html"), "utf8");
  expect(page.match(/<svg/g)?.length).toBeGreaterThanOrEqual(4);
  expect(page).not.toMatch(/(src|href)="https?:/);
});

test.each([
  [[], /got no model/],
  [["deepseek-r0"], /nearest is deepseek/],
  [["none.json"], /none\.json: got no such file/],
  [[put("text.json", "no json")], /text\.json: got no JSON/],
  [[put("list.json", [1])], /list\.json/],
  [[put("empty.json", {})], /empty\.json/],
  [[put("heads.json", { ...lite, num_attention_heads: -16 })], /num_attention_heads: got -16/],
  [[put("huge.json", { ...lite, hidden_size: 2 ** 60 })], /hidden_size/],
  [
    [
      put("groups.json", {
        model_type: "llama",
        hidden_size: 64,
        num_hidden_layers: 1,
        num_attention_heads: 8,
        num_key_value_heads: 3,
        vocab_size: 9,
        intermediate_size: 9,
      }),
    ],
    /num_key_value_heads: got 3/,
  ],
  [["http://localhost:1/config.json"], /localhost/],
  [["deepseek-r1", "kimi-k2", "--diff", "glm-5"], /--diff: got 2 models/],
  [["deepseek-r1", "--diff", "deepseek-r0"], /deepseek-r0: .*nearest is deepseek/],
  [["deepseek-r1", "--context", "0"], /--context: got "0"/],
  [["deepseek-r1", "--machine", "abacus"], /--machine: got "abacus"/],
  [["deepseek-r1", "--machine", "12xh800"], /a multiple of 8/],
  [["deepseek-r1", "--machine", "9xrtx-4090"], /no datasheet joins more/],
  [["gpt-oss-120b", "--offload", "experts"], /--offload: got no machine with a processor/],
  [["gpt-oss-120b", "--offload", "half"], /offload: got "half"/],
  [["gpt-oss-120b", "--machine", "rtx-4090+ryzen-9950x", "--offload", "layers:99"], /at most the 36/],
  [["deepseek-r1", "--accepted", "2"], /accepted got 2/],
  [["deepseek-r1", "--accepted", "none"], /--accepted: got "none"/],
  [["deepseek-r1", "--layout", "tp3"], /tensor ranks/],
  [["deepseek-r1", "--cache", "f7"], /--cache: got "f7"/],
  [["--match", "speed=3"], /match: got "speed=3"/],
  [["llama-3.1-8b", "--paper", "1"], /--paper: got "1"/],
] as const)("biform plan %j says in a line what is wrong", async (args, message) => {
  const { status, stderr } = await plan(...args);
  expect(stderr).toMatch(message);
  expect(status).not.toBe(0);
  expect(stderr).not.toMatch(/^\s+at /m);
});
