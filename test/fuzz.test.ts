import { expect, test } from "vitest";
import { FormatError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { long } from "./extent.ts";
import { fuzz } from "./fuzz/run.ts";
import { type TargetName, targets } from "./fuzz/targets.ts";

const cases = long ? 120_000 : 2500;

// Longer: node scripts/fuzz.ts --minutes 10. A failure says its seed: node scripts/fuzz.ts --target gguf --seed N --cases 1.
test.concurrent.each<TargetName>(["gguf", "safetensors"])(
  "hurt %s files are read or refused with a FormatError: no other error, no hang, no memory that the file does not pay for",
  async (target) => {
    const { cases: read, accepted, failure } = await fuzz({ target, seed: 1, cases });
    expect(failure).toBeUndefined();
    expect(read).toBe(cases);
    // Both ways must be taken, or the fuzzing has gone blind.
    expect(accepted / cases).toBeGreaterThan(0.1);
    expect(accepted / cases).toBeLessThan(0.9);
  },
);

test("a case is made from its seed alone", () => {
  for (const { make } of Object.values(targets)) expect(make(new Random(5))).toEqual(make(new Random(5)));
});

test("before they are hurt, files are taken: what is refused is so because of the damage", async () => {
  for (const { make, read } of Object.values(targets)) {
    let accepted = 0;
    for (let seed = 0; seed < 200; seed++)
      await read(make(new Random(seed))).then(
        () => accepted++,
        (error) => expect(error).toBeInstanceOf(FormatError),
      );
    expect(accepted).toBeGreaterThan(20);
  }
});
