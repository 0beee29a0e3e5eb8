import { expect, test } from "vitest";
import { FormatError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { long } from "./extent.ts";
import { fuzz } from "./fuzz/run.ts";
import { openTarget, type TargetName, targetNames } from "./fuzz/target.ts";

/**
 * How many cases there are of each. In the short command they are as many as take ten to twelve seconds of processor time together,
 * the threads' start of two or three among them, so that a few more do not make it longer: a case of a config takes some 0.8 ms (half of it
 * reading, a fourth planning, a tenth making it), of a request 0.6, of a GGUF file 0.15 and of safetensors 0.04. What costs little is tried
 * often, and configs, of which there are most kinds, most. In the long one all take a minute or more each.
 */
const cases: readonly (readonly [TargetName, number])[] = [
  ["config", long ? 240_000 : 5000],
  ["request", long ? 60_000 : 3500],
  ["gguf", long ? 120_000 : 5000],
  ["safetensors", long ? 120_000 : 7500],
];

// For a time: node scripts/fuzz.ts --minutes 10. A failure says its seed: node scripts/fuzz.ts --target gguf --seed N --cases 1.
test.concurrent.each(cases)(
  "what is hurt of %s is read or refused by its name: no other error, no hang, no NaN, no memory that it does not pay for, no key unread",
  async (target, cases) => {
    const { cases: read, accepted, failure } = await fuzz({ target, seed: 1, cases });
    expect(failure).toBeUndefined();
    expect(read).toBe(cases);
    // Both ways must be taken, or the fuzzing has gone blind.
    expect(accepted / cases).toBeGreaterThan(0.1);
    expect(accepted / cases).toBeLessThan(0.9);
  },
);

test("a case is made from its seed alone", async () => {
  for (const { make } of await Promise.all(targetNames.map(openTarget)))
    expect(make(new Random(5))).toEqual(make(new Random(5)));
});

test("before they are hurt, files are taken: what is refused is so because of the damage", async () => {
  for (const { make, read } of await Promise.all(targetNames.map(openTarget))) {
    let accepted = 0;
    for (let seed = 0; seed < 200; seed++)
      await read(make(new Random(seed))).then(
        () => accepted++,
        (error) => expect(error).toBeInstanceOf(FormatError),
      );
    expect(accepted).toBeGreaterThan(20);
  }
});
