import { expect, test } from "vitest";
import { fuzzing } from "../extent.ts";
import { fuzz } from "./run.ts";

test("hurt configs are planned or refused by a key: no other error, no number that is none, no key that decides unread", async () => {
  const { cases, accepted, failure } = await fuzz({
    target: "config",
    seed: 1,
    ...fuzzing({ all: 240_000, least: 2000 }),
  });
  expect(failure).toBeUndefined();
  expect(cases).toBeGreaterThanOrEqual(2000);
  // Both ways must be taken, or the fuzzing has gone blind.
  expect(accepted / cases).toBeGreaterThan(0.1);
  expect(accepted / cases).toBeLessThan(0.9);
});
