import { expect, test } from "vitest";
import { fuzzing } from "../extent.ts";
import { fuzz } from "./run.ts";

test("hurt requests are answered as the schemas say or refused by name: no other error, no 500", async () => {
  const { cases, accepted, failure } = await fuzz({
    target: "request",
    seed: 1,
    ...fuzzing({ all: 60_000, least: 1000 }),
  });
  expect(failure).toBeUndefined();
  expect(cases).toBeGreaterThanOrEqual(1000);
  // Both ways must be taken, or the fuzzing has gone blind.
  expect(accepted / cases).toBeGreaterThan(0.1);
  expect(accepted / cases).toBeLessThan(0.9);
});
