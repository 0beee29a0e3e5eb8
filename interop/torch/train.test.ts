// Training in PyTorch beside Biform's own: the same losses on one process and on several, by torchrun and by Ray Train, and one report.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openExperiment } from "../../src/cluster/experiment.ts";
import { trainFlopsPerToken } from "../../src/train/train.ts";
import { python } from "./python.ts";

const root = join(import.meta.dirname, "..", "..");
const scratch = mkdtempSync(join(tmpdir(), "biform-torch-train-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const at = (...names: string[]) => join(scratch, ...names);
const minutes = (n: number) => 60_000 * n;

const biform = (...words: string[]) =>
  execFileSync(process.execPath, [join(root, "bin", "biform.js"), ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });

/** Runs a trainer; its exit status and what it said. */
function trained(words: readonly string[], processes = 1, script = "train.py") {
  const torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", String(processes)];
  const { status, stdout, stderr } = spawnSync(
    python,
    [...(processes > 1 && script === "train.py" ? torchrun : []), at("package", script), ...words],
    {
      encoding: "utf8",
      env: {
        ...process.env,
        OMP_NUM_THREADS: "1",
        PATH: `${dirname(python)}:${process.env.PATH}`,
        RAY_TMPDIR: at("ray"),
      },
    },
  );
  return { status, said: stdout + stderr };
}

interface Curve {
  readonly steps: readonly number[];
  readonly losses: readonly number[];
}

const recordOf = (
  out: string,
  key: string,
): {
  engine: string;
  machine: { how?: string; processes?: number };
  record: { loss: number; tokensPerSecond: number; mfu?: number; training: Curve; heldOut: Curve };
} => JSON.parse(readFileSync(at(out, key, "record.json"), "utf8"));

/** The largest difference of two curves of losses. */
function apart(a: Curve, b: Curve): number {
  expect(a.steps).toEqual(b.steps);
  return Math.max(...a.losses.map((loss, i) => Math.abs(loss - b.losses[i]!)));
}

const text =
  "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer the slings and arrows. ".repeat(
    40,
  );
const [mla, hybrid] = ["v0-MLA-QLoRA-s1", "v1-KDA-GQA1-128-FoX-s1"];

beforeAll(() => {
  writeFileSync(at("text.txt"), text);
  biform(
    ..."compare --variants MLA-QLoRA,[KDA,GQA1-128-FoX] --seeds 2 --width 32 --heads 2 --layers 2 --length 24 --batch 5 --steps 100 --warmup 10 --evaluations 4 --held-out 2 --contexts 8 --optimiser muon --rate 0.001 --match parameters --text".split(
      " ",
    ),
    at("text.txt"),
    "--experiment",
    at("study.json"),
  );
  for (const key of [mla, hybrid])
    biform("compare", "--run", at("study.json"), key, "--out", at("here"), "--threads", "1");
  biform("export", "torch", at("study.json"), at("package"), "--runs", at("there"));
}, minutes(20));

describe("the first 100 losses agree to 1e-4, and held-out losses", () => {
  const beside = (out: string, key: string) => {
    const [ours, theirs] = [recordOf("here", key), recordOf(out, key)];
    expect(theirs.engine).toBe("torch");
    expect(ours.record.training.losses).toHaveLength(100);
    expect(apart(ours.record.training, theirs.record.training)).toBeLessThan(1e-4);
    expect(apart(ours.record.heldOut, theirs.record.heldOut)).toBeLessThan(1e-4);
    return theirs.machine;
  };

  test("on one process", { timeout: minutes(20) }, () => {
    const { status, said } = trained([mla, hybrid]);
    expect([status, said]).toEqual([0, said]);
    expect(beside("there", mla).processes).toBe(1);
    beside("there", hybrid);
  });

  test("on two, by torchrun and DDP", { timeout: minutes(20) }, () => {
    const { status, said } = trained([mla, hybrid, "--out", at("ddp")], 2);
    expect([status, said]).toEqual([0, said]);
    expect(beside("ddp", mla)).toMatchObject({ processes: 2, how: "ddp" });
    beside("ddp", hybrid);
  });

  test("on two, with parameters sharded by FSDP2", { timeout: minutes(20) }, () => {
    const { status, said } = trained([mla, hybrid, "--out", at("fsdp"), "--fsdp"], 2);
    expect([status, said]).toEqual([0, said]);
    expect(beside("fsdp", mla)).toMatchObject({ processes: 2, how: "fsdp" });
    beside("fsdp", hybrid);
  });

  test("on two, by Ray Train", { timeout: minutes(30) }, () => {
    const { status, said } = trained(
      [mla, "--out", at("rayed"), "--workers", "2", "--storage", at("storage")],
      2,
      "ray_train.py",
    );
    expect([status, said]).toEqual([0, said]);
    expect(beside("rayed", mla)).toMatchObject({ processes: 2, how: "ddp" });
  });

  test("with activations made again", { timeout: minutes(20) }, () => {
    const { status, said } = trained([mla, "--out", at("again"), "--checkpointing"]);
    expect([status, said]).toEqual([0, said]);
    beside("again", mla);
  });
});

describe("what makes training faster on a GPU trains the same here", () => {
  /** A record of the first variants' runs with these options, once they have ended well. */
  const recorded = (out: string, key: string, ...more: string[]) => {
    const { status, said } = trained([key, "--out", at(out), ...more]);
    expect([status, said]).toEqual([0, said]);
    return recordOf(out, key);
  };
  const losses = ({ record }: ReturnType<typeof recordOf>) => [...record.training.losses, ...record.heldOut.losses];
  const most = (a: readonly number[], b: readonly number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

  test.each([mla, hybrid])("compiled: %s", { timeout: minutes(60) }, (key) => {
    const made = recorded("compiled", key, "--compile");
    expect(made.machine.how).toBe("compile");
    expect(most(losses(made), losses(recordOf("here", key)))).toBeLessThan(1e-4);
  });

  test.each([mla, hybrid])("in bfloat16: %s", { timeout: minutes(60) }, (key) => {
    const made = recorded("bf16", key, "--bf16");
    expect(made.machine.how).toBe("bf16");
    const apart = most(losses(made), losses(recordOf("here", key)));
    // Products keep 8 bits; where nothing were rounded to them losses would be apart by less than a millionth.
    expect(apart).toBeLessThan(0.03);
    expect(apart).toBeGreaterThan(1e-5);
    expect(made.record.loss).toBeLessThan(made.record.heldOut.losses[0]! - 0.1);
  });

  test("all together, on two processes, with the share of a device's FLOPs that is reached", {
    timeout: minutes(60),
  }, async () => {
    const options = ["--compile", "--bf16", "--checkpointing", "--peak", "1e9"];
    const { status, said } = trained([mla, "--out", at("all"), ...options], 2);
    expect([status, said]).toEqual([0, said]);
    const made = recordOf("all", mla);
    expect(made.machine).toMatchObject({ how: "ddp compile bf16 checkpointing", processes: 2 });
    expect(most(losses(made), losses(recordOf("here", mla)))).toBeLessThan(0.03);
    const { matched, settings } = await openExperiment(at("study.json"));
    const perToken = trainFlopsPerToken(matched.get("MLA-QLoRA")!.model, settings.goal.length);
    const { mfu, tokensPerSecond } = made.record;
    expect(mfu! / ((tokensPerSecond * perToken) / 2e9)).toBeCloseTo(1, 6);
  });
});

describe("a run that was stopped goes on exactly", () => {
  test.each([
    ["one process", 1, [] as string[]],
    ["FSDP2", 2, ["--fsdp"]],
  ])("%s", { timeout: minutes(20) }, (_, processes, more) => {
    const [whole, parts] = [processes === 1 ? "there" : "fsdp", `parts${processes}`];
    const first = trained([hybrid, "--out", at(parts), "--stop-after", "37", ...more], processes);
    expect([first.status === 0, first.said.includes("interrupted")]).toEqual([false, true]);
    expect(existsSync(at(parts, hybrid, "record.json"))).toBe(false);
    const second = trained([hybrid, "--out", at(parts), ...more], processes);
    expect([second.status, second.said]).toEqual([0, second.said]);
    expect(recordOf(parts, hybrid).record.training).toEqual(recordOf(whole, hybrid).record.training);
    expect(recordOf(parts, hybrid).record.heldOut).toEqual(recordOf(whole, hybrid).record.heldOut);
  });

  test("and in the other engine: what PyTorch began Biform ends", { timeout: minutes(20) }, () => {
    trained([mla, "--out", at("begun"), "--stop-after", "40"]);
    biform("compare", "--run", at("study.json"), mla, "--out", at("begun"), "--threads", "1");
    const ended = recordOf("begun", mla);
    expect(ended.engine).toBe("biform");
    expect(apart(ended.record.training, recordOf("here", mla).record.training)).toBeLessThan(1e-4);
  });
});

test("runs of both engines are one report, and each is told", { timeout: minutes(20) }, () => {
  cpSync(at("here"), at("both"), { recursive: true });
  for (const variant of ["v0-MLA-QLoRA", "v1-KDA-GQA1-128-FoX"]) {
    const { status, said } = trained([`${variant}-s2`, "--out", at("both")]);
    expect([status, said]).toEqual([0, said]);
  }
  biform(
    "compare",
    "--collect",
    at("study.json"),
    "--out",
    at("both"),
    "--json",
    at("both.json"),
    "--html",
    at("both.html"),
  );
  const result = JSON.parse(readFileSync(at("both.json"), "utf8"));
  expect(result.variants.map(({ seeds }: { seeds: unknown[] }) => seeds.length)).toEqual([2, 2]);
  expect(result.machine.places.map(({ engine, runs }: { engine: string; runs: number }) => [engine, runs])).toEqual([
    ["biform", 2],
    ["torch", 2],
  ]);
  // A seed of each: times of one engine stand beside each other, and beside none of the other.
  const times = result.equal.filter(({ unit }: { unit: string }) => unit === "seconds");
  expect(times.map(({ place }: { place: { engine: string } }) => place.engine)).toEqual(["biform", "torch"]);
  expect(readFileSync(at("both.html"), "utf8")).toMatch(/At equal time: .* on torch, /);
  const again = trained(["v0-MLA-QLoRA-s2", "--out", at("both")]);
  expect([again.status, again.said]).toEqual([0, expect.stringContaining("was done")]);
});

test("what is wrong is told in a line", { timeout: minutes(10) }, () => {
  expect(trained(["v9"]).said).toMatch(/got run v9, expected one such as v0-MLA/);
  expect(trained([mla, "--out", at("crowd")], 6).said).toMatch(/got 6 processes for 5 rows a step/);
  cpSync(at("parts1"), at("other"), { recursive: true });
  rmSync(at("other", hybrid, "record.json"));
  const file = at("other", hybrid, "checkpoint", "training.json");
  const whole = readFileSync(file, "utf8");
  expect(whole).toContain('"warmup": 10');
  writeFileSync(file, whole.replace('"warmup": 10', '"warmup": 11'));
  expect(trained([hybrid, "--out", at("other")]).said).toMatch(/got a checkpoint with warmup 11, expected 10/);
  writeFileSync(file, whole.slice(0, 100));
  expect(trained([hybrid, "--out", at("other")]).said).toMatch(
    /training.json: got a damaged file .* do the run again\n$/,
  );
  writeFileSync(file, whole);
  const weights = at("other", hybrid, "checkpoint", "model.safetensors");
  writeFileSync(weights, readFileSync(weights).subarray(0, 1000));
  const torn = trained([hybrid, "--out", at("other")]);
  expect(torn.said).toMatch(/checkpoint: got a damaged checkpoint .* do the run again\n$/);
  expect([torn.status, torn.said.includes("Traceback")]).toEqual([1, false]);
});
