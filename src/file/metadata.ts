import { FormatError } from "../tensor/error.ts";
import { clip } from "./header.ts";
import { damaged, type Scanner } from "./scanner.ts";

/** What a value of each GGUF type is in JavaScript; 64-bit integers must be safe numbers. */
interface Kinds {
  u8: number;
  i8: number;
  u16: number;
  i16: number;
  u32: number;
  i32: number;
  f32: number;
  bool: boolean;
  string: string;
  u64: number;
  i64: number;
  f64: number;
}

/** The types of single values. */
export type Scalar = keyof Kinds;

/** One typed value: `{ type: "u32", value: 27 }`, `{ type: "string[]", value: ["a", "b"] }`. */
export type Value = {
  [K in Scalar]:
    | { readonly type: K; readonly value: Kinds[K] }
    | { readonly type: `${K}[]`; readonly value: ArrayLike<Kinds[K]> };
}[Scalar];

/**
 * A value as read: it is decoded at the first look at `value` and kept, so that a vocabulary nobody asks for costs nothing.
 * `value` throws FormatError for text that is no UTF-8, a bool that is neither 0 nor 1, and 64-bit integers beyond 2^53.
 */
export type Found = Value & {
  /** Where the value lies in the file, for errors. */
  readonly at: number;
};

/** Typed values under their keys, in the order of the file. */
export type Metadata = ReadonlyMap<string, Value>;

/** Codes of the types in the file. */
export const scalarCodes: Readonly<Record<Scalar, number>> = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  u64: 10,
  i64: 11,
  f64: 12,
};
export const ARRAY = 9;

const scalarOfCode = new Map(Object.entries(scalarCodes).map(([name, code]) => [code, name as Scalar]));

/** Bytes of one value; a string's is its length field, the least it takes. */
export const scalarBytes: Readonly<Record<Scalar, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** Keys in one file: a hundred times what model files have. */
const KEY_LIMIT = 65_536;

/** Reads `count` keys and their values, leaving the values undecoded. Errors: FormatError. */
export async function readMetadata(scan: Scanner, count: number): Promise<Map<string, Found>> {
  const metadata = new Map<string, Found>();
  if (count > KEY_LIMIT) scan.fail(`${count} keys`, `at most ${KEY_LIMIT}`, 16);
  for (let i = 0; i < count; i++) {
    const at = scan.at;
    const key = await scan.name("a key");
    if (metadata.has(key)) scan.fail(`the key ${clip(key)} twice`, "each key once", at);
    metadata.set(key, await readValue(scan, key));
  }
  return metadata;
}

async function readValue(scan: Scanner, key: string): Promise<Found> {
  const subject = `the value of ${clip(key)}`;
  const code = await scan.u32(`the type of ${subject}`);
  if (code !== ARRAY) {
    const type = scalarOf(scan, code, `type of ${subject}`);
    const at = scan.at;
    if (type === "string") await scan.skipStrings(1, subject);
    else await scan.skip(scalarBytes[type], subject);
    return lazy(type, at, () => decoders[type](scan, at, 1, key)[0]);
  }
  const type = scalarOf(scan, await scan.u32(`the element type of ${subject}`), `element type of ${subject}`);
  const count = await scan.count(scalarBytes[type], `elements in ${subject}`);
  const at = scan.at;
  if (type === "string") await scan.skipStrings(count, subject);
  else await scan.skip(count * scalarBytes[type], subject);
  return lazy(`${type}[]`, at, () => decoders[type](scan, at, count, key));
}

function scalarOf(scan: Scanner, code: number, what: string): Scalar {
  const type = scalarOfCode.get(code);
  if (!type)
    scan.fail(
      `${code === ARRAY ? "an array within an array" : `the code ${code}`} as ${what}`,
      `a code from 0 to 12 other than ${ARRAY}`,
      scan.at - 4,
    );
  return type;
}

function lazy(type: Scalar | `${Scalar}[]`, at: number, decode: () => unknown): Found {
  let known: { readonly value: unknown } | undefined;
  return {
    type,
    at,
    get value() {
      known ??= { value: decode() };
      return known.value;
    },
  } as Found;
}

/** `count` values of each type from byte `at` on; all of them are known to be there. */
const decoders: Readonly<
  Record<Scalar, (scan: Scanner, at: number, count: number, key: string) => ArrayLike<number | boolean | string>>
> = {
  u8: (scan, at, n) => new Uint8Array(scan.slice(at, n)),
  i8: (scan, at, n) => new Int8Array(scan.slice(at, n)),
  u16: (scan, at, n) => new Uint16Array(scan.slice(at, 2 * n)),
  i16: (scan, at, n) => new Int16Array(scan.slice(at, 2 * n)),
  u32: (scan, at, n) => new Uint32Array(scan.slice(at, 4 * n)),
  i32: (scan, at, n) => new Int32Array(scan.slice(at, 4 * n)),
  f32: (scan, at, n) => new Float32Array(scan.slice(at, 4 * n)),
  f64: (scan, at, n) => new Float64Array(scan.slice(at, 8 * n)),
  u64: (scan, at, n, key) => safe(scan, new BigUint64Array(scan.slice(at, 8 * n)), at, key),
  i64: (scan, at, n, key) => safe(scan, new BigInt64Array(scan.slice(at, 8 * n)), at, key),
  bool: (scan, at, n, key) =>
    Array.from(new Uint8Array(scan.slice(at, n)), (x, i) => {
      if (x > 1) scan.fail(`${x} in ${clip(key)}`, "0 or 1 for a bool", at + i);
      return x === 1;
    }),
  string: (scan, at, n, key) => scan.strings(at, n, key),
};

function safe(scan: Scanner, values: BigInt64Array | BigUint64Array, at: number, key: string): Float64Array {
  return Float64Array.from(values as Iterable<bigint> & ArrayLike<bigint>, (big: bigint, i: number) => {
    const x = Number(big);
    if (!Number.isSafeInteger(x)) scan.fail(`${big} in ${clip(key)}`, "at most 2^53 - 1 in size", at + 8 * i);
    return x;
  });
}

/** Throws the error for a key whose value is not what its reader can use. */
export function unusable(file: string, key: string, found: Partial<Found> | undefined, expected: string): never {
  const where = found?.at === undefined ? "" : `byte ${found.at}: `;
  throw new FormatError(
    `${file}: ${where}${key}: got ${found ? found.type : "nothing"}, expected ${expected}; ${damaged}`,
  );
}
