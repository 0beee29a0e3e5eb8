import { cacheBytes, Session } from "../../src/generate/session.ts";
import { Random } from "../../src/tensor/random.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, type Violation } from "./check.ts";
import { type ModelCase, named, weightsOf } from "./model.ts";
import { onto } from "./subject.ts";

/** The tokens of a sequence one by one give the logits that they give at once; the caches take what is declared. */
export function sessionContinues(drawn: ModelCase, device: Device): Promise<Violation> {
  const { model, tokens, form } = drawn;
  const random = new Random(drawn.seed + 2);
  const ids = Int32Array.from({ length: tokens }, () => random.integer(model.vocabulary));
  const options = form ? { form } : {};
  return openScope(device, async () => {
    const inputs = weightsOf(drawn);
    const weights = named(
      inputs,
      inputs.map((input) => onto(device, input)),
    );
    const whole = new Session(model, weights, { context: tokens });
    const expected = await whole.append(ids, options).read();
    const before = device.liveBytes;
    const session = new Session(model, weights, { context: tokens });
    const stepped: number[] = [];
    for (const id of ids) {
      const logits = session.append(Int32Array.of(id), options);
      stepped.push(...(await logits.read()));
      logits.free();
      const taken = device.liveBytes - before;
      const declared = cacheBytes(model, session.length, "f32", device.elementBytes);
      if (taken !== declared || session.bytes !== declared) return `caches take ${taken} bytes, expected ${declared}`;
    }
    if (session.length !== tokens) return `the session counts ${session.length} tokens, expected ${tokens}`;
    return differ("logits step by step", expected, stepped, 1e-9);
  });
}
