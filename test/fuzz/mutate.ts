import type { Random } from "../../src/tensor/random.ts";

/** A piece of a file: a number with its place, bytes, or padding up to a multiple. Files are lists of these until they are hurt. */
export type Field =
  | { readonly kind: "u32" | "u64"; readonly value: bigint }
  | { readonly kind: "raw"; readonly bytes: Uint8Array }
  | { readonly kind: "pad"; readonly to: number };

export const u32 = (value: number): Field => ({ kind: "u32", value: BigInt(value) });
export const u64 = (value: number): Field => ({ kind: "u64", value: BigInt(value) });
export const raw = (bytes: Uint8Array): Field => ({ kind: "raw", bytes });
export const text = (s: string): Field => raw(new TextEncoder().encode(s));

export function bytesOf(fields: readonly Field[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const field of fields) {
    const bytes = one(field, at);
    parts.push(bytes);
    at += bytes.length;
  }
  const all = new Uint8Array(at);
  at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function one(field: Field, at: number): Uint8Array {
  switch (field.kind) {
    case "u32":
      return new Uint8Array(new BigUint64Array([BigInt.asUintN(32, field.value)]).buffer, 0, 4);
    case "u64":
      return new Uint8Array(new BigUint64Array([BigInt.asUintN(64, field.value)]).buffer);
    case "raw":
      return field.bytes;
    case "pad":
      return new Uint8Array((field.to - (at % field.to)) % field.to);
  }
}

/** Where arithmetic goes wrong. */
const edges = [
  0n,
  1n,
  2n,
  7n,
  8n,
  9n,
  31n,
  32n,
  33n,
  64n,
  255n,
  256n,
  4096n,
  65_535n,
  65_536n,
  500_000_000n,
  ...[31n, 32n, 40n, 48n, 52n, 53n, 61n, 62n, 63n, 64n].flatMap((n) => [2n ** n - 1n, 2n ** n, 2n ** n + 1n]),
  ...[1n, 4n, 8n, 24n, 32n].map((n) => 2n ** 64n - n),
];

/** Another number: an edge, or one near or like the one there is. */
export function strange(random: Random, value: bigint): bigint {
  switch (random.integer(4)) {
    case 0:
      return value + BigInt(random.integer(9) - 4);
    case 1:
      return value << BigInt(random.integer(40));
    default:
      return random.pick(edges);
  }
}

/** The fields with one thing wrong: a number, some bytes, or a part that is missing, doubled or elsewhere. */
export function hurt(random: Random, fields: readonly Field[]): Field[] {
  if (!fields.length) return [];
  const at = random.integer(fields.length);
  const length = 1 + random.integer(6);
  const part = fields.slice(at, at + length);
  switch (random.integer(8)) {
    case 0:
      return fields.toSpliced(at, length);
    case 1:
      return fields.toSpliced(random.integer(fields.length), 0, ...part);
    case 2:
      return fields.toSpliced(at, length).toSpliced(random.integer(Math.max(1, fields.length - length)), 0, ...part);
    default:
      return fields.with(at, changed(random, fields[at]!));
  }
}

function changed(random: Random, field: Field): Field {
  if (field.kind === "pad") return { kind: "pad", to: 1 + random.integer(64) };
  if (field.kind !== "raw") return { ...field, value: strange(random, field.value) };
  const bytes = field.bytes.slice();
  switch (random.integer(4)) {
    case 0:
      return raw(bytes.slice(0, random.integer(bytes.length + 1)));
    case 1:
      return raw(Uint8Array.from([...bytes, ...bytes.slice(0, 40), random.integer(256)]));
    default:
      if (bytes.length) bytes[random.integer(bytes.length)]! ^= 1 << random.integer(8);
      return raw(bytes);
  }
}

/** Damage that knows nothing of structure: bits, an end that is missing, bytes too many. */
export function spoilt(random: Random, bytes: Uint8Array): Uint8Array {
  if (!bytes.length) return bytes;
  switch (random.integer(3)) {
    case 0:
      return bytes.slice(0, random.integer(bytes.length));
    case 1:
      return Uint8Array.from([...bytes, ...new Uint8Array(random.integer(100))]);
    default: {
      const copy = bytes.slice();
      for (let n = 1 + random.integer(3); n > 0; n--) copy[random.integer(copy.length)] = random.integer(256);
      return copy;
    }
  }
}

/** What JSON holds, anew: structuredClone takes several times as long. */
export function copyOf<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf) as T;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copyOf(inner)])) as T;
}
