import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { parseComparison } from "../src/lab/result.ts";
import { biform as commanded } from "./fixture/command.ts";

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "biform-cli-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const small =
  "--seeds 2 --steps 6 --width 16 --heads 2 --layers 1 --length 32 --batch 2 --contexts 8 --threads 1".split(" ");
const biform = (...words: string[]) => commanded(scratch, words);
const spawned = (...words: string[]) => spawnSync(process.execPath, words, { cwd: scratch, encoding: "utf8" });
const put = (name: string, text: string) => {
  writeFileSync(join(scratch, name), text);
  return name;
};
put("empty.txt", "");
put("tiny.txt", "abc");
put("text.txt", "To be, or not to be, that is the question. ".repeat(60));
put("broken.json", '{"model":');

test.each([
  [["compare", "--variants", "MHX"], /got "MHX"/],
  [["compare", "--variants", "GQA3-128", "--heads", "4"], /groups divide the heads/],
  [["compare", "--variants", "MLA:r5"], /rotary dims are even/],
  [["compare", "--variants", "MLA:c0"], /axis c got 0/],
  [["compare", "--variants", "MHA,MHA"], /expected each once/],
  [["compare", "--width", "0"], /--width: got "0", expected a whole number from 1/],
  [["compare", "--steps", "5", "--budget", "1e9"], /got --steps and --budget, expected one/],
  [["compare", "--match", "speed"], /--match: got "speed"/],
  [["compare", "--data", "poems"], /--data: got "poems"/],
  [["compare", "--tokenizer", "x.json"], /--tokenizer: got no --text/],
  [["compare", "--optimiser", "sgd"], /--optimiser: got "sgd"/],
  [["compare", "--dims", "big"], /--dims: got "big"/],
  [["compare", "--text", "nothing.txt"], /nothing\.txt/],
  [["compare", "--text", "empty.txt"], /empty\.txt: got an empty file/],
  [["compare", "--text", "tiny.txt"], /tiny\.txt: got 3 bytes of text, expected at least/],
  [["compare", "--text", "."], /got a folder|EISDIR/],
  [["compare", "--text", "text.txt", "--tokenizer", "broken.json"], /broken\.json/],
  [["compare", "--data", "recall", "--length", "8"], /recall/],
  [["train", "--attention", "[]"], /variant: got/],
  [["train", "--rate", "1,2"], /--rate: got several/],
  [["verify", "MLA", "--golden", "missing"], /got --golden beside variants/],
  [["verify", "--golden", "missing"], /missing/],
  [["verify", "MLX"], /got "MLX"/],
  [["make-model"], /missing required argument 'path'/],
  [["make-model", "x", "--preset", "gpt2"], /--preset.*Allowed choices are llama/],
  [["make-model", "x", "--type", "Q8_0"], /type: got Q8_0, expected F32, F16 or BF16 in a folder/],
  [["make-model", "x", "--seed", "-1"], /--seed: got "-1"/],
  [["make-model", "missing/x.gguf"], /missing/],
  [["export", "torch", "MLX", "out"], /got "MLX"/],
  [["export", "torch", "MLA", "text.txt"], /text\.txt: got a file, expected a folder or nothing/],
  [["export", "torch", "MLA", "."], /got a folder with .* in it, expected an empty one/],
  [["export", "runs"], /--out: got nothing/],
  [["nonsense"], /unknown command/],
] as const)("biform %j says in a line what is wrong", async (args, message) => {
  const { status, stderr } = await biform(...args);
  expect(stderr).toMatch(message);
  expect(status).not.toBe(0);
  expect(stderr).not.toMatch(/^\s+at /m);
});

test("a process of its own ends as it says, and writes nothing but what it says", async () => {
  const { status, stdout, stderr } = spawned(bin, "compare", "--variants", "MHX");
  expect({ status, stdout, stderr }).toEqual(await biform("compare", "--variants", "MHX"));
});

test("compare writes a result that its schema accepts, a report, and a table", async () => {
  const { status, stdout, stderr } = await biform(
    "compare",
    ...small,
    "--data",
    "recall",
    "--pairs",
    "4",
    "--variants",
    "MHA,MLA",
    "--json",
    "r.json",
    "--html",
    "r.html",
  );
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(status).toBe(0);
  const result = parseComparison(JSON.parse(readFileSync(join(scratch, "r.json"), "utf8")));
  expect(result.variants.map((v) => [v.spec, v.seeds.length, v.decode.length])).toEqual([
    ["MHA", 2, 2],
    ["MLA", 2, 2],
  ]);
  // Every variant of several forms, MHA too: its shared form is that of MLA.
  expect(result.agreement!.map(({ spec, forms }) => [spec, forms])).toEqual([
    ["MHA", ["grouped", "shared"]],
    ["MLA", ["expanded", "absorbed"]],
  ]);
  for (const { float64 } of result.agreement!) expect(float64).toBeLessThan(1e-12);
  expect(readFileSync(join(scratch, "r.html"), "utf8")).toContain("<svg");
  expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
  expect(result.settings).toMatchObject({ steps: 6 });
  expect(stdout).not.toContain("--steps sets them");
  // What was kept to resume from is gone once it is done.
  expect(existsSync(join(scratch, "runs")) && statSync(join(scratch, "runs")).nlink > 2).toBe(false);
});

/** Presses Ctrl-C from inside, once the run says that it has begun: from outside it might come when all is over. */
const interrupting = `data:text/javascript,${encodeURIComponent(`
  const write = process.stderr.write.bind(process.stderr);
  process.stderr.write = (text, ...rest) => {
    if (/parameters/.test(text)) process.kill(process.pid, "SIGINT");
    return write(text, ...rest);
  };
`)}`;

test("Ctrl-C stops a training run and the same command ends as if it had not been stopped", async () => {
  const command = ["train", "--attention", "MLA", "--text", "text.txt", "--json", "--save-every", "1000"];
  const sizes = [...small.slice(4), "--steps", "300"].filter(
    (word, i, all) => word !== "--contexts" && all[i - 1] !== "--contexts",
  );
  const whole = await biform(...command, ...sizes, "--out", "whole");
  expect(whole.stderr).not.toMatch(/^\s+at /m);
  const { status, stdout } = spawned("--import", interrupting, bin, ...command, ...sizes, "--out", "part");
  expect(status).toBe(130);
  expect(JSON.parse(stdout).step).toBeLessThan(300);
  const rest = await biform(...command, ...sizes, "--out", "part");
  const losses = (text: string) => JSON.parse(text).training.losses;
  expect(losses(rest.stdout)).toEqual(losses(whole.stdout));
});

test("compare fits its steps to a time, and says how many they are", async () => {
  const sizes = small.filter((word, i) => word !== "--steps" && small[i - 1] !== "--steps");
  const { status, stdout } = await biform(
    "compare",
    "--demo",
    ...sizes,
    "--minutes",
    "0.02",
    "--variants",
    "MHA,GQA2-128",
    "--json",
    "f.json",
  );
  expect(status).toBe(0);
  const { settings, variants } = parseComparison(JSON.parse(readFileSync(join(scratch, "f.json"), "utf8")));
  expect(settings).toMatchObject({ fitted_to_seconds: 1.2, steps: variants[0]!.steps });
  expect(stdout).toMatch(
    new RegExp(`^${settings.steps} steps for the first variant: .* in 1\\.2 s; --steps sets them$`, "m"),
  );
});

test("every command has help with examples, and the arguments that the list of all says", async () => {
  const { stdout: list, status } = await biform("--help");
  expect(status).toBe(0);
  const listed = [...list.matchAll(/^ {2}([a-z-]+)((?: [<[]\S+)*) {2,}\S/gm)].filter(([, name]) => name !== "help");
  expect(listed.map(([, name]) => name)).toContain("make-model");
  for (const [, command, usage] of listed) {
    const { stdout, status } = await biform(command!, "--help");
    expect(status).toBe(0);
    expect(stdout).toMatch(/Examples?:/);
    expect(stdout.split("\n")[0]).toBe(`Usage: biform ${command} [options]${usage}`);
    expect((await biform("help", command!)).stdout).toBe(stdout);
  }
});

test("help, a word that is no command and no word load none", () => {
  const names = `data:text/javascript,${encodeURIComponent(`
    import { registerHooks } from "node:module";
    registerHooks({ load: (url, context, next) => (process.stderr.write(url + "\\n"), next(url, context)) });
  `)}`;
  for (const words of [["--help"], ["nonsense"], []]) {
    const { stderr } = spawned("--import", names, bin, ...words);
    const own = stderr.split("\n").filter((url) => /\/src\/.*\.ts$/.test(url));
    expect(own.map((url) => url.replace(/.*\/src\//, "")).sort()).toEqual([
      "cli/main.ts",
      "cli/program.ts",
      "tensor/error.ts",
    ]);
  }
});

test("variants lists what the essay printed, as JSON too", async () => {
  const { variants } = JSON.parse((await biform("variants", "--json")).stdout);
  expect(variants.find((v: { spec: string }) => v.spec === "MLA")).toMatchObject({
    cacheValues: 576,
    parameters: 13_763_072,
  });
});

test("make-model writes one model as a folder and as a GGUF file, and says what it wrote", async () => {
  const facts = async (...args: string[]) => {
    const { status, stdout, stderr } = await biform("make-model", ...args, "--json");
    expect(stderr).not.toMatch(/error/i);
    expect(status).toBe(0);
    return JSON.parse(stdout);
  };
  const folder = await facts("made", "--seed", "3");
  expect(folder).toMatchObject({ path: "made", preset: "deepseek2", size: "tiny", type: "F32", seed: 3 });
  expect(existsSync(join(scratch, "made", "tokenizer.json"))).toBe(true);
  const file = await facts("made.gguf", "--seed", "3", "--type", "Q8_0", "--layout", "joint");
  expect(file).toMatchObject({ parameters: folder.parameters, layout: "joint", type: "Q8_0" });
  expect(file.bytes).toBe(statSync(join(scratch, "made.gguf")).size);
  expect(file.bytes).toBeLessThan(folder.bytes / 3);
});
