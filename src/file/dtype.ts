import { FormatError } from "../tensor/error.ts";
import { blocks, isQuant, type Quant } from "../tensor/quant.ts";

/** Bytes per element of every element type this reader knows, under the names of the safetensors format. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type Dtype = keyof typeof dtypeBytes;

/**
 * Bits per element of the safetensors format's other types: complex numbers, and the narrow floats and scales of microscaling. Files
 * may have them, and their places are known; their numbers are not read.
 */
export const unreadBits = {
  C64: 64,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
} as const;

type Unread = keyof typeof unreadBits;

/** A type of the safetensors format, read or not. */
export type Listed = Dtype | Unread;

/** How a tensor's numbers lie in a file: one by one, or in blocks that are quantised together. */
export type Stored = Listed | Quant;

/** Bytes of `elements` numbers in a file; blocks and bytes must be whole. */
export function storedBytes(dtype: Stored, elements: number): number {
  if (isQuant(dtype)) return (elements / blocks[dtype].elements) * blocks[dtype].bytes;
  return isUnread(dtype) ? (elements * unreadBits[dtype]) / 8 : elements * dtypeBytes[dtype];
}

/** Numbers as they come out of a file. */
export type Values =
  | Float64Array
  | Float32Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint32Array
  | Uint16Array
  | Uint8Array;

export function isListed(name: string): name is Listed {
  return Object.hasOwn(dtypeBytes, name) || isUnread(name);
}

export function isUnread(name: string): name is Unread {
  return Object.hasOwn(unreadBits, name);
}

/** The element type that holds an array's numbers exactly. */
export function dtypeOf(values: Values): Dtype {
  if (values instanceof Float64Array) return "F64";
  if (values instanceof Float32Array) return "F32";
  if (values instanceof Int32Array) return "I32";
  if (values instanceof Int16Array) return "I16";
  if (values instanceof Int8Array) return "I8";
  if (values instanceof Uint32Array) return "U32";
  return values instanceof Uint16Array ? "U16" : "U8";
}

/**
 * Little-endian bytes of one tensor to numbers: floats of less than 32 bits become float32 (exactly), 64-bit integers become
 * float64, the rest keeps its type and its memory. `subject` names the tensor in errors.
 *
 * Errors: FormatError for a 64-bit integer beyond 2^53 or a BOOL that is neither 0 nor 1.
 */
export function decode(dtype: Dtype, buffer: ArrayBuffer, subject: string): Values {
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer);
    case "F32":
      return new Float32Array(buffer);
    case "F16":
      return new Float32Array(new Float16Array(buffer));
    case "BF16":
      return widen(new Uint16Array(buffer));
    case "F8_E4M3":
      return Float32Array.from(new Uint8Array(buffer), decodeE4M3);
    case "F8_E5M2":
      // The upper byte of a half-precision number.
      return new Float32Array(new Float16Array(Uint16Array.from(new Uint8Array(buffer), (x) => x << 8).buffer));
    case "I64":
      return readExactly(new BigInt64Array(buffer), subject);
    case "U64":
      return readExactly(new BigUint64Array(buffer), subject);
    case "I32":
      return new Int32Array(buffer);
    case "I16":
      return new Int16Array(buffer);
    case "I8":
      return new Int8Array(buffer);
    case "U32":
      return new Uint32Array(buffer);
    case "U16":
      return new Uint16Array(buffer);
    case "U8":
      return new Uint8Array(buffer);
    case "BOOL": {
      const values = new Uint8Array(buffer);
      const wrong = values.findIndex((x) => x > 1);
      if (wrong >= 0)
        throw new FormatError(`${subject}: element ${wrong}: got ${values[wrong]}, expected 0 or 1 for BOOL`);
      return values;
    }
  }
}

/**
 * Numbers to the little-endian bytes of `dtype`: floats are rounded to nearest, ties to even.
 *
 * Errors: FormatError for a number the type cannot hold (an overflow, a fraction in an integer type) and for 8-bit floats,
 * which are only read.
 */
export function encode(dtype: Dtype, values: ArrayLike<number>, subject: string): Uint8Array {
  switch (dtype) {
    case "F64":
      return bytesOf(values instanceof Float64Array ? values : Float64Array.from(values));
    case "F32":
      return bytesOf(
        values instanceof Float32Array ? values : checkFinite(Float32Array.from(values), values, dtype, subject),
      );
    case "F16":
      return bytesOf(checkFinite(Float16Array.from(values), values, dtype, subject));
    case "BF16": {
      const halves = narrow(Float32Array.from(values));
      checkFinite(widen(halves), values, dtype, subject);
      return bytesOf(halves);
    }
    case "F8_E4M3":
    case "F8_E5M2":
      throw new FormatError(`${subject}: got dtype ${dtype}, expected one that can be written; use BF16 or F32`);
    case "I64":
      return bytesOf(BigInt64Array.from(checkWhole(values, -(2 ** 53), 2 ** 53, dtype, subject), BigInt));
    case "U64":
      return bytesOf(BigUint64Array.from(checkWhole(values, 0, 2 ** 53, dtype, subject), BigInt));
    case "I32":
      return bytesOf(Int32Array.from(checkWhole(values, -(2 ** 31), 2 ** 31 - 1, dtype, subject)));
    case "I16":
      return bytesOf(Int16Array.from(checkWhole(values, -(2 ** 15), 2 ** 15 - 1, dtype, subject)));
    case "I8":
      return bytesOf(Int8Array.from(checkWhole(values, -128, 127, dtype, subject)));
    case "U32":
      return bytesOf(Uint32Array.from(checkWhole(values, 0, 2 ** 32 - 1, dtype, subject)));
    case "U16":
      return bytesOf(Uint16Array.from(checkWhole(values, 0, 2 ** 16 - 1, dtype, subject)));
    case "U8":
      return bytesOf(Uint8Array.from(checkWhole(values, 0, 255, dtype, subject)));
    case "BOOL":
      return bytesOf(Uint8Array.from(checkWhole(values, 0, 1, dtype, subject)));
  }
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** bfloat16 is the upper half of float32. */
function widen(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

function narrow(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < halves.length; i++) {
    const x = bits[i]!;
    // Rounding would carry a NaN with a low payload into infinity.
    halves[i] = Number.isNaN(values[i]) ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** 4 exponent bits of bias 7, 3 fraction bits, no infinities (the "fn" kind that checkpoints use). */
function decodeE4M3(byte: number): number {
  const sign = byte & 0x80 ? -1 : 1;
  const exponent = (byte >> 3) & 15;
  const fraction = byte & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return sign * (exponent ? (8 + fraction) * 2 ** (exponent - 10) : fraction * 2 ** -9);
}

function readExactly(values: BigInt64Array | BigUint64Array, subject: string): Float64Array {
  const result = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const x = Number(values[i]);
    if (!Number.isSafeInteger(x))
      throw new FormatError(`${subject}: element ${i}: got ${values[i]}, expected at most 2^53 - 1 in size`);
    result[i] = x;
  }
  return result;
}

function checkFinite<T extends { readonly length: number; [i: number]: number }>(
  rounded: T,
  values: ArrayLike<number>,
  dtype: Dtype,
  subject: string,
): T {
  for (let i = 0; i < rounded.length; i++)
    if (!Number.isFinite(rounded[i]) && Number.isFinite(values[i]))
      throw new FormatError(
        `${subject}: element ${i}: got ${values[i]}, expected a number that ${dtype} can hold; use F32 or F64`,
      );
  return rounded;
}

function checkWhole(
  values: ArrayLike<number>,
  least: number,
  most: number,
  dtype: Dtype,
  subject: string,
): ArrayLike<number> {
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (!Number.isSafeInteger(x) || x < least || x > most)
      throw new FormatError(`${subject}: element ${i}: got ${x}, expected a whole number that ${dtype} can hold`);
  }
  return values;
}
