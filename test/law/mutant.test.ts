import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { formNames } from "../../src/attention/define.ts";
import { ReferenceDevice } from "../../src/device/reference.ts";
import { WasmDevice } from "../../src/device/wasm.ts";
import { seed } from "./check.ts";
import { cases } from "./geometry.ts";
import { type Devices, lastForm, mutants } from "./mutant.ts";

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
    // A form may refuse sizes: what is wrong in it is not seen there.
    const drawn = cases(from, 4).filter(({ sizes }) => formNames(from, sizes).includes(lastForm(from)));
    for (const one of fc.sample(drawn, { seed, numRuns: 60 })) {
      expect(await law(from, one, on)).toBeUndefined();
      caught = await law(wrong, one, on);
      if (caught) break;
    }
    expect(caught).toBeDefined();
  },
);
