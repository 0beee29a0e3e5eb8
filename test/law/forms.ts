import { formNames, type Variant } from "../../src/attention/define.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, type Violation } from "./check.ts";
import type { Case } from "./geometry.ts";
import { boundedOutput } from "./shaken.ts";
import { layerProgram, onto } from "./subject.ts";

/**
 * Law: all forms of a variant are the same function. In float64 to 1e-9 of the output's size; in float32 to what both forms'
 * rounding may add up to.
 */
export function formsAgree(variant: Variant, drawn: Case, device: Device): Promise<Violation> {
  const [first, ...others] = formNames(variant, drawn.sizes);
  const result = (form: string) => {
    const program = layerProgram(variant, drawn, form);
    const y = program.run(program.inputs.map((input) => onto(device, input)));
    return { y, bound: device.elementBytes === 8 ? 0 : boundedOutput(program).bound };
  };
  return openScope(device, async () => {
    const expected = result(first!);
    const numbers = await expected.y.read();
    for (const form of others) {
      const { y, bound } = result(form);
      const exactness = device.elementBytes === 8 ? 1e-9 : 0;
      const what = `${variant.name}: ${form} against ${first}`;
      const violation = differ(what, numbers, await y.read(), exactness, expected.bound + bound);
      if (violation) return violation;
    }
    return undefined;
  });
}
