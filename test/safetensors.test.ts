import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ByteSource } from "../src/file/bytes.ts";
import { openSafetensors, writeSafetensors } from "../src/file/disk.ts";
import { type Dtype, storedBytes, type Values } from "../src/file/dtype.ts";
import { keepGroup } from "../src/file/group.ts";
import { parseHeader } from "../src/file/header.ts";
import { decodeSafetensors, encodeSafetensors, readSafetensors, type TensorInMemory } from "../src/file/safetensors.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { fileOf, hostile } from "./corpus/hostile.ts";

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-safetensors-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A random tensor whose numbers its dtype holds exactly. */
const tensor: fc.Arbitrary<TensorInMemory> = fc
  .record({
    name: fc.string({ unit: "grapheme", maxLength: 12 }).filter((s) => s !== "__metadata__" && s.isWellFormed()),
    shape: fc.array(fc.nat(5), { maxLength: 4 }),
    dtype: fc.constantFrom<Dtype>(
      "F64",
      "F32",
      "F16",
      "BF16",
      "I64",
      "I32",
      "I16",
      "I8",
      "U64",
      "U32",
      "U16",
      "U8",
      "BOOL",
    ),
    seed: fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1, maxLength: 20 }),
  })
  .map(({ name, shape, dtype, seed }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = exact(
      dtype,
      Array.from({ length: size }, (_, i) => seed[i % seed.length]!),
    );
    return { name, shape, dtype, data };
  });
const tensors = fc.uniqueArray(tensor, { maxLength: 6, selector: (t) => t.name });
const metadata = fc.dictionary(fc.string({ maxLength: 6 }), fc.string({ maxLength: 6 }), { maxKeys: 3 });

function exact(dtype: Dtype, uniform: number[]): Values {
  const span = (least: number, n: number) => uniform.map((u) => least + Math.floor(u * n));
  switch (dtype) {
    case "F64":
      return Float64Array.from(uniform, (u) => (u - 0.5) * 1e200);
    case "F32":
      return Float32Array.from(uniform, (u) => (u - 0.5) * 1e20);
    case "F16":
      return new Float32Array(Float16Array.from(uniform, (u) => (u - 0.5) * 100));
    case "BF16":
      return new Float32Array(Uint32Array.from(span(0, 0x7f80), (x) => x << 16).buffer);
    case "I64":
      return Float64Array.from(span(-(2 ** 52), 2 ** 53 - 1));
    case "U64":
      return Float64Array.from(span(0, 2 ** 53 - 1));
    case "I32":
      return Int32Array.from(span(-(2 ** 31), 2 ** 32));
    case "I16":
      return Int16Array.from(span(-(2 ** 15), 2 ** 16));
    case "I8":
      return Int8Array.from(span(-128, 256));
    case "U32":
      return Uint32Array.from(span(0, 2 ** 32));
    case "U16":
      return Uint16Array.from(span(0, 2 ** 16));
    case "BOOL":
      return Uint8Array.from(span(0, 2));
    default:
      return Uint8Array.from(span(0, 256));
  }
}

describe("writing and reading", () => {
  test("what is written is read back exactly, from memory and from disk", async () => {
    const path = join(dir, "identity.safetensors");
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, meta) => {
        const bytes = encodeSafetensors(written, meta);
        await writeSafetensors(
          path,
          written.map((t) => ({ ...t, data: async () => t.data })),
          meta,
        );
        expect(readFileSync(path)).toEqual(Buffer.from(bytes));
        for (const reader of [await decodeSafetensors(bytes), await openSafetensors(path)]) {
          expect(new Map(Object.entries(reader.metadata))).toEqual(new Map(Object.entries(meta)));
          expect(new Set(reader.names)).toEqual(new Set(written.map((t) => t.name)));
          for (const t of written) {
            const entry = reader.entry(t.name);
            expect([entry.dtype, entry.shape]).toEqual([t.dtype, t.shape]);
            expect(entry.begin % storedBytes(entry.dtype, 1)).toBe(0);
            expect(await reader.read(t.name)).toEqual(t.data);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test("the same tensors in any order give the same bytes", () => {
    fc.assert(
      fc.property(tensors, fc.infiniteStream(fc.double({ noNaN: true })), (written, keys) => {
        const keyed = written.map((t) => ({ t, key: keys.next().value! }));
        const shuffled = keyed.sort((a, b) => a.key - b.key).map(({ t }) => t);
        expect(encodeSafetensors(shuffled)).toEqual(encodeSafetensors(written));
      }),
    );
  });

  test("names that JavaScript objects treat specially stay plain names", async () => {
    const names = ["__proto__", "constructor", "10", "9", "", "toString"];
    const written = names.map((name, i) => ({ name, shape: [1], data: Float32Array.of(i) }));
    const reader = await decodeSafetensors(encodeSafetensors(written, { __proto__x: "1", toString: "2" }));
    for (const [i, name] of names.entries()) expect([...(await reader.read(name))]).toEqual([i]);
    expect(reader.has("valueOf")).toBe(false);
    expect(reader.metadata.toString).toBe("2");
  });

  test("bfloat16 rounds to nearest, ties to even, and keeps infinities and NaN", async () => {
    const bits = (...x: number[]) => new Float32Array(Uint32Array.from(x).buffer);
    const data = bits(0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f800000, 0xff800000, 0x7f800001, 0x80000000);
    const reader = await decodeSafetensors(encodeSafetensors([{ name: "x", shape: [8], dtype: "BF16", data }]));
    const read = new Uint32Array((await reader.read("x")).buffer);
    expect([...read].map((x) => x >>> 16)).toEqual([0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80, 0x7fc0, 0x8000]);
  });

  test("8-bit floats decode to the values of their definition", async () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0x08, 0x38, 0x7e, 0xfe, 0x7f);
    const header = (dtype: string) => `{"x":{"dtype":"${dtype}","shape":[7],"data_offsets":[0,7]}}`;
    const read = async (dtype: string) => {
      const file = fileOf(header(dtype), 7);
      file.set(bytes, file.length - 7);
      return [...(await (await decodeSafetensors(file)).read("x"))];
    };
    expect(await read("F8_E4M3")).toEqual([0, 2 ** -9, 2 ** -6, 1, 448, -448, Number.NaN]);
    expect(await read("F8_E5M2")).toEqual([0, 2 ** -16, 2 ** -13, 0.5, Number.NaN, Number.NaN, Number.NaN]);
  });

  test("a tensor that is not aligned, which the format allows, is read", async () => {
    const header =
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}';
    const file = fileOf(header, 5);
    file.set(new Uint8Array(Float32Array.of(1.5).buffer), file.length - 4);
    expect([...(await (await decodeSafetensors(file)).read("b"))]).toEqual([1.5]);
  });

  test("reading one tensor fetches its bytes alone", async () => {
    const bytes = encodeSafetensors([
      { name: "big", shape: [10_000], data: new Float64Array(10_000) },
      { name: "small", shape: [2], data: Float32Array.of(1, 2) },
    ]);
    const fetched: number[] = [];
    const source: ByteSource = {
      name: "counted",
      size: bytes.length,
      async read(offset, into) {
        fetched.push(into.length);
        into.set(bytes.subarray(offset, offset + into.length));
      },
    };
    const reader = await readSafetensors(source);
    fetched.length = 0;
    expect([...(await reader.read("small"))]).toEqual([1, 2]);
    expect(fetched).toEqual([8]);
  });

  test("numbers that a dtype cannot hold are refused, not bent", () => {
    const write = (dtype: Dtype, x: number) => () =>
      encodeSafetensors([{ name: "x", shape: [1], dtype, data: Float64Array.of(x) }]);
    expect(write("F16", 70_000)).toThrow(FormatError);
    expect(write("F32", 1e300)).toThrow(FormatError);
    expect(write("BF16", 3.4e38)).toThrow(FormatError);
    expect(write("I32", 0.5)).toThrow(FormatError);
    expect(write("I32", 2 ** 31)).toThrow(FormatError);
    expect(write("I64", 2 ** 53)).toThrow(FormatError);
    expect(write("BOOL", 2)).toThrow(FormatError);
    expect(write("F16", Number.POSITIVE_INFINITY)).not.toThrow();
  });

  test("a shape at odds with its numbers, a name twice and a reserved name are refused", () => {
    const x = { name: "x", shape: [2], data: Float32Array.of(1, 2) };
    expect(() => encodeSafetensors([{ ...x, shape: [3] }])).toThrow(ShapeError);
    expect(() => encodeSafetensors([{ ...x, shape: [-1, -2] }])).toThrow(ShapeError);
    expect(() => encodeSafetensors([x, x])).toThrow(/twice/);
    expect(() => encodeSafetensors([{ ...x, name: "__metadata__" }])).toThrow(FormatError);
    expect(() => encodeSafetensors([{ ...x, name: "\ud800" }])).toThrow(FormatError);
  });

  test("a 64-bit integer beyond 2^53 and a BOOL of 2 are errors when read", async () => {
    const file = fileOf(
      '{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"b":{"dtype":"BOOL","shape":[1],"data_offsets":[8,9]}}',
      9,
    );
    file.fill(2, file.length - 9);
    const reader = await decodeSafetensors(file);
    await expect(reader.read("a")).rejects.toThrow(/a: element 0: got 144680345676153346, expected at most 2\^53/);
    await expect(reader.read("b")).rejects.toThrow(/b: element 0: got 2/);
  });
});

describe("hostile files", () => {
  test.each(hostile)("$name is a FormatError that names the file and what is wrong", async ({ bytes, says }) => {
    const error = await decodeSafetensors(bytes, "hostile.safetensors").catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(/^hostile\.safetensors: byte \d+: got /);
    expect((error as Error).message).toMatch(says);
    expect((error as Error).message.length).toBeLessThan(500);
  });

  test("a header length of 2^63 allocates and reads no more than its 8 bytes", async () => {
    let read = 0;
    const source: ByteSource = {
      name: "lying",
      size: 2 ** 40,
      async read(_offset, into) {
        read += into.length;
        new DataView(into.buffer).setBigUint64(0, 2n ** 63n, true);
      },
    };
    await expect(readSafetensors(source)).rejects.toThrow(/expected at most 100000000/);
    expect(read).toBe(8);
  });

  test("missing files, folders, pipes and truncated files are FormatErrors", async () => {
    await expect(openSafetensors(join(dir, "none"))).rejects.toThrow(/none: got no such file/);
    await expect(openSafetensors(dir)).rejects.toThrow(/got a folder/);
    await expect(openSafetensors("/dev/null")).rejects.toThrow(/got a device or a pipe/);
    const path = join(dir, "cut.safetensors");
    await writeSafetensors(path, [{ name: "x", shape: [1000], data: new Float64Array(1000) }]);
    const reader = await openSafetensors(path);
    await truncate(path, 4000);
    await expect(reader.read("x")).rejects.toThrow(/changed while it was being read/);
    await expect(openSafetensors(path)).rejects.toThrow(/within the \d+ bytes of data/);
  });

  test("a missing tensor's error names some that are there", async () => {
    const reader = await decodeSafetensors(encodeSafetensors([{ name: "there", shape: [], data: Float32Array.of(1) }]));
    expect(() => reader.entry("gone")).toThrow(/no tensor gone, expected it beside there/);
    await expect(reader.read("gone")).rejects.toThrow(FormatError);
  });

  const damage = fc.oneof(
    fc.record({ kind: fc.constant("flip" as const), at: fc.nat(), value: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), value: fc.nat(40) }),
    fc.record({ kind: fc.constant("length" as const), at: fc.nat(), value: fc.nat(0xffff) }),
    fc.record({ kind: fc.constant("digit" as const), at: fc.nat(), value: fc.nat(9) }),
    fc.record({ kind: fc.constant("copy" as const), at: fc.nat(), value: fc.nat(60) }),
  );

  test("a damaged file either gives entries that tile it or a FormatError, and never claims more bytes than it has", async () => {
    let accepted = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(
        tensors,
        metadata,
        fc.array(damage, { minLength: 1, maxLength: 4 }),
        async (written, meta, steps) => {
          let bytes = encodeSafetensors(written, meta);
          for (const { kind, at, value } of steps) bytes = damaged(bytes, kind, at, value);
          try {
            const { entries, dataStart } = parseHeader(bytes, bytes.length);
            accepted++;
            let total = dataStart;
            for (const { dtype, shape, elements, begin, end } of entries.values()) {
              expect(elements).toBe(shape.reduce((a, b) => a * b, 1));
              expect(end - begin).toBe(storedBytes(dtype, elements));
              expect(begin >= dataStart && end <= bytes.length).toBe(true);
              total += end - begin;
            }
            expect(total).toBe(bytes.length);
          } catch (error) {
            if (!(error instanceof FormatError)) throw error;
            refused++;
            return;
          }
          const reader = await decodeSafetensors(bytes);
          for (const name of reader.names) {
            const values = await reader.read(name).catch((error) => error);
            if (!(values instanceof FormatError)) expect(values.length).toBe(reader.entry(name).elements);
          }
        },
      ),
      { numRuns: 3000 },
    );
    // Both ways must be taken, or the fuzzing has gone blind.
    expect(Math.min(accepted, refused)).toBeGreaterThan(100);
  });

  test("any bytes at all, under an honest header length, give entries or a FormatError", () => {
    const pieces = fc.constantFrom(
      ...'{ } [ ] , : " \\ 0 1 -1 4 1e9 null true "a" "dtype" "F32" "U8" "shape" "data_offsets" [0,0] [0] "__metadata__" \\u0000 \u00e9'.split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 40 }), fc.nat(8), (text, data) => {
        const bytes = fileOf(`{${text.join("")}`, data);
        try {
          parseHeader(bytes, bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

function damaged(bytes: Uint8Array<ArrayBuffer>, kind: string, at: number, value: number): Uint8Array<ArrayBuffer> {
  if (bytes.length < 16) return bytes;
  const result = bytes.slice();
  const header = Math.min(bytes.length, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true) & 0xffffn));
  switch (kind) {
    case "flip":
      result[at % bytes.length]! ^= value;
      return result;
    case "cut":
      return result.slice(0, Math.max(0, bytes.length - 1 - value));
    case "length":
      new DataView(result.buffer).setBigUint64(0, BigInt(value) << BigInt(at % 48), true);
      return result;
    case "digit": {
      // Lies about a size or an offset, in a header that stays valid JSON.
      const digits = Array.from({ length: header }, (_, i) => i).filter(
        (i) => i >= 8 && result[i]! >= 0x30 && result[i]! <= 0x39,
      );
      if (digits.length) result[digits[at % digits.length]!] = 0x30 + value;
      return result;
    }
    default: {
      const from = at % bytes.length;
      result.copyWithin((at * 7) % bytes.length, from, from + value);
      return result;
    }
  }
}

const golden = new URL("../../shared/golden/", import.meta.url).pathname;
const goldenFiles = existsSync(golden)
  ? readdirSync(golden, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".safetensors"))
  : [];

// The golden vectors lie beside the repository, not in it.
describe.skipIf(goldenFiles.length === 0)("the golden files (skipped where ../shared/golden is absent)", () => {
  test("every tensor of every file equals a plain reading of its bytes, and survives being written again", async () => {
    for (const name of goldenFiles) {
      const path = join(golden, name);
      const raw = readFileSync(path);
      const reader = await openSafetensors(path);
      const headerLength = Number(raw.readBigUInt64LE(0));
      const header = JSON.parse(raw.toString("utf8", 8, 8 + headerLength));
      delete header.__metadata__;
      expect(new Set(reader.names)).toEqual(new Set(Object.keys(header)));
      const again: TensorInMemory[] = [];
      for (const [tensorName, { dtype, shape, data_offsets }] of Object.entries<{
        dtype: string;
        shape: number[];
        data_offsets: number[];
      }>(header)) {
        const values = await reader.read(tensorName);
        const at = 8 + headerLength + data_offsets[0]!;
        const plain = Array.from(values, (_, i) => plainly(raw, dtype, at, i));
        expect([...values]).toEqual(plain);
        again.push({ name: tensorName, shape, dtype: dtype as Dtype, data: values });
      }
      const copy = await decodeSafetensors(encodeSafetensors(again, reader.metadata));
      for (const t of again) expect(await copy.read(t.name)).toEqual(t.data);
    }
    expect(goldenFiles.length).toBeGreaterThan(50);
  });
});

function plainly(raw: Buffer, dtype: string, at: number, i: number): number {
  if (dtype === "F64") return raw.readDoubleLE(at + 8 * i);
  if (dtype === "F32") return raw.readFloatLE(at + 4 * i);
  if (dtype === "I32") return raw.readInt32LE(at + 4 * i);
  if (dtype === "I64") return Number(raw.readBigInt64LE(at + 8 * i));
  if (dtype === "BF16") {
    const x = raw.readUInt16LE(at + 2 * i);
    const [sign, exponent, fraction] = [x >> 15 ? -1 : 1, (x >> 7) & 255, x & 127];
    return sign * (exponent ? (1 + fraction / 128) * 2 ** (exponent - 127) : (fraction / 128) * 2 ** -126);
  }
  if (dtype === "BOOL" || dtype === "U8") return raw.readUInt8(at + i);
  throw new Error(`the golden files have a dtype this test does not know: ${dtype}`);
}

describe("the tensors of one group are kept", () => {
  const names = ["a.0", "a.1", "b.0", "other"] as const;
  async function counted(most?: number) {
    const tensors = names.map((name, i) => ({ name, shape: [2, 3], data: Float32Array.of(i, 1, 2, 3, 4, 5) }));
    const reader = await decodeSafetensors(encodeSafetensors(tensors));
    const read: string[] = [];
    const kept = keepGroup(
      {
        ...reader,
        read: (name) => {
          read.push(name);
          return reader.read(name);
        },
        readBytes: (name, offset, into) => {
          read.push(name);
          return reader.readBytes(name, offset, into);
        },
      },
      (name) => ["a", "b"].indexOf(name[0]!) + 1 || undefined,
      most,
    );
    return { reader, kept, read };
  }

  test("until one of another is asked for, as they are", async () => {
    const { reader, kept, read } = await counted();
    for (const name of [...names, "b.0", "other", "a.0", "a.0"]) {
      expect(await kept.read(name)).toEqual(await reader.read(name));
      const [own, theirs] = [new Uint8Array(5), new Uint8Array(5)];
      await Promise.all([kept.readBytes(name, 3, own), reader.readBytes(name, 3, theirs)]);
      expect(own).toEqual(theirs);
    }
    // What is of no group is asked for whole and by bytes, twice; b.0 is still there the second time.
    expect(read).toEqual(["a.0", "a.1", "b.0", "other", "other", "other", "other", "a.0"]);
  });

  test("as far as they fit", async () => {
    const { kept, read } = await counted(24);
    for (const name of ["a.0", "a.1", "a.0", "a.1", "b.0", "b.0"]) await kept.read(name);
    expect(read).toEqual(["a.0", "a.1", "a.1", "b.0"]);
  });

  test("bytes that a tensor has not are refused", async () => {
    const { kept } = await counted();
    await expect(kept.readBytes("a.0", 20, new Uint8Array(5))).rejects.toThrow(/expected them within its 24/);
    await expect(kept.read("none")).rejects.toThrow(/got no tensor none/);
  });
});

test("a file that grew by a byte after it was fetched is refused", async () => {
  const path = join(dir, "grown.safetensors");
  const bytes = encodeSafetensors([{ name: "x", shape: [1], data: Float32Array.of(1) }]);
  await writeFile(path, Buffer.concat([bytes, Buffer.of(0)]));
  await expect(openSafetensors(path)).rejects.toThrow(/1 bytes that belong to no tensor/);
});
