import type { Hostile } from "./hostile.ts";

/** Little-endian pieces of a GGUF file, written without the project's writer so that anything can be said. */
export const u32 = (...x: number[]) => new Uint8Array(Uint32Array.from(x).buffer);
export const u64 = (...x: (number | bigint)[]) => new Uint8Array(BigUint64Array.from(x, BigInt).buffer);
export const text = (s: string | Uint8Array, length?: bigint) => {
  const bytes = typeof s === "string" ? new TextEncoder().encode(s) : s;
  return join(u64(length ?? bytes.length), bytes);
};
export const join = (...parts: Uint8Array[]) => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

/** A file from its keys, tensors and data, whatever they say. Data begins at the next multiple of 32. */
export function ggufOf({
  keys = [],
  tensors = [],
  data = 0,
  version = 3,
  keyCount = keys.length,
  tensorCount = tensors.length,
}: {
  keys?: Uint8Array[];
  tensors?: Uint8Array[];
  data?: number;
  version?: number;
  keyCount?: number | bigint;
  tensorCount?: number | bigint;
}): Uint8Array {
  const header = join(new TextEncoder().encode("GGUF"), u32(version), u64(tensorCount, keyCount), ...keys, ...tensors);
  return data ? join(header, new Uint8Array((32 - (header.length % 32)) % 32), new Uint8Array(data)) : header;
}

/** A key with a single value. */
export const key = (name: string, type: number, value: Uint8Array) => join(text(name), u32(type), value);
/** A key with an array. */
export const list = (name: string, type: number, count: number | bigint, values: Uint8Array) =>
  key(name, 9, join(u32(type), u64(count), values));
/** A tensor's line in the header. `sizes` in the order of the file: the contiguous axis first. */
export const line = (
  name: string,
  sizes: readonly (number | bigint)[],
  type = 0,
  offset: number | bigint = 0,
  rank = sizes.length,
) => join(text(name), u32(rank), u64(...sizes), u32(type), u64(offset));

const alignment = (value: number) => key("general.alignment", 4, u32(value));

/**
 * The attacks on GGUF files that became public, and damage of the same kinds. Where a number overflowed somewhere, the same
 * number is here.
 */
export const hostile: readonly Hostile[] = [
  { name: "an empty file", bytes: new Uint8Array(), says: /byte 0: got 0 bytes .*expected 4 for the magic/ },
  { name: "a file of three bytes", bytes: Uint8Array.of(0x47, 0x47, 0x55), says: /got 3 bytes/ },
  { name: "another kind of file", bytes: new Uint8Array(64), says: /expected the letters GGUF/ },
  { name: "version 1", bytes: ggufOf({ version: 1 }), says: /byte 4: got version 1, expected version 2 or 3/ },
  { name: "version 4", bytes: ggufOf({ version: 4 }), says: /got version 4/ },
  { name: "a big-endian file", bytes: ggufOf({ version: 0x03000000 }), says: /a big-endian file/ },
  { name: "a header cut after the version", bytes: ggufOf({}).slice(0, 12), says: /byte 8: got 4 bytes/ },
  {
    name: "500,000,000 keys in 24 bytes",
    bytes: ggufOf({ keyCount: 500_000_000 }),
    says: /byte 16: got 500000000 keys, expected at most 0/,
  },
  { name: "2^63 keys", bytes: ggufOf({ keyCount: 2n ** 63n }), says: /got 9223372036854775808 as the number of keys/ },
  { name: "2^64 - 1 tensors", bytes: ggufOf({ tensorCount: 2n ** 64n - 1n }), says: /got 18446744073709551615/ },
  { name: "500,000,000 tensors", bytes: ggufOf({ tensorCount: 5e8 }), says: /byte 8: got 500000000 tensors/ },
  {
    name: "more keys than there are",
    bytes: ggufOf({ keys: [alignment(32)], keyCount: 2 }),
    says: /got 2 keys, expected at most 1|bytes up to the end/,
  },
  {
    name: "a key of 2^63 bytes in a file of 43",
    bytes: ggufOf({ keys: [text("0123456789a", 2n ** 63n)], keyCount: 1 }),
    says: /byte 24: got 9223372036854775808/,
  },
  {
    name: "a key of 65,536 bytes",
    bytes: ggufOf({ keys: [key("k".repeat(65_536), 0, Uint8Array.of(1))] }),
    says: /65536 bytes of a key, expected at most 65535/,
  },
  {
    name: "a key that is no UTF-8",
    bytes: ggufOf({ keys: [join(text(Uint8Array.of(0xff)), u32(0), Uint8Array.of(1))] }),
    says: /no UTF-8 in a key/,
  },
  {
    name: "a string value of 2^63 bytes in 49 bytes",
    bytes: ggufOf({ keys: [key("k", 8, text("123456789012", 2n ** 63n))] }),
    says: /byte 37: got 9223372036854775808/,
  },
  {
    name: "a string value of 2^64 - 8 bytes, which wraps round",
    bytes: ggufOf({ keys: [key("k", 8, text("x", 2n ** 64n - 8n))] }),
    says: /got 18446744073709551608/,
  },
  {
    name: "a string value one byte beyond the file",
    bytes: ggufOf({ keys: [key("k", 8, text("abc", 4n))] }),
    says: /a string of 4 bytes in the value of k, expected at most 3/,
  },
  {
    name: "a value of type 13",
    bytes: ggufOf({ keys: [key("k", 13, u64(0))] }),
    says: /byte 33: got 13 as the type of the value of k/,
  },
  {
    name: "a value of type 2^32 - 1",
    bytes: ggufOf({ keys: [key("k", 0xffffffff, u64(0))] }),
    says: /got 4294967295 as the type/,
  },
  {
    name: "an array of arrays",
    bytes: ggufOf({ keys: [list("k", 9, 1, join(u32(0), u64(1), Uint8Array.of(1)))] }),
    says: /an array within an array/,
  },
  {
    name: "arrays nested 10,000 deep",
    bytes: ggufOf({
      keys: [list("k", 9, 1, join(...Array.from({ length: 10_000 }, () => join(u32(9), u64(1)))))],
    }),
    says: /an array within an array/,
  },
  {
    name: "an array of elements of type 99",
    bytes: ggufOf({ keys: [list("k", 99, 1, u64(0))] }),
    says: /got 99 as the element type/,
  },
  {
    name: "an array of 2^63 bytes",
    bytes: ggufOf({ keys: [list("k", 0, 2n ** 63n, u64(0))] }),
    says: /got 9223372036854775808/,
  },
  {
    name: "an array of 2^61 doubles, whose bytes overflow to zero",
    bytes: ggufOf({ keys: [list("k", 12, 2n ** 61n, u64(0))] }),
    says: /got 2305843009213693952/,
  },
  {
    name: "an array of 2^32 strings",
    bytes: ggufOf({ keys: [list("k", 8, 2 ** 32, text("a"))] }),
    says: /got 4294967296 elements in the value of k, expected at most 1/,
  },
  {
    name: "an array whose second string lies about its length",
    bytes: ggufOf({ keys: [list("k", 8, 2, join(text("a"), text("b", 2n ** 40n)))] }),
    says: /a string of 1099511627776 bytes/,
  },
  {
    name: "the same key twice",
    bytes: ggufOf({ keys: [alignment(32), alignment(64)] }),
    says: /the key general.alignment twice/,
  },
  {
    name: "names that only JavaScript takes for something else, twice",
    bytes: ggufOf({ keys: [key("__proto__", 0, Uint8Array.of(1)), key("__proto__", 0, Uint8Array.of(1))] }),
    says: /the key __proto__ twice/,
  },
  ...[0, 3, 33, 2 ** 31, 2 ** 32 - 1].map((value) => ({
    name: `an alignment of ${value}`,
    bytes: ggufOf({ keys: [alignment(value)], tensors: [line("a", [1])], data: 4 }),
    says: new RegExp(`general.alignment: got u32 ${value}, expected a u32 that is a power of two`),
  })),
  {
    name: "an alignment that is text",
    bytes: ggufOf({ keys: [key("general.alignment", 8, text("32"))] }),
    says: /general.alignment: got string 32, expected a u32/,
  },
  {
    name: "an alignment that is a u64",
    bytes: ggufOf({ keys: [key("general.alignment", 10, u64(32))] }),
    says: /general.alignment: got u64 32, expected a u32/,
  },
  {
    name: "an alignment that is an array",
    bytes: ggufOf({ keys: [list("general.alignment", 4, 1, u32(32))] }),
    says: /general.alignment: got u32\[\], expected a u32/,
  },
  {
    name: "0xFFFFFFFF axes",
    bytes: ggufOf({ tensors: [line("a", [1], 0, 0, 0xffffffff)], data: 4 }),
    says: /4294967295 axes of the tensor a, expected at most 4/,
  },
  { name: "five axes", bytes: ggufOf({ tensors: [line("a", [1, 1, 1, 1, 1])], data: 4 }), says: /5 axes/ },
  {
    name: "a shape whose product is 2^64, which overflows to zero",
    bytes: ggufOf({ tensors: [line("a", [2 ** 32, 2 ** 32])], data: 4 }),
    says: /as the shape of a, expected fewer than 2\^50/,
  },
  {
    name: "a shape whose bytes are 2^64",
    bytes: ggufOf({ tensors: [line("a", [2 ** 31, 2 ** 31, 1])], data: 4 }),
    says: /as the shape of a/,
  },
  {
    name: "a size of 2^64 - 1, minus one to some",
    bytes: ggufOf({ tensors: [line("a", [2n ** 64n - 1n])], data: 4 }),
    says: /got 18446744073709551615/,
  },
  {
    name: "overflow hidden behind a size of zero",
    bytes: ggufOf({ tensors: [line("a", [2 ** 40, 2 ** 40, 0])], data: 4 }),
    says: /as the shape of a/,
  },
  { name: "type 999", bytes: ggufOf({ tensors: [line("a", [1], 999)], data: 4 }), says: /the type unknown \(999\) of/ },
  {
    name: "type 4, which was removed",
    bytes: ggufOf({ tensors: [line("a", [32], 4)], data: 64 }),
    says: /the type unknown \(4\)/,
  },
  {
    name: "a type that is known but not read",
    bytes: ggufOf({ tensors: [line("a", [256], 16)], data: 66 }),
    says: /the type IQ2_XXS \(16\) of the tensor a, expected one of F32/,
  },
  {
    name: "rows that are no whole number of blocks",
    bytes: ggufOf({ tensors: [line("a", [16, 2], 8)], data: 64 }),
    says: /rows of 16 elements in a, expected a multiple of 32/,
  },
  {
    name: "a tensor beyond the end of the file",
    bytes: ggufOf({ tensors: [line("a", [9])], data: 32 }),
    says: /expected an end within the \d+ bytes of the file/,
  },
  {
    name: "an offset of 2^40",
    bytes: ggufOf({ tensors: [line("a", [1], 0, 2 ** 40)], data: 32 }),
    says: /expected an end within/,
  },
  {
    name: "an offset of 2^64 - 32, which wraps round into the header",
    bytes: ggufOf({ tensors: [line("a", [8], 0, 2n ** 64n - 32n)], data: 32 }),
    says: /got 18446744073709551584/,
  },
  {
    name: "an offset between multiples of the alignment",
    bytes: ggufOf({ tensors: [line("a", [1], 0, 4)], data: 32 }),
    says: /the offset 4 of the tensor a, expected a multiple of the alignment, 32/,
  },
  {
    name: "two tensors in the same place",
    bytes: ggufOf({ tensors: [line("a", [8]), line("b", [8])], data: 32 }),
    says: /expected it after a, .*overlap/,
  },
  {
    name: "a tensor that begins within another",
    bytes: ggufOf({ tensors: [line("b", [8], 0, 32), line("a", [16])], data: 64 }),
    says: /got b from byte \d+ on, expected it after a, .*overlap/,
  },
  {
    name: "the same tensor twice",
    bytes: ggufOf({ tensors: [line("a", [8]), line("a", [8], 0, 32)], data: 64 }),
    says: /the tensor a twice/,
  },
  {
    name: "a header cut within a tensor's line",
    bytes: ggufOf({ tensors: [line("a", [8]).slice(0, 20)], tensorCount: 1 }),
    says: /got \d+ (bytes|tensors)/,
  },
];
