import { readFileSync } from "node:fs";
import { mkdtemp, open, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect } from "../src/convert/stack.ts";
import type { ByteSource } from "../src/file/bytes.ts";
import { openGguf, openSafetensors } from "../src/file/disk.ts";
import type { Values } from "../src/file/dtype.ts";
import { decodeGguf, type Gguf, type GgufType, readGguf, typeCodes } from "../src/file/gguf.ts";
import type { Value } from "../src/file/metadata.ts";
import { decodeSafetensors, encodeSafetensors, readRows, safetensorsChunks } from "../src/file/safetensors.ts";
import { type GgufTensor, ggufChunks, writeGguf } from "../src/file/writer.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { blocks, isQuant } from "../src/tensor/quant.ts";
import { isQuantised } from "../src/tensor/quantise.ts";
import { ggufOf, hostile, join, key, line, list, text, u32, u64 } from "./corpus/gguf.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(path(tmpdir(), "biform-gguf-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const encoded = async (metadata: ReadonlyMap<string, Value>, tensors: readonly GgufTensor[]) => {
  const pieces: Uint8Array[] = [];
  for await (const piece of ggufChunks("memory.gguf", metadata, tensors)) pieces.push(piece.slice());
  return join(...pieces);
};

const words = fc.string({ unit: "grapheme", maxLength: 8 }).filter((s) => s.isWellFormed());
const whole = (least: number, most: number) => fc.integer({ min: least, max: most });
const singles = {
  u8: whole(0, 255),
  i8: whole(-128, 127),
  u16: whole(0, 65_535),
  i16: whole(-32_768, 32_767),
  u32: whole(0, 2 ** 32 - 1),
  i32: whole(-(2 ** 31), 2 ** 31 - 1),
  u64: fc.maxSafeNat(),
  i64: fc.maxSafeInteger(),
  f32: fc.float({ noNaN: true }),
  f64: fc.double({ noNaN: true }),
  bool: fc.boolean(),
  string: words,
};
const value = fc.oneof(
  ...Object.entries(singles).flatMap(([type, one]) => [
    fc.record({ type: fc.constant(type), value: one as fc.Arbitrary<unknown> }),
    fc.record({ type: fc.constant(`${type}[]`), value: fc.array(one as fc.Arbitrary<unknown>, { maxLength: 4 }) }),
  ]),
) as fc.Arbitrary<Value>;
const metadata = fc
  .uniqueArray(fc.tuple(words, value), { maxLength: 6, selector: ([name]) => name })
  .map((pairs) => new Map(pairs.filter(([name]) => name !== "general.alignment")));

/** A tensor of random bytes (whatever numbers these are), raw. */
const tensor = fc
  .record({
    name: words,
    dtype: fc.constantFrom(...(Object.keys(typeCodes) as GgufType[])),
    outer: fc.array(fc.nat(3), { maxLength: 3 }),
    row: fc.nat(3),
    seed: fc.nat(255),
  })
  .map(({ name, dtype, outer, row, seed }) => {
    const block = isQuant(dtype) ? blocks[dtype].elements : 1;
    const shape = [...outer, row * block];
    const size = shape.reduce((a, b) => a * b, 1);
    const length = isQuant(dtype) ? (size / block) * blocks[dtype].bytes : (size * Number(/\d+$/.exec(dtype)![0])) / 8;
    return { name, dtype, shape, data: { bytes: Uint8Array.from({ length }, (_, i) => (i * 37 + seed) % 251) } };
  });
const tensors = fc.uniqueArray(tensor, { maxLength: 5, selector: (t) => t.name });

async function same(read: Gguf, meta: ReadonlyMap<string, Value>, written: readonly ReturnType<typeof Object>[]) {
  expect([...read.metadata].map(([name, { type }]) => [name, type])).toEqual(
    [...meta].map(([name, { type }]) => [name, type]),
  );
  for (const [name, { type, value }] of meta) {
    const found = read.metadata.get(name)!.value;
    expect(type.endsWith("[]") ? Array.from(found as ArrayLike<unknown>) : found).toEqual(value);
  }
  expect(read.tensors.names).toEqual(written.map((t) => t.name));
  for (const { name, dtype, shape, data } of written) {
    const entry = read.tensors.entry(name);
    expect([entry.dtype, entry.shape]).toEqual([dtype, shape]);
    expect(entry.end - entry.begin).toBe(data.bytes.length);
    const bytes = new Uint8Array(new SharedArrayBuffer(data.bytes.length));
    await read.tensors.readBytes(name, 0, bytes);
    expect([...bytes]).toEqual([...data.bytes]);
  }
}

describe("writing and reading", () => {
  test("what is written is read back exactly, from memory and from disk; the same again gives the same bytes", async () => {
    const file = path(dir, "identity.gguf");
    await fc.assert(
      fc.asyncProperty(metadata, tensors, async (meta, written) => {
        await writeGguf(
          file,
          meta,
          written.map((t) => ({ ...t, data: async () => t.data })),
        );
        const bytes = await encoded(meta, written);
        expect(Buffer.compare(readFileSync(file), bytes)).toBe(0);
        await same(await decodeGguf(bytes), meta, written);
        const read = await openGguf(file);
        await same(read, meta, written);
        // Reading and writing what was read is the identity too.
        const again = await Promise.all(
          read.tensors.names.map(async (name) => {
            const { dtype, shape, begin, end } = read.tensors.entry(name);
            const raw = new Uint8Array(end - begin);
            await read.tensors.readBytes(name, 0, raw);
            return { name, dtype: dtype as GgufType, shape, data: { bytes: raw } };
          }),
        );
        expect(Buffer.compare(await encoded(read.metadata, again), bytes)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test("numbers are stored in the type that is asked for, and come back as float32", async () => {
    const data = Float32Array.from({ length: 256 }, (_, i) => (i - 128) / 64);
    const types = (Object.keys(typeCodes) as GgufType[]).filter((type) =>
      isQuant(type) ? isQuantised(type) : !type.startsWith("I"),
    );
    const written = types.map((dtype) => ({ name: dtype, shape: [256], dtype, data }));
    const read = await decodeGguf(await encoded(new Map(), written));
    for (const dtype of types) {
      const values = await read.tensors.read(dtype);
      const levels = /^Q(\d)/.exec(dtype);
      // A level's distance, of two bits fewer where scales are rounded as well.
      const error = levels ? 4 / 2 ** Number(levels[1]) + 0.05 : 0;
      for (const [i, x] of data.entries()) expect(Math.abs(values[i]! - x)).toBeLessThanOrEqual(error);
    }
    expect((await read.tensors.read("F64")).constructor).toBe(Float64Array);
    for (const type of ["F32", "F16", "BF16", "Q6_K"])
      expect((await read.tensors.read(type)).constructor).toBe(Float32Array);
  });

  test("integers come back in their own type", async () => {
    const written = [
      { name: "a", shape: [2], dtype: "I8", data: Int8Array.of(-128, 127) },
      { name: "b", shape: [1, 2], dtype: "I16", data: Int16Array.of(-2, 3) },
      { name: "c", shape: [2], dtype: "I32", data: Int32Array.of(-(2 ** 31), 5) },
      { name: "d", shape: [1], dtype: "I64", data: Float64Array.of(-(2 ** 52)) },
    ] as const;
    const read = await decodeGguf(await encoded(new Map(), written));
    for (const { name, data } of written) expect<Values>(await read.tensors.read(name)).toEqual(data);
  });

  test("the layout is that of the format, byte by byte", async () => {
    const bytes = await encoded(
      new Map<string, Value>([
        ["general.alignment", { type: "u32", value: 64 }],
        ["k", { type: "string[]", value: ["a", "\u00e9"] }],
        ["b", { type: "bool", value: true }],
      ]),
      [
        { name: "w", shape: [2, 3], dtype: "F32", data: Float32Array.of(1, 2, 3, 4, 5, 6) },
        { name: "v", shape: [1], dtype: "F16", data: Float32Array.of(1) },
      ],
    );
    const header = ggufOf({
      keys: [
        key("general.alignment", 4, u32(64)),
        list("k", 8, 2, join(text("a"), text("\u00e9"))),
        key("b", 7, Uint8Array.of(1)),
      ],
      tensors: [line("w", [3, 2]), line("v", [1], 1, 64)],
    });
    const pad = new Uint8Array(64 - (header.length % 64));
    const data = new Uint8Array(new Float32Array([1, 2, 3, 4, 5, 6]).buffer);
    expect([...bytes]).toEqual([
      ...join(header, pad, data, new Uint8Array(64 - 24), Uint8Array.of(0, 0x3c), new Uint8Array(62)),
    ]);
  });

  test("version 2 is read, holes between tensors and bytes after the last are allowed", async () => {
    const bytes = ggufOf({ version: 2, tensors: [line("b", [8], 0, 96), line("a", [8])], data: 200 });
    const read = await decodeGguf(bytes);
    expect([read.version, read.tensors.names]).toEqual([2, ["b", "a"]]);
  });

  test("tensors without elements may lie anywhere", async () => {
    const read = await decodeGguf(ggufOf({ tensors: [line("a", [8]), line("none", [0], 0, 0)], data: 32 }));
    expect((await read.tensors.read("none")).length).toBe(0);
  });

  test("raw bytes are read from the middle, and no others", async () => {
    const file = path(dir, "middle");
    const data = Uint8Array.from({ length: 64 }, (_, i) => i);
    await writeGguf(file, new Map(), [
      { name: "first", shape: [7], dtype: "F32", data: new Float32Array(7) },
      { name: "x", shape: [16], dtype: "F32", data: { bytes: data } },
    ]);
    const { tensors } = await openGguf(file);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const all = new Uint8Array(memory.buffer);
    await tensors.readBytes("x", 10, all.subarray(100, 120));
    expect([...all.subarray(99, 121)]).toEqual([0, ...data.subarray(10, 30), 0]);
    for (const [offset, length] of [
      [60, 5],
      [-1, 2],
      [0.5, 1],
      [65, 0],
      [2 ** 53, 1],
    ] as const)
      await expect(tensors.readBytes("x", offset, new Uint8Array(length))).rejects.toThrow(FormatError);
    await expect(tensors.readBytes("none", 0, new Uint8Array(1))).rejects.toThrow(/no tensor none/);
    const safe = await decodeSafetensors(encodeSafetensors([{ name: "x", shape: [64], data }]));
    await safe.readBytes("x", 10, all.subarray(200, 220));
    expect([...all.subarray(200, 220)]).toEqual([...data.subarray(10, 30)]);
    await expect(safe.readBytes("x", 60, new Uint8Array(5))).rejects.toThrow(
      /bytes 60 to 65, expected them within its 64/,
    );
  });

  test("a header longer than what is fetched at first is read piece by piece", async () => {
    const tokens = Array.from({ length: 150_000 }, (_, i) => `${"\u0120\ud83d\ude00".repeat(i % 4)}${i}`);
    const scores = Float32Array.from(tokens, (_, i) => -i);
    const bytes = await encoded(
      new Map<string, Value>([
        ["tokens", { type: "string[]", value: tokens }],
        ["scores", { type: "f32[]", value: scores }],
        ["name", { type: "string", value: "x" }],
      ]),
      [{ name: "w", shape: [2], dtype: "F32", data: Float32Array.of(1, 2) }],
    );
    const lengths: number[] = [];
    const source: ByteSource = {
      name: "counted",
      size: bytes.length,
      async read(offset, into) {
        lengths.push(into.length);
        into.set(bytes.subarray(offset, offset + into.length));
      },
    };
    const read = await readGguf(source);
    expect(lengths.length).toBeLessThan(5);
    lengths.length = 0;
    expect(read.metadata.get("tokens")!.value).toEqual(tokens);
    expect(read.metadata.get("scores")!.value).toEqual(scores);
    expect(read.metadata.get("name")!.value).toBe("x");
    expect(lengths).toEqual([]);
    expect([...(await read.tensors.read("w"))]).toEqual([1, 2]);
    expect(lengths).toEqual([8]);
  });

  test("files beyond 2 and 4 GiB are written to and read from (sparse here)", async () => {
    const file = path(dir, "large.gguf");
    const far = 5 * 2 ** 30;
    const header = ggufOf({ tensors: [line("near", [8]), line("far", [4], 0, far)], data: 32 });
    const handle = await open(file, "w");
    await handle.write(header);
    await handle.write(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), 0, 16, header.length - 32 + far);
    await handle.close();
    const { tensors } = await openGguf(file);
    expect(tensors.entry("far").begin).toBe(header.length - 32 + far);
    expect([...(await tensors.read("far"))]).toEqual([1, 2, 3, 4]);
    const bytes = new Uint8Array(4);
    await tensors.readBytes("far", 4, bytes);
    expect([...bytes]).toEqual([0, 0, 0, 0x40]);
  });
});

describe("a model in parts", () => {
  const part = (no: number, count: number): Map<string, Value> =>
    new Map<string, Value>([
      ["split.no", { type: "u16", value: no }],
      ["split.count", { type: "u16", value: count }],
    ]);
  const x = (name: string, value: number) =>
    ({ name, shape: [1], dtype: "F32", data: Float32Array.of(value) }) as const;
  const file = (no: number, of: number, name = "m") =>
    path(dir, `${name}-${String(no).padStart(5, "0")}-of-${String(of).padStart(5, "0")}.gguf`);

  test("is opened by its first part", async () => {
    for (let no = 1; no <= 3; no++) await writeGguf(file(no, 3), part(no - 1, 3), [x(`a${no}`, no), x(`b${no}`, -no)]);
    const { tensors, metadata } = await openGguf(file(1, 3));
    expect(tensors.names).toEqual(["a1", "b1", "a2", "b2", "a3", "b3"]);
    expect([...metadata.keys()]).toEqual([]);
    expect([...(await tensors.read("b3"))]).toEqual([-3]);
    const bytes = new Uint8Array(4);
    await tensors.readBytes("a2", 0, bytes);
    expect(new Float32Array(bytes.buffer)[0]).toBe(2);
    expect(() => tensors.entry("c")).toThrow(/no tensor c, expected it beside a1/);
    await expect(openGguf(file(2, 3))).rejects.toThrow(
      /got part 2 of 3, expected the first, named \.\.\.-00001-of-00003/,
    );
  });

  test("is refused where parts are missing, of another whole, or overlap", async () => {
    await writeGguf(file(1, 2, "missing"), part(0, 2), [x("a", 1)]);
    await expect(openGguf(file(1, 2, "missing"))).rejects.toThrow(/missing-00002-of-00002\.gguf: got no such file/);
    await writeGguf(file(1, 2, "other"), part(0, 2), [x("a", 1)]);
    await writeGguf(file(2, 2, "other"), part(1, 3), [x("b", 1)]);
    await expect(openGguf(file(1, 2, "other"))).rejects.toThrow(/got part 2 of 3, expected 2 of 2/);
    await writeGguf(file(1, 2, "twice"), part(0, 2), [x("a", 1)]);
    await writeGguf(file(2, 2, "twice"), part(1, 2), [x("a", 1)]);
    await expect(openGguf(file(1, 2, "twice"))).rejects.toThrow(/the tensor a, expected it only in .*twice-00001/);
    await writeGguf(file(1, 9, "many"), part(0, 65_535), [x("a", 1)]);
    await expect(openGguf(file(1, 9, "many"))).rejects.toThrow(/split\.count: got u16 65535, expected at most 1024/);
    const odd = new Map<string, Value>([["split.count", { type: "f32", value: 2.5 }]]);
    await writeGguf(path(dir, "odd.gguf"), odd, [x("a", 1)]);
    await expect(openGguf(path(dir, "odd.gguf"))).rejects.toThrow(
      /split\.count: got f32 2\.5, expected a whole number/,
    );
  });
});

describe("numbers that come in pieces of rows", () => {
  const values = Float32Array.from({ length: 5 * 64 }, (_, i) => Math.fround(Math.sin(i)));
  /** Rows of 64: so many at a time. */
  const pieces = (...counts: number[]) =>
    async function* () {
      let at = 0;
      for (const count of counts) {
        yield values.subarray(at, at + 64 * count);
        at += 64 * count;
      }
    };

  test.each(["F32", "BF16", "Q8_0", "Q4_1"] as const)("are the same file, and are read so: %s", async (dtype) => {
    const shape = [5, 64];
    const whole = await encoded(new Map(), [{ name: "x", shape, dtype, data: values }]);
    expect(await encoded(new Map(), [{ name: "x", shape, dtype, data: pieces(2, 2, 1) }])).toEqual(whole);
    const { tensors: file } = await decodeGguf(whole);
    const all = await file.read("x");
    expect(await readRows(file, "x", 0, 5)).toEqual(all);
    const parts = [
      [0, 2],
      [2, 3],
      [4, 1],
    ] as const;
    for (const [first, count] of parts)
      expect(await readRows(file, "x", first, count)).toEqual(all.slice(64 * first, 64 * (first + count)));
    await expect(readRows(file, "x", 4, 2)).rejects.toThrow(/got a request for bytes/);
  });

  test("too few and too many are ShapeErrors, in both kinds of file", async () => {
    const tensor = { name: "x", shape: [4, 64], dtype: "F32" } as const;
    for (const [data, says] of [
      [pieces(2, 1), /got 192 numbers, expected 256/],
      [pieces(2, 2, 1), /got 320 numbers, expected 256/],
    ] as const) {
      await expect(encoded(new Map(), [{ ...tensor, data }])).rejects.toThrow(says);
      await expect(collect(safetensorsChunks("x", [{ ...tensor, data }]))).rejects.toThrow(says);
    }
    const whole = { ...tensor, shape: [5, 64] };
    const [, bytes] = await collect(safetensorsChunks("x", [{ ...whole, data: values }]));
    const [, ...parts] = await collect(safetensorsChunks("x", [{ ...whole, data: pieces(1, 3, 1) }]));
    expect(join(...parts)).toEqual(bytes);
  });
});

describe("what cannot be written", () => {
  const x = { name: "x", shape: [2], dtype: "F32", data: Float32Array.of(1, 2) } as const;
  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["a shape at odds with its numbers", () => encoded(new Map(), [{ ...x, shape: [3] }]), /got 2 numbers, expected 3/],
    [
      "bytes at odds with their shape",
      () => encoded(new Map(), [{ ...x, data: { bytes: new Uint8Array(7) } }]),
      /got 7 bytes, expected 8 for F32 \[2\]/,
    ],
    ["part of a block", () => encoded(new Map(), [{ ...x, dtype: "Q8_0" }]), /the last a multiple of 32 for Q8_0/],
    ["negative sizes", () => encoded(new Map(), [{ ...x, shape: [-1, -2] }]), /expected at most 4 whole sizes/],
    ["five axes", () => encoded(new Map(), [{ ...x, shape: [1, 1, 1, 1, 2] }]), /expected at most 4/],
  ])("%s is a ShapeError", async (_, write, says) => {
    await expect(write()).rejects.toThrow(ShapeError);
    await expect(write()).rejects.toThrow(says);
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["a name twice", () => encoded(new Map(), [x, x]), /x: got the name twice/],
    ["half a surrogate pair", () => encoded(new Map(), [{ ...x, name: "\ud800" }]), /expected well-formed text/],
    ["a u8 of 256", () => encoded(new Map([["k", { type: "u8", value: 256 }]]), []), /k: element 0: got 256/],
    ["an i64 of 2^53", () => encoded(new Map([["k", { type: "i64[]", value: [0, 2 ** 53] }]]), []), /element 1: got/],
    [
      "an f32 of 1e300",
      () => encoded(new Map([["k", { type: "f32", value: 1e300 }]]), []),
      /k: element 0: got 1e\+300/,
    ],
    [
      "an alignment of 3",
      () => encoded(new Map([["general.alignment", { type: "u32", value: 3 }]]), []),
      /general.alignment: got u32 3/,
    ],
    [
      "a key of 65,536 bytes",
      () => encoded(new Map([["k".repeat(65_536), { type: "u8", value: 1 }]]), []),
      /the name k+\.\.\., expected at most 65535 bytes/,
    ],
  ])("%s is a FormatError", async (_, write, says) => {
    await expect(write()).rejects.toThrow(FormatError);
    await expect(write()).rejects.toThrow(says);
  });
});

describe("hostile files", () => {
  test.each(hostile)(
    "$name is a FormatError that names the file, the byte and what is wrong",
    async ({ bytes, says }) => {
      const error = await decodeGguf(bytes, "hostile.gguf").catch((e: unknown) => e);
      expect(error).toBeInstanceOf(FormatError);
      expect((error as Error).message).toMatch(/^hostile\.gguf: byte \d+: .*got .*expected /);
      expect((error as Error).message).toMatch(says);
      expect((error as Error).message.length).toBeLessThan(500);
    },
  );

  test("a file cut off anywhere is a FormatError", async () => {
    const bytes = ggufOf({
      keys: [key("a", 8, text("text")), list("b", 8, 2, join(text("x"), text("y"))), list("c", 6, 3, u32(1, 2, 3))],
      tensors: [line("w", [8]), line("q", [32], 8, 32)],
      data: 66,
    });
    await decodeGguf(bytes);
    for (let length = 0; length < bytes.length; length++)
      await expect(decodeGguf(bytes.slice(0, length)), `cut to ${length}`).rejects.toThrow(FormatError);
  });

  test("values that nobody can use are refused when somebody asks for them", async () => {
    const read = await decodeGguf(
      ggufOf({
        keys: [
          key("bool", 7, Uint8Array.of(2)),
          list("bools", 7, 3, Uint8Array.of(0, 1, 255)),
          key("u64", 10, u64(2n ** 63n)),
          list("i64", 11, 2, u64(1, 2n ** 62n)),
          key("text", 8, text(Uint8Array.of(0x61, 0xc3))),
          // Together they would be a letter, alone they are none.
          list("texts", 8, 2, join(text(Uint8Array.of(0xc3)), text(Uint8Array.of(0xa9)))),
          list("ends", 8, 2, join(text("a"), text(Uint8Array.of(0xc3)))),
        ],
      }),
      "values.gguf",
    );
    expect(read.metadata.size).toBe(7);
    for (const found of read.metadata.values()) {
      expect(() => found.value).toThrow(FormatError);
      expect(() => found.value).toThrow(/^values\.gguf: byte \d+: .*got .*expected /);
    }
  });

  test("a lying length allocates nothing and reads no more than the first piece", async () => {
    // A disk of a tebibyte that lies about everything: each number in it is 2^39.
    const lies = join(new TextEncoder().encode("GGUF"), u32(3), u64(0, 1), text("k"), u32(8), u64(2 ** 39));
    let read = 0;
    const source: ByteSource = {
      name: "lying",
      size: 2 ** 40,
      async read(offset, into) {
        read += into.length;
        into.set(lies.subarray(Math.min(offset, lies.length), offset + into.length));
      },
    };
    await expect(readGguf(source)).rejects.toThrow(
      /lying: byte \d+: got a header that goes on, expected its end before/,
    );
    expect(read).toBe(2 ** 20);
  });

  test("a file that changed since is refused rather than read by the old header", async () => {
    const file = path(dir, "cut.gguf");
    await writeGguf(file, new Map(), [{ name: "x", shape: [1000], dtype: "F32", data: new Float32Array(1000) }]);
    const { tensors } = await openGguf(file);
    await truncate(file, 2000);
    await expect(tensors.readBytes("x", 0, new Uint8Array(4000))).rejects.toThrow(/changed while it was being read/);
    await expect(openGguf(file)).rejects.toThrow(/expected an end within the 2000 bytes/);
    await expect(openGguf(path(dir, "none"))).rejects.toThrow(/none: got no such file/);
    await expect(openGguf(dir)).rejects.toThrow(/got a folder/);
    await expect(openSafetensors(file)).rejects.toThrow(FormatError);
  });
});
