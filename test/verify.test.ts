import { Command } from "commander";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { cacheValues, type Variant } from "../src/attention/define.ts";
import { parseSpec } from "../src/attention/spec.ts";
import { gqa } from "../src/attention/variant/gqa.ts";
import { mla } from "../src/attention/variant/mla.ts";
import { s2 } from "../src/attention/variant/s2.ts";
import { variants } from "../src/attention/variants.ts";
import { verifyCommand } from "../src/cli/verify.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { ShapeError } from "../src/tensor/error.ts";
import { Random } from "../src/tensor/random.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { agree, randomSpec } from "../src/verify/agree.ts";

const host = { width: 32, heads: 4 };
let wasm: Device;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2 });
});
afterAll(() => wasm.close());

describe("agreement of forms", () => {
  test("holds for random geometries of every kind, in float64 and in float32", async () => {
    const random = new Random(8);
    const kinds = new Set<string>();
    let rounded = 0;
    for (let i = 0; i < 60; i++) {
      const { spec, ...where } = randomSpec(random);
      const attention = parseSpec(spec, where);
      const found = await agree(attention, { tokens: 2 + random.integer(12), seed: i, device: wasm });
      expect(found, spec).toMatchObject({ spec, passed: true });
      kinds.add(attention.variant.name);
      if (found.float32!.relative > 0) rounded++;
    }
    expect(kinds.size).toBe(variants.length);
    // Mostly float32 loses something: zeros throughout would mean that nothing was compared.
    expect(rounded).toBeGreaterThan(30);
  });

  const absorbed = mla.forms.absorbed!;
  const scaledTwice: Variant = {
    ...mla,
    forms: {
      ...mla.forms,
      absorbed: {
        ...absorbed,
        run: (p, parts, view, ...others) => absorbed.run(p, parts, { ...view, scale: view.scale * 1.001 }, ...others),
      },
    },
  };
  const shiftedSteps: Variant = {
    ...s2,
    project: (p, x, at, ...others) =>
      s2.project(p, x, { ...at, positions: at.positions.map((t) => t - at.positions[0]!) }, ...others),
  };
  const withoutValueNaN: Variant = { ...gqa, scale: () => Number.NaN };

  test.each<[string, string, Variant]>([
    ["one form's scale is a thousandth off", "MLA", scaledTwice],
    ["a step forgets where it stands", "GQA2-(192+64)-S2", shiftedSteps],
    ["results are no numbers", "GQA2-128", withoutValueNaN],
  ])("is denied where %s", async (_what, spec, variant) => {
    const attention = { ...parseSpec(spec, host), variant };
    expect((await agree(attention, { tokens: 9, seed: 1, device: wasm })).passed).toBe(false);
    expect((await agree(attention, { tokens: 9, seed: 1 })).passed).toBe(false);
  });

  test("tells what is cached and what a form unfolds of it", async () => {
    const attention = parseSpec("MLA:n5:r4:v3:c7", host);
    const { forms, compared } = await agree(attention, { tokens: 4, seed: 1 });
    expect(cacheValues(attention.variant, attention.sizes)).toBe(11);
    expect(compared).toBe("forms");
    // The expanded form also gathers what is cached from its pages.
    expect(forms).toEqual([
      { form: "expanded", values: 11, bytes: 44, unfoldedValues: 4 * (5 + 3) + 11 },
      { form: "absorbed", values: 11, bytes: 44, unfoldedValues: 0 },
    ]);
  });

  test("is the same for the same seed, and needs two tokens", async () => {
    const attention = parseSpec("MLA", host);
    const once = await agree(attention, { tokens: 5, seed: 4, device: wasm });
    // Two at a time, by name: neither disturbs the other.
    const twice = () => agree("MLA", { ...host, tokens: 5, seed: 4, device: wasm });
    expect(await Promise.all([twice(), twice()])).toEqual([once, once]);
    expect((await agree(attention, { tokens: 5, seed: 5, device: wasm })).float32).not.toEqual(once.float32);
    await expect(agree(attention, { tokens: 1, seed: 4 })).rejects.toThrow(ShapeError);
  });
});

describe("biform verify", () => {
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
  afterEach(() => {
    lines.length = 0;
    process.exitCode = undefined;
  });
  afterAll(() => log.mockRestore());
  const run = async (...args: string[]) => {
    const program = new Command().exitOverride();
    verifyCommand(program.command("verify"));
    await program.parseAsync(["verify", ...args], { from: "user" });
    return lines.join("\n");
  };

  test("prints a row per form that fits 100 columns", async () => {
    const text = await run("MLA", "GQA2-128", "--width", "32", "--tokens", "6");
    expect(text).toMatch(/^MLA +expanded .* agree$/m);
    expect(text).toMatch(/^ +absorbed +36 \(144 B\) +0$/m);
    expect(text).toContain("2 agree, 0 do not");
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(100);
    expect(process.exitCode).toBeUndefined();
  });

  test("prints what it found as JSON, for geometries drawn from a seed", async () => {
    const found = JSON.parse(await run("--random", "3", "--seed", "9", "--json"));
    expect(found).toMatchObject({ pass: 3, fail: 0, unsupported: 0 });
    expect(found.cases).toHaveLength(3);
    for (const { status, maxError, tolerance } of found.cases) {
      expect(status).toBe("pass");
      expect(maxError).toBeLessThanOrEqual(tolerance);
    }
  });

  test("refuses an unknown name, a missing directory and two tasks at once, each in a line", async () => {
    await expect(run("MLAX")).rejects.toThrow(/^variant: got "MLAX"/);
    await expect(run("--golden", "/no/such/folder")).rejects.toThrow(
      /got no such folder, expected a folder of golden cases/,
    );
    await expect(run("MLA", "--golden", ".")).rejects.toThrow(/--golden beside variants/);
    await expect(run("MLA", "--random")).rejects.toThrow(/--random beside variants/);
    expect(lines).toEqual([]);
  });
});
