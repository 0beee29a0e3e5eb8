import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { variants } from "../../src/attention/variants.ts";
import { share } from "../../test/extent.ts";
import { casesOf, type Expected, mixedCases, type TorchCase, writeCase } from "./cases.ts";
import { runPython } from "./python.ts";

// Logits, loss and every gradient of what is written are Biform's: in float64 to 1e-9, in float32 within what its roundings move the
// same model by (test/law/shaken.ts), in every form, over whole sequences, in chunks of any forms, and token by token.

const scratch = mkdtempSync(join(tmpdir(), "biform-torch-law-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** An error and the size beside it. */
type Found = Readonly<Record<string, readonly [error: number, size: number]>>;

/** What is less than this counts as no larger: a gradient of nearly nothing is held to what everything beside it is. */
const LEAST = 1e-3;

/** Gives how often FlexAttention ran for each kind of term. */
async function holds(list: readonly TorchCase[]): Promise<Record<string, number>> {
  const expected = new Map<string, Expected>();
  const dirs = list.map((one, i) => {
    const dir = join(scratch, `${one.name.toLowerCase().replace(/[^a-z0-9]/g, "")}_${i}`);
    expected.set(basename(dir), writeCase(dir, one));
    return dir;
  });
  let seen = 0;
  const calls: Record<string, number> = {};
  for await (const line of runPython("law.py", dirs)) {
    const told = JSON.parse(line) as {
      case: string;
      float64: Found;
      float32: Found;
      flexed: Record<string, number>;
    };
    for (const [name, n] of Object.entries(told.flexed)) calls[name] = (calls[name] ?? 0) + n;
    const bounds = expected.get(told.case)!;
    const wrong = Object.entries(told.float64).filter(([, [error, size]]) => !(error <= 1e-9 * Math.max(size, LEAST)));
    for (const [what, [error]] of Object.entries(told.float32)) {
      const [kind, name] = what.split(" ") as ["logits" | "loss" | "gradient", string];
      const bound = kind === "gradient" ? bounds.gradients[name]! : bounds[kind];
      if (!(error <= 2 * bound)) wrong.push([`float32 ${what}: at most ${2 * bound}`, [error, 0]]);
    }
    expect([told.case, wrong]).toEqual([told.case, []]);
    seen++;
  }
  expect(seen).toBe(list.length);
  return calls;
}

describe("each variant of the list computes in PyTorch what it computes in Biform", () => {
  test.each(variants.map((variant) => [variant.name, variant] as const))(
    "%s",
    { timeout: 3_600_000 },
    async (_, variant) => {
      await holds(casesOf(variant, share(100)));
    },
  );
});

test("and so do models of two variants", { timeout: 3_600_000 }, async () => {
  await holds(mixedCases(share(400)));
});

test("and with FlexAttention for windows, forget gates and sinks, as on a GPU", { timeout: 3_600_000 }, async () => {
  const list = variants.flatMap((variant) => casesOf(variant, share(60)));
  const calls = await holds(list.map((one) => ({ ...one, name: `flex${one.name}`, flex: true })));
  for (const kind of ["window", "decay", "sinks"]) expect([kind, calls[kind]! > 20]).toEqual([kind, true]);
});
