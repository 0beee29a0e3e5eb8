import { dataOf } from "../../src/device/float.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { gradients } from "../../src/grad/tape.ts";
import { Random } from "../../src/tensor/random.ts";
import { scope } from "../../src/tensor/tensor.ts";
import type { Violation } from "./check.ts";
import { probe } from "./shaken.ts";
import { onto, type Program } from "./subject.ts";

/**
 * Steps of the finite difference, tried until one agrees: a norm of nearly nothing bends within 1e-3, a long step is exact
 * where a function is flat. A wrong gradient agrees at none.
 */
const STEPS = [1e-3, 1e-4, 1e-5, 1e-6];
const TOLERANCE = 1e-6;

/**
 * Law: gradient = finite difference. Along a random direction through all inputs at once, the tape's directional derivative
 * is the central difference of fourth order, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, in float64.
 */
export function gradientIsDifference(what: string, program: Program, seed: number): Violation {
  const device = new ReferenceDevice();
  const random = new Random(seed);
  const directions = program.inputs.map(({ values }) => random.normals(values.length));
  return scope(device, () => {
    const inputs = program.inputs.map((input) => onto(device, input));
    const found = gradients(inputs, () => probe(program.run(inputs)));
    let slope = 0;
    let size = 0;
    for (const [i, g] of found.gradients.entries())
      for (const [j, x] of dataOf(g).entries()) {
        slope += x * directions[i]![j]!;
        size += (x * directions[i]![j]!) ** 2;
      }
    const at = (step: number) =>
      scope(device, () => {
        for (const [i, t] of inputs.entries())
          t.write(program.inputs[i]!.values.map((x, j) => x + step * directions[i]![j]!));
        return dataOf(probe(program.run(inputs)))[0]!;
      });
    let best = Number.POSITIVE_INFINITY;
    for (const h of STEPS) {
      const difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      best = Math.min(best, Math.abs(difference - slope));
      if (best <= TOLERANCE * Math.sqrt(size) + 1e-9) return undefined;
    }
    return `${what}: the derivative ${slope} is ${best} away from the difference, of terms of size ${Math.sqrt(size)}`;
  });
}
