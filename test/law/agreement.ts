import { gradients } from "../../src/grad/tape.ts";
import type { Device, Numbers } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, unequal, type Violation } from "./check.ts";
import { boundedGradients, boundedOutput, probe } from "./shaken.ts";
import { onto, ontoOne, type Program } from "./subject.ts";

/** What is compared: the output alone (of what no tape records), or the inputs' gradients too. */
export type Extent = "output" | "gradients";

/** Law: a device computes what the float64 reference computes, output and gradients, within the bound of float32 rounding. */
export async function agrees(
  what: string,
  program: Program,
  device: Device,
  extent: Extent = "gradients",
): Promise<Violation> {
  const results = await resultsOn(device, program, extent);
  const expected = extent === "output" ? [boundedOutput(program)] : boundedGradients(program);
  const names = ["output", ...program.inputs.map(({ name }) => `gradient of ${name}`)];
  for (const [i, { exact, bound }] of expected.entries()) {
    const violation = differ(`${what}: ${names[i]}`, exact, results[i]!, 0, bound);
    if (violation) return violation;
  }
  return undefined;
}

/** Law: one seed, one result. Two devices (two thread counts, or one device twice) give the same numbers bit for bit. */
export async function repeats(
  what: string,
  program: Program,
  one: Device,
  other: Device,
  extent: Extent = "gradients",
): Promise<Violation> {
  const [first, second] = [await resultsOn(one, program, extent), await resultsOn(other, program, extent)];
  for (const [i, numbers] of first.entries()) {
    const violation = unequal(`${what}: result ${i}`, numbers, second[i]!);
    if (violation) return violation;
  }
  return undefined;
}

/**
 * Law: what a gradient takes it gives back. Once its results are freed, the device holds the bytes it held before, and while
 * it ran nothing was lost.
 */
export async function givesBack(what: string, program: Program, device: Device): Promise<Violation> {
  const inputs = program.inputs.map((input) => onto(device, input));
  const once = () => {
    const found = gradients(inputs, () => probe(program.run(inputs)));
    for (const t of [found.value, ...found.gradients]) t.free();
  };
  // Tables of angles are kept as long as the positions they belong to: the first pass makes them.
  once();
  const before = device.liveBytes;
  once();
  const after = device.liveBytes;
  for (const t of inputs) t.origin.free();
  return after === before ? undefined : `${what}: the device holds ${after} bytes after a gradient, ${before} before`;
}

/** The output, without a tape, and then the gradients of the inputs, which lie in one block or in one each. */
function resultsOn(device: Device, program: Program, extent: Extent): Promise<Numbers[]> {
  return openScope(device, async () => {
    const numbers = program.inputs.reduce((sum, { values }) => sum + values.length, 0);
    const apart = program.changes || numbers % 2 === 0;
    const inputs = apart ? program.inputs.map((input) => onto(device, input)) : ontoOne(device, program.inputs);
    const output = await program.run(inputs).read();
    if (extent === "output") return [output];
    const found = gradients(inputs, () => probe(program.run(inputs)));
    const results = [output];
    for (const t of found.gradients) results.push(await t.read());
    return results;
  });
}
