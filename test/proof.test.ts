import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { equal, type FaultName, faults, limits, prove, type Question, sizesOf, usual } from "../site/src/proof.ts";
import { cacheValues, mla, runAttention } from "../src/web.ts";

/** Any question that the page's controls can ask. */
const questions = fc.record(
  Object.fromEntries(
    Object.entries(limits).map(([name, [least, most, step]]) => [
      name,
      fc.integer({ min: 0, max: (most - least) / step }).map((i) => least + i * step),
    ]),
  ),
) as fc.Arbitrary<unknown> as fc.Arbitrary<Question>;

const broken = Object.keys(faults).filter((name) => name !== "none") as FaultName[];

describe("the page's proof", () => {
  test("passes for every seed and size that can be asked for", async () => {
    await fc.assert(
      fc.asyncProperty(questions, async (question) => {
        const proof = await prove(question);
        expect(proof.relative).toBeLessThanOrEqual(proof.tolerance);
        expect(equal(proof)).toBe(true);
        expect(proof.refusal).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  test("differs by rounding alone at the sizes that it starts with, and by no less than that in all outputs", async () => {
    const proofs = await Promise.all(Array.from({ length: 20 }, (_, i) => prove({ ...usual, seed: i + 1 })));
    for (const { relative } of proofs) expect(relative).toBeLessThan(1e-14);
    // Two orders of summation that agree in every bit would be one form run twice.
    expect(proofs.some(({ relative }) => relative > 0)).toBe(true);
    const { outputs, added, cached } = proofs[0]!;
    expect(outputs.expanded).toHaveLength(added * sizesOf(usual).d);
    expect(added + cached).toBe(usual.tokens);
    expect(outputs.expanded.every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
  });

  test.each(broken)("sees %s", async (fault) => {
    await fc.assert(
      fc.asyncProperty(questions, async (question) => {
        const { harmless } = faults[fault] as { harmless?(question: Question): string | undefined };
        const proof = await prove(question, fault);
        if (harmless?.(question)) expect(equal(proof)).toBe(true);
        else {
          expect(equal(proof)).toBe(false);
          // Far from what rounding could be taken for.
          expect(proof.relative).toBeGreaterThan(1e6 * proof.tolerance);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("says why the library refuses a norm on each head's key, in its own words", async () => {
    const { refusal } = await prove(usual, "norm");
    expect(refusal).toContain("norm");
    const attention = { variant: mla, sizes: { ...sizesOf(usual), with: { qkNorm: true } } } as const;
    expect(() =>
      runAttention(attention as never, {}, undefined as never, { positions: new Int32Array(1), form: "absorbed" }),
    ).toThrow(refusal);
  });

  test("a difference that is no number is not equal", async () => {
    expect(equal({ ...(await prove(usual)), relative: Number.NaN })).toBe(false);
  });

  test("is over a cache of c + r numbers a token", () => {
    expect(cacheValues(mla, sizesOf(usual))).toBe(usual.c + usual.r);
  });

  test("prints how long it takes", async () => {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) times.push((await prove(usual)).milliseconds);
    times.sort((a, b) => a - b);
    console.log(
      `proof at the usual sizes: ${times[4]!.toFixed(1)} ms (the first ${(await prove(usual)).milliseconds.toFixed(1)})`,
    );
  });
});
