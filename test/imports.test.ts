import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { apart, files, folderOf, isColumn, layers, imports as pairs, root } from "../scripts/imports.ts";

const layerOf = (folder: string) => layers.findIndex((layer) => layer.includes(folder));
const text = (file: string) => readFileSync(join(root, file), "utf8");

test("the imports are found", () => {
  expect(pairs.length).toBeGreaterThan(100);
  expect(pairs).toContainEqual(["attention/variant/mla.ts", "ops/attend/index.ts"]);
});

test("every folder has a place among the layers", () => {
  const unknown = new Set(files.map(folderOf).filter((folder) => folder !== "data" && layerOf(folder) < 0));
  expect([...unknown]).toEqual([]);
});

const devices = files.filter((file) => files.some((other) => folderOf(other) === "device" && isColumn(file, other)));

test("imports point one way", () => {
  const wrong = pairs.filter(([file, target]) => {
    const [from, to] = [folderOf(file), folderOf(target)];
    if (from === to) return false;
    if (apart[from]) return !apart[from].includes(to);
    // Text to learn from is for those who train, compare and command.
    if (to === "data") return !["train", "heal", "lab", "cluster", "torch", "plan", "cli", "."].includes(from);
    // A device is its memory and its kernels: it takes its column of every op (and the wasm module the parts that are compiled).
    if (from === "device" && to === "ops")
      return !(target.endsWith(".as") ? file.endsWith(".as.ts") : isColumn(target, file));
    return layerOf(to) >= layerOf(from);
  });
  expect(wrong).toEqual([]);
});

test("only an op's kernels know a device, and attention, model and grad know none", () => {
  const wrong = pairs.filter(([file, target]) => {
    if (folderOf(target) !== "device") return false;
    const folder = folderOf(file);
    if (folder === "ops")
      return !devices.some((column) => basename(column) === basename(file)) && !/\.(as|wgsl)\.ts$/.test(file);
    return ["grad", "attention", "model"].includes(folder);
  });
  expect(wrong).toEqual([]);
});

test("a device's kernels are reached from its column and from each other: an op itself imports none", () => {
  expect(devices).toEqual(["ops/reference.ts", "ops/wasm.ts", "ops/webgpu.ts"]);
  const wrong = pairs.filter(([file, target]) => {
    if (target.endsWith(".wgsl.ts")) return !/(^|[./])(webgpu|wgsl)\.ts$/.test(file);
    const column = devices.find((device) => folderOf(target) === "ops" && basename(device) === basename(target));
    return column && basename(file) !== basename(target);
  });
  expect(wrong).toEqual([]);
});

describe("files", () => {
  test("have at most 300 lines", () => {
    const long = files.filter((file) => text(file).trimEnd().split("\n").length > 300);
    expect(long).toEqual([]);
  });

  test("have no default export", () => {
    expect(files.filter((file) => /^export default\b|\bas default\b/m.test(text(file)))).toEqual([]);
  });

  test("are each named by one lower-case word", () => {
    const named = /^[a-z]+\d?(\.as|\.wgsl)?\.ts$/;
    const vague = /^(utils?|helpers?|commons?|managers?|base|misc|shared|tools?|lib|stuff)\b/;
    expect(files.filter((file) => file.split("/").some((part) => vague.test(part)))).toEqual([]);
    expect(files.filter((file) => !named.test(basename(file)))).toEqual([]);
  });
});
