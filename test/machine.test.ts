import { expect, test } from "vitest";
import { arithmetic, workSeconds } from "../src/cost/crossover.ts";
import { hostOf, hostOfMeasured } from "../src/cost/host.ts";
import { machineOf, machines } from "../src/cost/machine.ts";
import { dtypes } from "../src/cost/type.ts";
import { machineRows } from "../src/plan/machine.ts";
import { presetOf } from "../src/plan/preset/preset.ts";
import { blueprintOfConfig } from "../src/plan/read/config.ts";

test("each name and alias is one machine's, found whatever its case", () => {
  const names = machines.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
  expect(new Set(names).size).toBe(names.length);
  expect(machineOf("H100")?.name).toBe("h100-sxm");
  expect(machineOf("abacus")).toBeUndefined();
});

test.each(machines.map((machine) => [machine.name, machine] as const))("%s is what there can be", (_, machine) => {
  const { memory, bandwidth, flops, source } = machine;
  expect(source.length).toBeGreaterThan(8);
  expect(memory).toBeGreaterThanOrEqual(8e9);
  // All of memory is read in a hundredth of a second to two seconds, by machines of 2020 to 2026.
  expect(memory / bandwidth).toBeGreaterThan(0.01);
  expect(memory / bandwidth).toBeLessThan(2);
  // Narrower numbers are no slower.
  expect(flops.float16).toBeGreaterThanOrEqual(flops.float32);
  expect(flops.float8 ?? flops.float16).toBeGreaterThanOrEqual(flops.float16);
});

test("the balance of the machines that papers name is theirs", () => {
  const balance = (name: string) => machineOf(name)!.flops.float16 / machineOf(name)!.bandwidth;
  // FLOPs per byte: H20 74 at 8 bits and A800 156 (Step-3, arXiv 2507.19427), H100 SXM 295.
  expect(balance("h20") * 2).toBeCloseTo(74, 0);
  expect(balance("a800")).toBeCloseTo(153, 0);
  expect(balance("h100-sxm")).toBeCloseTo(295, 0);
});

// Bytes per second of memory, dense FLOP/s with 16, 8 and 4 bits, and bytes per second to others of a node, as NVIDIA's own planner
// has them: aiconfigurator-core 0.12.0, systems/*.yaml. B200's and B300's memory is 4 and 3 percent slower there.
test.each([
  ["h100-sxm", 3350e9, 989e12, 1978e12, undefined, 450e9],
  ["h100-pcie", 2000e9, 756.5e12, 1513e12, undefined, undefined],
  ["h200", 4800e9, 989e12, 1978e12, undefined, 450e9],
  ["a100-80gb", 2039e9, 312e12, undefined, undefined, 300e9],
  ["b200", 7700e9, 2250e12, 4500e12, 9000e12, 900e9],
  ["b300", 7750e9, 2250e12, 4500e12, 14_000e12, 900e9],
  ["gb200", 8000e9, 2500e12, 5000e12, 10_000e12, 900e9],
  ["gb300", 8000e9, 2500e12, 5000e12, 15_000e12, 900e9],
  ["l40s", 864e9, 362.05e12, 733e12, undefined, undefined],
  ["l4", 300e9, 121e12, 242e12, undefined, undefined],
] as const)("%s has the figures of a second source", (name, bandwidth, half, float8, float4, link) => {
  const machine = machineOf(name)!;
  const near = (mine: number | undefined, theirs: number | undefined) => {
    if (theirs !== undefined) expect(Math.abs(mine! / theirs - 1)).toBeLessThan(0.05);
  };
  near(machine.bandwidth, bandwidth);
  near(machine.flops.float16, half);
  near(machine.flops.float8, float8);
  near(machine.flops.int4, float4);
  near(machine.link?.bytes, link);
});

test("a machine of the table takes the longer of reading and computing, at the rate of the type", () => {
  const h100 = machineOf("h100-sxm")!;
  const host = hostOf(h100);
  for (const dtype of Object.keys(dtypes) as (keyof typeof dtypes)[]) {
    const machine = host.rates(dtype);
    const rate = h100.flops[dtype] ?? h100.flops.float16;
    for (const kernel of [machine.contract.few, machine.contract.many, machine.attend.few, machine.attend.many]) {
      expect(workSeconds(machine, kernel, { bytes: h100.bandwidth, flops: 0 })).toBeCloseTo(1, 9);
      expect(workSeconds(machine, kernel, { bytes: h100.bandwidth, flops: 3 * rate })).toBeCloseTo(3, 9);
    }
  }
  expect(host.rates("int4").contract.many.flops).toBe(h100.flops.float16);
  expect(host).toMatchObject({ name: "h100-sxm", measured: false, memory: 80e9 });
});

test("a measured machine is itself for every type", () => {
  const host = hostOfMeasured("this", arithmetic, 2 ** 34);
  expect(host.rates("int8")).toBe(arithmetic);
  expect(host).toMatchObject({ name: "this", measured: true, memory: 2 ** 34 });
  expect(hostOfMeasured("this", arithmetic).memory).toBeUndefined();
});

test("one figure of all machines is that of their rows, and no other is counted", () => {
  const settings = {
    context: 8192,
    batch: 2,
    step: 1,
    weightType: "file" as const,
    cacheType: "float16" as const,
    hosts: machines.map(hostOf),
    layouts: [],
  };
  for (const name of ["deepseek-v3", "qwen3.5-35b-a3b"]) {
    const blueprint = blueprintOfConfig(presetOf(name)!.config, name);
    const whole = machineRows(blueprint, settings);
    for (const figure of ["longestContext", "prefill", "decode", "crossover"] as const) {
      const part = machineRows(blueprint, settings, [figure]);
      expect(part.map((row) => [row.machine, row.fits, row[figure]])).toEqual(
        whole.map((row) => [row.machine, row.fits, row[figure]]),
      );
      const other = figure === "decode" ? "prefill" : "decode";
      expect(part.every((row) => row[other].length === 0)).toBe(true);
    }
  }
});
