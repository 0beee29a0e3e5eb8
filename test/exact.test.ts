// What a prompt's tokens score does not depend on how many of them run together, nor on what runs beside them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { appendTogether } from "../src/generate/together.ts";
import { ids, seed, small } from "./logits.ts";

let dir = "";
let model: LoadedModel;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-exact-"));
  const path = join(dir, "m.gguf");
  await writeSampleGguf(path, small("deepseek2"), { type: "Q4_0", seed });
  model = await load(path, { threads: 1 });
});
afterAll(async () => {
  model.close();
  await rm(dir, { recursive: true, force: true });
});

const prompt = Int32Array.from(ids);

/** Logits of the prompt in pieces of `chunk`. */
async function score(chunk: number): Promise<Float32Array> {
  const session = model.session();
  try {
    return (await session.logits(prompt, { chunk }))!;
  } finally {
    session.free();
  }
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) => Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

describe("over weights of 4 bits", () => {
  test("a prompt's logits are the same in any pieces, to float32", async () => {
    const whole = await score(prompt.length);
    for (const chunk of [1, 5, 12]) expect(worst(await score(chunk), whole)).toBeLessThan(1e-4);
  });

  test("and beside other sequences; where nobody asks, few rows are rounded to 8 bits", async () => {
    const whole = await score(prompt.length);
    const { vocabulary } = model.model;
    const run = async (exact: boolean) => {
      const sessions = [new Session(model.model, model.weights), new Session(model.model, model.weights)];
      try {
        const entries = sessions.map((session, i) => ({
          session,
          ids: prompt.slice(0, 3 + i),
          logits: "all" as const,
        }));
        const output = appendTogether(entries, { exact });
        const numbers = await output.read();
        output.free();
        return worst(numbers.subarray(0, 3 * vocabulary), whole);
      } finally {
        for (const session of sessions) session.free();
      }
    };
    expect(await run(true)).toBeLessThan(1e-4);
    expect(await run(false)).toBeGreaterThan(1e-3);
  });

  test("a session over states that is taken back after such a step runs again as it ran", async () => {
    const path = join(dir, "states.gguf");
    await writeSampleGguf(path, small("kimi-linear"), { type: "Q4_0", seed });
    const states = await load(path, { threads: 1 });
    try {
      const file = join(dir, "states.session");
      const logitsAfter = async (length: number, kept?: "saved") => {
        let session = new Session(states.model, states.weights);
        try {
          session.append(prompt.subarray(0, 8), { logits: "all", exact: true }).free();
          if (length > 8) session.append(prompt.subarray(8, length), { exact: true }).free();
          if (kept) {
            await session.save(file);
            session.free();
            session = await Session.load(file, states.model, states.weights);
          }
          session.rewind(8);
          const output = session.append(prompt.subarray(8, 9), { exact: true });
          const numbers = await output.read();
          output.free();
          return numbers;
        } finally {
          session.free();
        }
      };
      const expected = await logitsAfter(8);
      expect(await logitsAfter(12)).toEqual(expected);
      // A file says how tokens ran, too.
      expect(await logitsAfter(12, "saved")).toEqual(expected);
    } finally {
      states.close();
    }
  });
});
