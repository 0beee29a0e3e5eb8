import { Cache } from "../../src/attention/cache.ts";
import { formNames, type Variant } from "../../src/attention/define.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, type Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { boundedOutput } from "./shaken.ts";
import { formName, inChunks, layerProgram, onto, partsOf, subjectOf } from "./subject.ts";

/**
 * Law: a step continues a prefill. However a sequence is cut into chunks, and whichever form runs each of them over the cache
 * that the chunks before left, the outputs are those of one pass over the whole. Where the cache rounds, that pass goes through
 * one that rounds alike; so it is tried in float64, where the numbers to be rounded are the same but for what no rounding sees.
 */
export function continues(variant: Variant, drawn: Case, device: Device, type: CacheType = "f32"): Promise<Violation> {
  const subject = subjectOf(variant, drawn, 1);
  const program = (i: number) => layerProgram(variant, { ...drawn, batch: 1 }, formName(variant, drawn.sizes, i));
  const used = new Set([0, ...drawn.chunks.map(({ form }) => form % formNames(variant, drawn.sizes).length)]);
  let bound = 0;
  if (device.elementBytes === 4) for (const form of used) bound += boundedOutput(program(form)).bound;
  return openScope(device, async () => {
    const tensors = subject.parameters.map((parameter) => onto(device, parameter));
    const x = onto(device, subject.x);
    const p = partsOf(subject.parameters, tensors);
    const rounding = new Cache(device, subject.attention, tokensOf(drawn), type);
    const one = { ...drawn, chunks: [{ tokens: tokensOf(drawn), form: 0 }] };
    const whole =
      type === "f32"
        ? await program(0)
            .run([...tensors, x])
            .read()
        : await inChunks(subject, one, rounding, p, x);
    rounding.free();
    // One token more than needed: its rows are unset memory, which no form may read.
    const cache = new Cache(device, subject.attention, tokensOf(drawn) + 1, type);
    const stepped = await inChunks(subject, drawn, cache, p, x);
    cache.free();
    if (cache.length !== tokensOf(drawn))
      return `${variant.name}: the cache counts ${cache.length} tokens, expected ${tokensOf(drawn)}`;
    const exactness = device.elementBytes === 8 ? 1e-9 : 0;
    return differ(`${variant.name}: in chunks against whole`, whole, stepped, exactness, 2 * bound);
  });
}
