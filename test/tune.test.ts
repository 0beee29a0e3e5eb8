import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { commonMachine } from "../src/cost/crossover.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import type { Measured } from "../src/file/figures.ts";
import { cpuName, keepMachine, machineFor, machinePath } from "../src/file/rates.ts";
import { rateOf, tune } from "../src/measure/tune.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "biform-tune-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const runner = { build: "relaxed", threads: 2 };
const measured: Measured = {
  cpu: cpuName(),
  ...runner,
  date: "2026-11-25T00:00:00.000Z",
  machine: { ...commonMachine, op: 1e-5 },
};

/** What a device gets from a file with this content, and the lines said about it. */
async function got(content: string | undefined, as = runner) {
  const path = join(folder, "machine.json");
  rmSync(path, { force: true });
  if (content !== undefined) writeFileSync(path, content);
  const lines: string[] = [];
  const machine = await machineFor(as, { path, warn: (line) => lines.push(line) });
  return { machine, lines };
}

test("figures are read back for the device they belong to, beside those of others", async () => {
  const path = join(folder, "new", "machine.json");
  await keepMachine({ ...measured, threads: 1 }, path);
  await keepMachine({ ...measured, machine: commonMachine }, path);
  await keepMachine(measured, path);
  const content = readFileSync(path, "utf8");
  expect(JSON.parse(content).entries).toHaveLength(2);
  expect(await got(content)).toEqual({ machine: measured.machine, lines: [] });
});

test("without a file common figures serve, and nobody is bothered", async () => {
  expect(await got(undefined)).toEqual({ machine: commonMachine, lines: [] });
  expect((await got(undefined, { build: "wide", threads: 2 })).machine.panel).toBe(16);
});

const file = (entries: unknown, format = "biform machine 2") => JSON.stringify({ format, entries });
const bad = { ...commonMachine, attend: { ...commonMachine.attend, few: { bytes: -1, flops: 1 } } };
test.each([
  ["empty", ""],
  ["cut short", file([measured]).slice(0, 90)],
  ["not JSON", "\u0000\u0001"],
  ["another format", file([measured], "biform machine 1")],
  ["a negative rate", file([{ ...measured, machine: bad }])],
  ["no rates", file([{ ...measured, machine: {} }])],
  ["another CPU", file([{ ...measured, cpu: "Z80" }])],
  ["another number of threads", file([{ ...measured, threads: 7 }])],
])("a file that is %s costs one line and nothing else", async (_what, content) => {
  const { machine, lines } = await got(content);
  expect(machine).toEqual(commonMachine);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/machine\.json: got .*; using common/);
});

test("a folder in the file's place costs one line too", async () => {
  const lines: string[] = [];
  expect(await machineFor(runner, { path: folder, warn: (line) => lines.push(line) })).toEqual(commonMachine);
  expect(lines).toHaveLength(1);
});

test("the file lies in the user's configuration folder", () => {
  const before = process.env.XDG_CONFIG_HOME;
  process.env.XDG_CONFIG_HOME = folder;
  expect(machinePath()).toBe(join(folder, "biform", "machine.json"));
  if (before === undefined) delete process.env.XDG_CONFIG_HOME;
  else process.env.XDG_CONFIG_HOME = before;
});

test("rates are those that explain the times, and stay finite where noise contradicts them", () => {
  const [bytes, flops, rows] = [10e9, 50e9, 2e8];
  const work = [
    { bytes: 1e8, flops: 1e8, rows: 1e4 },
    { bytes: 1e7, flops: 1e10, rows: 1e4 },
    { bytes: 1e7, flops: 1e8, rows: 1e6 },
    { bytes: 5e7, flops: 1e9, rows: 1e5 },
  ];
  const taken = work.map((w) => ({ work: w, seconds: w.bytes / bytes + w.flops / flops + w.rows / rows }));
  const rate = rateOf(taken);
  expect(rate.bytes / bytes).toBeCloseTo(1);
  expect(rate.flops / flops).toBeCloseTo(1);
  expect(rate.rows! / rows).toBeCloseTo(1);
  const odd = rateOf([
    { work: { bytes: 1e8, flops: 1e8 }, seconds: 1 },
    { work: { bytes: 1e8, flops: 4e8 }, seconds: 0.5 },
  ]);
  expect([odd.bytes, odd.flops, odd.rows ?? 1].every((x) => x > 0 && Number.isFinite(x))).toBe(true);
});

test("measuring gives a machine that the file takes, and leaves no memory behind", async () => {
  const device = await WasmDevice.open({ threads: 1 });
  const seen: number[] = [];
  const machine = await tune(device, { seconds: 0.01, rounds: 1, watch: (done) => seen.push(done) });
  expect(device.liveBytes).toBe(0);
  const path = join(folder, "machine.json");
  await keepMachine({ ...measured, build: device.build, threads: 1, machine }, path);
  expect(await machineFor(device, { path })).toEqual(machine);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  const whole = device.peakBytes;
  device.resetPeak();
  // A quarter of the contexts and operands takes little more than a quarter of the memory, and gives rates as well.
  const turns: [done: number, total: number][] = [];
  const watch = (done: number, total: number) => turns.push([done, total]);
  // In no time at all one round is all that there is.
  const part = await tune(device, { seconds: 1e-6, rounds: 3, share: 1 / 4, watch });
  expect(turns.length - 1).toBe(turns[0]![1] / 3);
  expect(turns.at(-1)![0]).toBe(turns[0]![1]);
  expect(device.peakBytes).toBeLessThan(0.3 * whole);
  expect(part.attend.shared.flops).toBeGreaterThan(0);
  device.close();
});
