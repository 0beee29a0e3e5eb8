import { expect, test } from "vitest";
import { FormatError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import { long } from "./extent.ts";
import { fuzz } from "./fuzz/run.ts";
import { type TargetName, targets } from "./fuzz/targets.ts";

const cases = long ? 120_000 : 4000;

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

// About a minute beside the other tests.
const plans = long ? 240_000 : 20_000;

test.concurrent("hurt configs are planned or refused by a key: no other error, no number that is none, no key that decides unread", async () => {
  const { cases: read, accepted, failure } = await fuzz({ target: "config", seed: 1, cases: plans });
  expect(failure).toBeUndefined();
  expect(read).toBe(plans);
  expect(accepted / plans).toBeGreaterThan(0.1);
  expect(accepted / plans).toBeLessThan(0.9);
});

const requests = long ? 60_000 : 2000;

test.concurrent("hurt requests are answered as the schemas say or refused by name: no other error, no 500", async () => {
  const { cases: read, accepted, failure } = await fuzz({ target: "request", seed: 1, cases: requests });
  expect(failure).toBeUndefined();
  expect(read).toBe(requests);
  expect(accepted / requests).toBeGreaterThan(0.1);
  expect(accepted / requests).toBeLessThan(0.9);
});

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
