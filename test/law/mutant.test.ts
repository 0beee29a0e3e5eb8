import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { seed } from "./check.ts";
import { cases } from "./geometry.ts";
import { type Devices, mutants } from "./mutant.ts";

let on: Devices & { wasm: WasmDevice };
beforeAll(async () => {
  on = { reference: new ReferenceDevice(), wasm: await WasmDevice.open({ threads: 1 }) };
});
afterAll(() => on.wasm.close());

// Each law is able to fail: a variant made wrong on purpose breaks it, and the right one does not.
test.each(mutants.map((mutant) => [mutant.from.name, mutant.what, mutant] as const))(
  "%s with %s is caught by a law",
  async (_name, _what, { from, wrong, law }) => {
    let caught: string | undefined;
    for (const drawn of fc.sample(cases(from, 4), { seed, numRuns: 60 })) {
      expect(await law(from, drawn, on)).toBeUndefined();
      caught = await law(wrong, drawn, on);
      if (caught) break;
    }
    expect(caught).toBeDefined();
  },
);
