import { FormatError } from "../tensor/error.ts";
import { type Dtype, decode, dtypeBytes } from "./dtype.ts";
import { clip } from "./header.ts";
import { damaged, type Scanner } from "./scanner.ts";

/** Every type of single values: its code in the file, and how its bytes are read. */
export const scalars = {
  u8: { code: 0, dtype: "U8" },
  i8: { code: 1, dtype: "I8" },
  u16: { code: 2, dtype: "U16" },
  i16: { code: 3, dtype: "I16" },
  u32: { code: 4, dtype: "U32" },
  i32: { code: 5, dtype: "I32" },
  f32: { code: 6, dtype: "F32" },
  bool: { code: 7, dtype: "BOOL" },
  string: { code: 8, dtype: undefined },
  u64: { code: 10, dtype: "U64" },
  i64: { code: 11, dtype: "I64" },
  f64: { code: 12, dtype: "F64" },
} as const satisfies Record<string, { code: number; dtype: Dtype | undefined }>;

/** The code of an array, whose elements have a type of their own. */
export const ARRAY = 9;

/** The type of a single value. */
export type Scalar = keyof typeof scalars;

/** What a value of that type is in JavaScript. 64-bit integers must be exact as numbers. */
type Plain<K extends Scalar> = K extends "string" ? string : K extends "bool" ? boolean : number;

/** One typed value: `{ type: "u32", value: 27 }`, `{ type: "string[]", value: ["a", "b"] }`. */
export type Value = {
  [K in Scalar]:
    | { readonly type: K; readonly value: Plain<K> }
    | { readonly type: `${K}[]`; readonly value: ArrayLike<Plain<K>> };
}[Scalar];

/** Typed values under their keys, in the order of the file. */
export type Metadata = ReadonlyMap<string, Value>;

/**
 * A value as read. It is decoded at the first look at `value` and kept, so that a vocabulary nobody asks for costs nothing;
 * that look throws FormatError for text that is no UTF-8, a bool that is neither 0 nor 1, and integers beyond 2^53. Arrays of
 * numbers are typed arrays.
 */
export type Found = Value & {
  /** Where the value lies in the file, for errors. */
  readonly at: number;
};

/** Keys in one file: a thousand times what model files have. */
const KEY_LIMIT = 65_536;

const scalarOfCode = new Map<number, Scalar>(Object.entries(scalars).map(([name, { code }]) => [code, name as Scalar]));

/** Bytes of a value, or the least that one takes: a string begins with eight bytes of length. */
const bytesOf = (type: Scalar) => (type === "string" ? 8 : dtypeBytes[scalars[type].dtype]);

/** Reads `count` keys and their values, leaving the values undecoded. Errors: FormatError. */
export async function readMetadata(scan: Scanner, count: number): Promise<Map<string, Found>> {
  if (count > KEY_LIMIT) scan.fail(`${count} keys`, `at most ${KEY_LIMIT}`, scan.at - 8);
  const metadata = new Map<string, Found>();
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
    const type = scalarOf(scan, code, `the type of ${subject}`);
    const at = scan.at;
    await skip(scan, type, 1, subject);
    return decodeLater(type, at, () => {
      const value = decodeValues(scan, type, at, 1, key)[0];
      return type === "bool" ? value === 1 : value;
    });
  }
  const what = `the element type of ${subject}`;
  const type = scalarOf(scan, await scan.u32(what), what);
  const count = await scan.count(bytesOf(type), `elements in ${subject}`);
  const at = scan.at;
  await skip(scan, type, count, subject);
  return decodeLater(`${type}[]`, at, () => {
    const found = decodeValues(scan, type, at, count, key);
    return type === "bool" ? Array.from(found, (x) => x === 1) : found;
  });
}

/** Arrays within arrays, which no model has and which could nest without end, have no place here either. */
function scalarOf(scan: Scanner, code: number, what: string): Scalar {
  const type = scalarOfCode.get(code);
  if (type === undefined)
    scan.fail(
      `${code === ARRAY ? `${code} (an array within an array)` : code} as ${what}`,
      `a code from 0 to 12 that is not ${ARRAY}`,
      scan.at - 4,
    );
  return type;
}

async function skip(scan: Scanner, type: Scalar, count: number, what: string): Promise<void> {
  if (type === "string") await scan.skipStrings(count, what);
  else await scan.skip(count * bytesOf(type), what);
}

function decodeValues(scan: Scanner, type: Scalar, at: number, count: number, key: string): ArrayLike<number | string> {
  const { dtype } = scalars[type];
  const subject = `${scan.file}: byte ${at}: ${clip(key)}`;
  return dtype
    ? decode(dtype, scan.slice(at, count * dtypeBytes[dtype]), subject)
    : scan.strings(at, count, `the value of ${clip(key)}`);
}

function decodeLater(type: Value["type"], at: number, decoded: () => unknown): Found {
  let known: { readonly value: unknown } | undefined;
  const found = {
    type,
    at,
    get value() {
      known ??= { value: decoded() };
      return known.value;
    },
  };
  // The pair of type and value is what `decoded` makes.
  return found as Found;
}

/** Throws the error for a key whose value, or its absence, is not what its reader can use. */
export function unusable(
  file: string,
  key: string,
  found: (Value & { readonly at?: number }) | undefined,
  expected: string,
): never {
  const got = found && (found.type.endsWith("]") ? found.type : `${found.type} ${clip(String(found.value))}`);
  throw new FormatError(
    `${file}: ${found?.at === undefined ? "" : `byte ${found.at}: `}${key}: got ${got ?? "no such key"}, expected ${expected}; ${damaged}`,
  );
}
