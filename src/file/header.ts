import { FormatError } from "../tensor/error.ts";
import { dtypeBytes, isListed, type Listed, type Stored, storedBytes, unreadBits } from "./dtype.ts";

/** The largest header the format allows, in bytes. */
export const HEADER_LIMIT = 100_000_000;

/** Names and keys, four per tensor: far more than any file has, so that memory stays bounded. */
const NAME_LIMIT = 1_000_000;

/** More axes than any tensor has. */
const RANK_LIMIT = 64;

/** Where one tensor lies in a file. */
export interface Entry<D extends Stored = Stored> {
  readonly name: string;
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Product of the shape. */
  readonly elements: number;
  /** First byte and the byte after the last, from the start of the file. */
  readonly begin: number;
  readonly end: number;
}

/** What a safetensors header says, checked. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the header. */
  readonly entries: ReadonlyMap<string, Entry<Listed>>;
  /** The first byte after the header. */
  readonly dataStart: number;
}

/**
 * Bytes that the header takes, the 8 of its own length included. `first` holds the first 8 bytes of the file (or all, where
 * there are fewer).
 *
 * Errors: FormatError where the length is beyond the file or beyond 100 MB.
 */
export function headerBytes(first: Uint8Array, fileSize: number, file: string): number {
  if (first.length < 8 || fileSize < 8)
    throw new FormatError(
      `${file}: byte 0: got a file of ${fileSize} bytes, expected 8 bytes of header length; ${damaged}`,
    );
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  const limit = Math.min(HEADER_LIMIT, fileSize - 8);
  if (length > BigInt(limit))
    throw new FormatError(
      `${file}: byte 0: got a header length of ${length}, expected at most ${limit} (of ${fileSize} in the file); ${damaged}`,
    );
  if (length < 2n)
    throw new FormatError(`${file}: byte 0: got a header length of ${length}, expected at least 2; ${damaged}`);
  return 8 + Number(length);
}

/**
 * Reads the header of a safetensors file of `fileSize` bytes whose first bytes, header and all, are `bytes`. Nothing is
 * allocated that the header's own bytes do not pay for, and nothing recurses.
 *
 * Stricter than JSON where leniency hides damage: names, keys and metadata keys may appear once only, numbers are plain
 * whole numbers below 2^53, tensors tile the data without hole, overlap or rest. Unaligned tensors are allowed by the format.
 *
 * Errors: FormatError naming the file and the byte. Source: the format's description in github.com/huggingface/safetensors.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file = "safetensors"): Header {
  const dataStart = headerBytes(bytes, fileSize, file);
  if (bytes.length < dataStart)
    throw new FormatError(
      `${file}: byte ${bytes.length}: got ${bytes.length} bytes of header, expected ${dataStart}; ${damaged}`,
    );
  const scan = new Scanner(bytes.subarray(0, dataStart), file);
  if (bytes[8] !== 0x7b) scan.fail("'{' as the first byte of the header");
  const entries = new Map<string, Entry<Listed>>();
  const places: { at: number; entry: Entry<Listed> }[] = [];
  let metadata: Record<string, string> | undefined;
  scan.object((name, at) => {
    if (name === "__metadata__") {
      if (metadata) scan.fail("__metadata__ once only", at);
      const pairs = new Map<string, string>();
      scan.object((key, keyAt) => {
        if (pairs.has(key)) scan.fail(`the metadata key ${clip(key)} once only`, keyAt);
        pairs.set(key, scan.string());
      });
      metadata = Object.fromEntries(pairs);
      return;
    }
    if (entries.has(name)) scan.fail(`the tensor ${clip(name)} once only`, at);
    const entry = tensorEntry(scan, name, at, dataStart, fileSize);
    entries.set(name, entry);
    places.push({ at, entry });
  });
  scan.end();
  checkTiling(scan, places, dataStart, fileSize);
  return { metadata: metadata ?? {}, entries, dataStart };
}

function tensorEntry(scan: Scanner, name: string, at: number, dataStart: number, fileSize: number): Entry<Listed> {
  let dtype: Listed | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  scan.object((key, keyAt) => {
    if (key === "dtype" && dtype === undefined) {
      const valueAt = scan.at;
      const value = scan.string();
      if (!isListed(value))
        scan.fail(
          `one of ${Object.keys({ ...dtypeBytes, ...unreadBits }).join(" ")} as dtype, not ${clip(value)}`,
          valueAt,
        );
      dtype = value;
    } else if (key === "shape" && shape === undefined) shape = scan.numbers(`the shape of ${clip(name)}`);
    else if (key === "data_offsets" && offsets === undefined)
      offsets = scan.numbers(`the data_offsets of ${clip(name)}`);
    else scan.fail(`dtype, shape and data_offsets once each in ${clip(name)}`, keyAt);
  });
  if (!dtype || !shape || !offsets) return scan.fail(`dtype, shape and data_offsets in ${clip(name)}`, at);
  const [begin, end] = offsets;
  if (offsets.length !== 2 || begin === undefined || end === undefined || begin > end)
    return scan.fail(
      `data_offsets of ${clip(name)} as [begin, end] with begin <= end, not [${clip(offsets.join())}]`,
      at,
    );
  if (end > fileSize - dataStart)
    scan.fail(`data_offsets of ${clip(name)} within the ${fileSize - dataStart} bytes of data, not [${offsets}]`, at);
  let elements = 1;
  for (const n of shape) {
    elements *= n;
    if (storedBytes(dtype, elements) > Number.MAX_SAFE_INTEGER)
      scan.fail(`a shape of ${clip(name)} below 2^53 bytes, not [${clip(shape.join())}]`, at);
  }
  const size = storedBytes(dtype, elements);
  if (!Number.isInteger(size)) scan.fail(`whole bytes for ${dtype} [${clip(shape.join())}] in ${clip(name)}`, at);
  if (size !== end - begin)
    scan.fail(`${size} bytes for ${dtype} [${clip(shape.join())}] in ${clip(name)}, not data_offsets [${offsets}]`, at);
  return { name, dtype, shape, elements, begin: dataStart + begin, end: dataStart + end };
}

/** Every byte of data belongs to exactly one tensor. */
function checkTiling(
  scan: Scanner,
  places: { at: number; entry: Entry<Listed> }[],
  dataStart: number,
  fileSize: number,
): void {
  const inOrder = places.toSorted((a, b) => a.entry.begin - b.entry.begin || a.entry.end - b.entry.end);
  let next = dataStart;
  let before = "the header";
  for (const { at, entry } of inOrder) {
    if (entry.begin !== next)
      scan.fail(
        `${clip(entry.name)} to begin at byte ${next}, right after ${clip(before)}, not at ${entry.begin} (${entry.begin < next ? "overlap" : "hole"})`,
        at,
      );
    next = entry.end;
    before = entry.name;
  }
  if (next !== fileSize)
    throw new FormatError(
      `${scan.file}: byte ${next}: got ${fileSize - next} bytes that belong to no tensor, expected the end of the file; ${damaged}`,
    );
}

/** One for all strings: making a decoder takes longer than most names. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const damaged = "the file is damaged or no safetensors file, fetch it again";

/** Walks over the JSON of a header; knows only what headers are made of. */
class Scanner {
  readonly #bytes: Uint8Array;
  readonly file: string;
  at = 8;
  #names = 0;

  constructor(bytes: Uint8Array, file: string) {
    this.#bytes = bytes;
    this.file = file;
  }

  fail(expected: string, at = this.at): never {
    const seen = new TextDecoder().decode(this.#bytes.subarray(at, at + 24));
    const got = at < this.#bytes.length ? `"${printable(seen)}"` : "the end of the header";
    throw new FormatError(`${this.file}: byte ${at}: got ${got}, expected ${expected}; ${damaged}`);
  }

  /** An object; `member` is called at each value and must read it. */
  object(member: (key: string, at: number) => void): void {
    this.#expect(0x7b, "'{'");
    if (this.#skips(0x7d)) return;
    do {
      this.#space();
      const at = this.at;
      if (++this.#names > NAME_LIMIT) this.fail(`at most ${NAME_LIMIT} names and keys`);
      const key = this.string();
      this.#expect(0x3a, "':'");
      this.#space();
      member(key, at);
    } while (this.#skips(0x2c));
    this.#expect(0x7d, "',' or '}'");
  }

  string(): string {
    this.#expect(0x22, "a string");
    const begin = this.at;
    let escaped = false;
    for (;;) {
      const byte = this.#bytes[this.at];
      if (byte === undefined || byte < 0x20) return this.fail("the end of a string");
      if (byte === 0x22) break;
      if (byte === 0x5c) {
        escaped = true;
        this.at++;
      }
      this.at++;
    }
    try {
      const raw = utf8.decode(this.#bytes.subarray(begin, this.at));
      const text: string = escaped ? JSON.parse(`"${raw}"`) : raw;
      if (!text.isWellFormed()) throw new SyntaxError();
      this.at++;
      return text;
    } catch {
      return this.fail("a string of valid UTF-8 and escapes", begin);
    }
  }

  /** An array of at most 64 whole numbers in [0, 2^53); `what` names it in errors. */
  numbers(what: string): number[] {
    const result: number[] = [];
    this.#expect(0x5b, "'['");
    if (this.#skips(0x5d)) return result;
    do {
      this.#space();
      if (result.length === RANK_LIMIT) this.fail(`at most ${RANK_LIMIT} numbers in ${what}`);
      result.push(this.#number(what));
    } while (this.#skips(0x2c));
    this.#expect(0x5d, "',' or ']'");
    return result;
  }

  /** Nothing but blanks up to the end. */
  end(): void {
    this.#space();
    if (this.at < this.#bytes.length) this.fail("only blanks up to the end of the header");
  }

  #number(what: string): number {
    const begin = this.at;
    let value = 0;
    for (;;) {
      const digit = (this.#bytes[this.at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (!Number.isSafeInteger(value)) this.fail(`a whole number below 2^53 in ${what}`, begin);
      this.at++;
    }
    const length = this.at - begin;
    if (length === 0 || (length > 1 && this.#bytes[begin] === 0x30))
      this.fail(`a whole number that is not negative in ${what}`, begin);
    if ([0x2e, 0x45, 0x65].includes(this.#bytes[this.at] ?? 0)) this.fail(`a whole number in ${what}`, begin);
    return value;
  }

  #space(): void {
    for (;;) {
      const byte = this.#bytes[this.at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.at++;
    }
  }

  #skips(byte: number): boolean {
    this.#space();
    if (this.#bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  #expect(byte: number, what: string): void {
    if (!this.#skips(byte)) this.fail(what);
  }
}

/** A name fit for a message: short, on one line. */
export function clip(name: string): string {
  return printable(name.length > 80 ? `${name.slice(0, 77)}...` : name);
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "\u00b7");
}
