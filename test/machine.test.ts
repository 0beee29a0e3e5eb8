import { expect, test } from "vitest";
import { arithmetic, workSeconds } from "../src/cost/crossover.ts";
import { hostOf, hostOfMeasured } from "../src/cost/host.ts";
import { machineOf, machines } from "../src/cost/machine.ts";
import { dtypes } from "../src/cost/type.ts";

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
