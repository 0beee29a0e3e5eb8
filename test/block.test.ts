import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleGguf } from "../src/checkpoint/sample.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { memorySource } from "../src/file/bytes.ts";
import { openGguf } from "../src/file/disk.ts";
import { decodeGguf, typeCodes } from "../src/file/gguf.ts";
import { readOutline } from "../src/file/outline.ts";
import { type GgufTensor, writeGguf } from "../src/file/writer.ts";
import { load } from "../src/generate/load.ts";
import { FormatError } from "../src/tensor/error.ts";
import { blocks, dequantise, isQuant, type Quant } from "../src/tensor/quant.ts";
import { isQuantised } from "../src/tensor/quantise.ts";
import { Random } from "../src/tensor/random.ts";
import { ggufOf, line } from "./corpus/gguf.ts";

// Made by ggml itself: `source` in the file says how.
const golden = z
  .object({
    types: z.record(
      z.string(),
      z.object({ code: z.int(), elements: z.int(), bytes: z.int(), blocks: z.base64(), numbers: z.base64() }),
    ),
  })
  .parse(JSON.parse(readFileSync(new URL("./fixture/blocks.json", import.meta.url), "utf8"))).types;

const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));
const readOnly = (Object.keys(blocks) as Quant[]).filter((type) => !isQuantised(type));

let dir = "";
/** A small Llama in F32. */
let base = "";
beforeAll(async () => {
  dir = await mkdtemp(path(tmpdir(), "biform-block-"));
  base = path(dir, "base.gguf");
  const config = { ...presetConfig("llama", "tiny"), hidden_size: 256, intermediate_size: 512, vocab_size: 320 };
  await writeSampleGguf(base, config, { seed: 3, type: "F32" });
});
afterAll(() => rm(dir, { recursive: true, force: true }));

test("every block format has vectors, and the code, elements and bytes that ggml gives it", () => {
  expect(Object.keys(golden).sort()).toEqual(Object.keys(blocks).sort());
  for (const [type, { code, elements, bytes }] of Object.entries(golden)) {
    expect([type, typeCodes[type as Quant]]).toEqual([type, code]);
    expect([type, blocks[type as Quant]]).toEqual([type, { elements, bytes }]);
  }
});

test.each(Object.keys(golden))("%s decodes to ggml's numbers bit for bit", (type) => {
  const { blocks: encoded, numbers } = golden[type]!;
  const expected = new Float32Array(bytesOf(numbers).buffer);
  const found = new Float32Array(expected.length);
  dequantise(type as Quant, bytesOf(encoded), found);
  // The sign of a zero is nobody's business.
  expect([...found].map((x) => x + 0)).toEqual([...expected].map((x) => x + 0));
});

test("what is only read takes bytes and no numbers", async () => {
  for (const dtype of readOnly) {
    const tensor = { name: "w", shape: [256], dtype, data: new Float32Array(256) };
    const written = writeGguf(path(dir, "no.gguf"), new Map(), [tensor]);
    await expect(written).rejects.toThrow(`w: got numbers for ${dtype}, expected its bytes or another type`);
    await expect(written).rejects.toThrow(FormatError);
  }
});

/** Random blocks whose numbers are near one another: halves near 0.02, exponents near 2^-6. */
function randomBlocks(type: Quant, count: number, random: Random): Uint8Array {
  const { bytes } = blocks[type];
  const all = Uint8Array.from({ length: bytes * count }, () => random.integer(256));
  const view = new DataView(all.buffer);
  const halves: Partial<Record<Quant, number[]>> = { Q2_K: [80, 82], Q3_K: [108], TQ1_0: [52], TQ2_0: [64] };
  for (let at = 0; at < all.length; at += bytes)
    if (type === "MXFP4") all[at] = 118 + random.integer(4);
    else if (type === "NVFP4") for (let part = 0; part < 4; part++) all[at + part] = 8 + random.integer(16);
    else for (const half of halves[type] ?? [0]) view.setFloat16(at + half, 0.002 * (1 + random.uniform()), true);
  return all;
}

test.each(readOnly)(
  "a model with weights in %s runs, on both devices, as with the same numbers in F32",
  async (type) => {
    const { metadata, tensors } = await openGguf(base);
    const random = new Random(5);
    const narrow: GgufTensor[] = [];
    const wide: GgufTensor[] = [];
    for (const name of tensors.names) {
      const { shape, elements } = tensors.entry(name);
      const plain = { name, shape, dtype: "F32", data: (await tensors.read(name)) as Float32Array } as const;
      if (!/ffn_(up|down)|attn_q|token_embd/.test(name)) {
        narrow.push(plain);
        wide.push(plain);
        continue;
      }
      const bytes = randomBlocks(type, elements / blocks[type].elements, random);
      const data = new Float32Array(elements);
      dequantise(type, bytes, data);
      narrow.push({ name, shape, dtype: type, data: { bytes } });
      wide.push({ ...plain, data });
    }
    const files = [path(dir, "narrow.gguf"), path(dir, "wide.gguf")] as const;
    await writeGguf(files[0], metadata, narrow);
    await writeGguf(files[1], metadata, wide);
    const ids = Int32Array.of(3, 117, 58, 239, 100);
    for (const device of [new ReferenceDevice(), await WasmDevice.open({ threads: 1 })]) {
      const logits: number[][] = [];
      for (const file of files) {
        const loaded = await load(file, { device });
        const session = loaded.session({ context: ids.length });
        logits.push(Array.from(await session.append(ids).read()));
        session.free();
        loaded.close();
      }
      expect(logits[0]).toEqual(logits[1]);
      expect(Math.max(...logits[0]!.map(Math.abs))).toBeGreaterThan(0.1);
    }
  },
);

describe("types in a header by itself", () => {
  const outline = async (tensors: Uint8Array[], data = 0) =>
    [...(await readOutline(memorySource("x.gguf", ggufOf({ tensors, data })))).tensors].map(
      ([name, { type, bytes }]) => [name, type, bytes],
    );

  test("each has its name and size, whether its numbers are read or not", async () => {
    const all = Object.entries(typeCodes).map(([name, code], i) => line(name, [256, 2], code, 32 * i));
    for (const [name, type, bytes] of await outline(all)) {
      const { elements, bytes: each } = isQuant(String(name)) ? blocks[name as Quant] : { elements: 1, bytes: 0 };
      expect(type).toBe(name);
      if (each) expect(bytes).toBe((512 / elements) * each);
    }
    expect(await outline([line("w", [256], 16), line("s", [256, 3], 21)])).toEqual([
      ["w", "IQ2_XXS", 66],
      ["s", "IQ3_S", 330],
    ]);
  });

  test("one that is not known is as large as what lies before the next tensor, or the end of the file", async () => {
    const tensors = [line("b", [64], 138, 96), line("a", [64], 200), line("c", [8], 0, 160)];
    expect(await outline(tensors, 192)).toEqual([
      ["b", "type 138", 64],
      ["a", "type 200", 96],
      ["c", "F32", 32],
    ]);
    expect(await outline([line("a", [64], 138)], 48)).toEqual([["a", "type 138", 48]]);
    expect(await outline([line("a", [64], 138)])).toEqual([["a", "type 138", undefined]]);
  });

  test("Q2_0 is told from a fork's blocks of 128 by where the next tensor begins", async () => {
    const two = (at: number) => outline([line("a", [128, 16], 42), line("b", [8], 0, at)], 1024);
    expect((await two(576))[0]).toEqual(["a", "Q2_0", 576]);
    expect((await two(608))[0]).toEqual(["a", "Q2_0", 576]);
    expect((await two(544))[0]).toEqual(["a", "Q2_0 in blocks of 128", 544]);
    const file = ggufOf({ tensors: [line("a", [128, 16], 42), line("b", [8], 0, 544)], data: 1024 });
    await expect(decodeGguf(file)).rejects.toThrow(/b from byte .*overlap\).*blocks of 128, as a fork of ggml/);
  });
});

test.each(["IQ2_XXS", "IQ1_M", "Q8_K"])("a tensor of %s is refused by the name of its type", async (type) => {
  const codes: Record<string, number> = { IQ2_XXS: 16, IQ1_M: 29, Q8_K: 15 };
  const file = decodeGguf(ggufOf({ tensors: [line("w", [256], codes[type]!)], data: 512 }));
  await expect(file).rejects.toThrow(`the type ${type} (${codes[type]}) of the tensor w`);
  await expect(file).rejects.toThrow(Object.keys(typeCodes).join(" "));
});
