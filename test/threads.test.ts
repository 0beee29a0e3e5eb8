import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import workers from "node:worker_threads";
import { afterAll, describe, expect, it } from "vitest";
import { storySource } from "../src/data/story.ts";
import { addressOf } from "../src/device/address.ts";
import { WasmDevice, type WasmOptions } from "../src/device/wasm.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { type TrainSettings, train } from "../src/train/train.ts";

const scratch = mkdtempSync(join(tmpdir(), "biform-threads-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Opens a device whose workers are those of fixture/thread.ts. */
async function openWith(worker: "late" | "dies", options: WasmOptions): Promise<WasmDevice> {
  const { Worker } = workers;
  process.env.BIFORM_WORKER = worker;
  workers.Worker = class extends Worker {
    constructor(_: string | URL, settings?: workers.WorkerOptions) {
      super(file("fixture/thread.ts"), settings);
    }
  };
  try {
    return await WasmDevice.open(options);
  } finally {
    workers.Worker = Worker;
  }
}

describe("workers that wake late, or lose their core with a piece in hand", () => {
  const source = storySource(1);
  const settings: TrainSettings = {
    pattern: "[MLA,GQA2-(192+64)-S2,KDA,GQA2-128-FoX]",
    model: { vocabulary: 256, width: 64, heads: 4, layers: 4 },
    optimiser: optimiserDefaults,
    rate: 0.01,
    warmup: 2,
    floor: 0.1,
    steps: 3,
    batch: 8,
    length: 65,
    seed: 3,
    evaluateEvery: 4,
    heldOutBatches: 1,
    source: source.name,
  };

  it.each([2, 3, 5])("change nothing: one thread and %i train alike bit for bit", async (threads) => {
    const results = [];
    for (const device of [await WasmDevice.open({ threads: 1 }), await openWith("late", { threads })]) {
      const { training, heldOut, weights } = await train(settings, source, device);
      const numbers = await Promise.all([...weights.values()].map((weight) => weight.read()));
      results.push({ training, heldOut, numbers });
      device.close();
    }
    expect(results[1]).toEqual(results[0]);
  });

  it("do not hold up jobs that they have not begun, nor touch those that are over", async () => {
    const device = await openWith("late", { threads: 4 });
    const n = 1 << 18;
    const tensors = [0, 1, 2].map((value) => new Tensor(device, [n]).write(new Float32Array(n).fill(value)));
    const [x, y, z] = tensors as [Tensor, Tensor, Tensor];
    for (let i = 1; i <= 120; i++) {
      // Jobs of other sizes, to other places, one right after the other.
      const to = i % 2 ? x : z;
      device.launch("combine", [addressOf(to), addressOf(y), 0, i % 3 ? n : n / 2, i, 0]);
      const got = device.floats.subarray(addressOf(to) / 4, addressOf(to) / 4 + n / 2);
      expect(got.every((value) => value === i)).toBe(true);
    }
    expect((await y.read()).every((value) => value === 1)).toBe(true);
    device.close();
  });
});

describe("a worker that dies with a piece in hand", () => {
  it("ends what runs with one error, at once and ever after", async () => {
    const device = await openWith("dies", { threads: 3 });
    const n = 1 << 20;
    const x = new Tensor(device, [n]);
    const launch = () => device.launch("combine", [addressOf(x), addressOf(x), 0, n, 1, 0]);
    // Sooner or later a worker wakes up in time to take a piece.
    const untilItDies = () => {
      for (;;) launch();
    };
    expect(untilItDies).toThrow(/^wasm threads: got a worker that ended in kernel combine, expected .*; start again/);
    expect(launch).toThrow(DeviceError);
    device.close();
  });
});

describe("a command whose device fails in the middle", () => {
  const bin = file("../bin/biform.js");
  const small = "--width 16 --heads 2 --layers 1 --length 32 --batch 2 --save-every 5 --threads 2".split(" ");
  const biform = (args: readonly string[], fixture: string, env: NodeJS.ProcessEnv = {}) =>
    new Promise<{ code: unknown; stderr: string }>((resolve) => {
      const options = { cwd: scratch, env: { ...process.env, ...env } };
      execFile(process.execPath, ["--import", file(`fixture/${fixture}`), bin, ...args], options, (error, _, stderr) =>
        resolve({ code: error?.code ?? 0, stderr }),
      );
    });
  const errorsIn = (stderr: string) => stderr.split("\n").filter((line) => /: got .*, expected .*; /.test(line));

  const out = join(scratch, "run");
  // Far more steps than can be done: what ends the command is the fault alone.
  const args = ["train", ...small, "--steps", "1000000", "--out", out];
  const contents = () =>
    Object.fromEntries(readdirSync(out).map((name) => [name, readFileSync(join(out, name)).toString("base64")]));

  it("says so once, keeps its last checkpoint and leaves no thread behind: a worker dies", async () => {
    const { code, stderr } = await biform(args, "kill.ts", { BIFORM_KILL: join(out, "training.json") });
    expect(errorsIn(stderr), stderr).toHaveLength(1);
    expect(stderr).toMatch(/wasm threads: got a worker that ended/);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(1);
    expect(JSON.parse(readFileSync(join(out, "training.json"), "utf8")).progress.step).toBeGreaterThan(0);
  });

  it("goes on from there, and does all of that again: memory ends", async () => {
    const before = contents();
    const { code, stderr } = await biform(args, "memory.ts", { BIFORM_PAGES: "4" });
    expect(errorsIn(stderr), stderr).toHaveLength(1);
    expect(stderr).toMatch(/wasm memory: got a request for \d+ MiB on top of \d+ MiB/);
    expect(code).toBe(1);
    expect(contents()).toEqual(before);
  });
});
