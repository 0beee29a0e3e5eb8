import { formNames, type Variant } from "../../src/attention/define.ts";
import { Random } from "../../src/tensor/random.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { unequal, type Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { layerProgram, onto } from "./subject.ts";

/**
 * Law: a later token never changes an earlier output; nor does a token that has left the window (but for what a state carries),
 * nor one of another sequence.
 * One token's hidden state becomes other numbers, then NaN; all outputs that may not see it must stay the same bit for bit,
 * and its own must turn NaN (else nothing was tried). A kernel that works in tiles multiplies what is masked by a weight of
 * zero, which NaN survives: in float32 the token becomes so large instead that its scores dwarf all others or overflow, and not
 * so large that a value that is a product of two projections is infinite.
 */
export function causal(variant: Variant, drawn: Case, device: Device): Promise<Violation> {
  const tokens = tokensOf(drawn);
  const d = drawn.sizes.d;
  const extreme = device.elementBytes === 8 ? Number.NaN : 1e18;
  const random = new Random(drawn.seed + 1);
  const [sequence, place] = [random.integer(drawn.batch), random.integer(tokens)];
  const row = sequence * tokens + place;
  // What a state carries on (a running sum of gates, a token shift) outlives the window, which hides keys alone.
  const end = drawn.window && !variant.state ? Math.min(tokens, place + drawn.window) : tokens;
  const blind = (numbers: ArrayLike<number>) =>
    Array.from(numbers).filter((_, i) => {
      const at = Math.floor(i / d);
      return at < row || at >= sequence * tokens + end;
    });
  return openScope(device, async () => {
    for (const form of formNames(variant, drawn.sizes)) {
      const program = layerProgram(variant, drawn, form);
      const inputs = program.inputs.map((input) => onto(device, input));
      const before = await program.run(inputs).read();
      for (const change of [random.normals(d, 10), new Float64Array(d).fill(extreme)]) {
        inputs
          .at(-1)!
          .rows(row, row + 1)
          .write(change);
        const after = await program.run(inputs).read();
        const what = `${variant.name} ${form}: outputs that may not see token ${place} of sequence ${sequence}`;
        const violation = unequal(what, blind(before), blind(after));
        if (violation) return violation;
        const own = after.slice(row * d, (row + 1) * d);
        if (Number.isNaN(change[0]) && !own.every(Number.isNaN))
          return `${variant.name} ${form}: an output does not see its own token`;
      }
    }
    return undefined;
  });
}
