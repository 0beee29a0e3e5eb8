import { FormatError } from "../tensor/error.ts";
import { allocateBytes, type ByteSource } from "./bytes.ts";

export const damaged = "the file is damaged or no GGUF file, fetch it again";

/** The most a header may take: twenty times that of the largest vocabularies. */
export const HEADER_BYTES = 1 << 28;

/** The format's limit on the bytes of a key; names of tensors are held to it too. */
export const NAME_BYTES = 65_535;

/** Bytes fetched at first; four times as many whenever they are used up. */
const FIRST = 1 << 20;

/** One for all strings: making a decoder takes longer than most names. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Walks over the binary header of a file, fetching it piece by piece, since nothing says beforehand how long it is. Every
 * length is held against what is left of the file before anything is fetched or made for it.
 */
export class Scanner {
  readonly #source: ByteSource;
  #view = new DataView(new ArrayBuffer(0));
  readonly file: string;
  at = 0;

  constructor(source: ByteSource) {
    this.#source = source;
    this.file = source.name;
  }

  fail(got: string, expected: string, at = this.at): never {
    throw new FormatError(`${this.file}: byte ${at}: got ${got}, expected ${expected}; ${damaged}`);
  }

  /** Moves on by `bytes` bytes, which are in memory afterwards. */
  async skip(bytes: number, what: string): Promise<void> {
    if (this.at + bytes > this.#view.byteLength) await this.#fetch(bytes, what);
    this.at += bytes;
  }

  async u32(what: string): Promise<number> {
    await this.skip(4, what);
    return this.#view.getUint32(this.at - 4, true);
  }

  /** A 64-bit number below 2^53. */
  async u64(what: string): Promise<number> {
    await this.skip(8, what);
    return this.#u64(this.at - 8, what);
  }

  /** How many there are of something that takes `each` bytes or more: no more than fit into the rest of the file. */
  async count(each: number, what: string): Promise<number> {
    const count = await this.u64(what);
    const left = Math.floor((this.#source.size - this.at) / each);
    if (count > left)
      this.fail(`${count} ${what}`, `at most ${left}, for which the rest of the file has room`, this.at - 8);
    return count;
  }

  /** A short string: a key or a tensor's name. */
  async name(what: string): Promise<string> {
    const length = await this.count(1, `bytes of ${what}`);
    if (length > NAME_BYTES) this.fail(`${length} bytes of ${what}`, `at most ${NAME_BYTES}`, this.at - 8);
    const at = this.at;
    await this.skip(length, what);
    return this.#text(at, length, what);
  }

  /** Moves on by `count` strings. */
  async skipStrings(count: number, what: string): Promise<void> {
    for (let i = 0; i < count; i++) {
      if (this.at + 8 > this.#view.byteLength) await this.#fetch(8, what);
      const length = this.#u64(this.at, what);
      if (length > this.#source.size - this.at - 8)
        this.fail(
          `a string of ${length} bytes in ${what}`,
          `at most ${this.#source.size - this.at - 8}, the rest of the file`,
        );
      this.at += 8;
      if (this.at + length > this.#view.byteLength) await this.#fetch(length, what);
      this.at += length;
    }
  }

  /**
   * The `count` strings from byte `at` on, which `skipStrings` went over before. All are decoded in one piece that is then cut,
   * since a call of the decoder takes longer than most strings.
   */
  strings(at: number, count: number, what: string): string[] {
    const bytes = new Uint8Array(this.#view.buffer);
    const lengths = new Uint32Array(count);
    let end = at;
    let total = 0;
    for (let i = 0; i < count; i++) {
      lengths[i] = this.#view.getUint32(end, true);
      end += 8 + lengths[i]!;
      total += lengths[i]!;
    }
    const joined = new Uint8Array(total);
    // In UTF-16, where each string ends: characters of four bytes have two units, bytes that go on with one have none.
    const ends = new Uint32Array(count);
    let units = 0;
    for (let i = 0, from = at, to = 0; i < count; i++) {
      from += 8;
      const stop = from + lengths[i]!;
      // A string that began in the middle of a character would be whole only together with the one before.
      if (from < stop && (bytes[from]! & 0xc0) === 0x80) this.#noText(from, what);
      for (; from < stop; from++) {
        const byte = bytes[from]!;
        joined[to++] = byte;
        if ((byte & 0xc0) !== 0x80) units += byte < 0xf0 ? 1 : 2;
      }
      ends[i] = units;
    }
    let text: string;
    try {
      text = utf8.decode(joined);
    } catch {
      return this.#noText(at, what);
    }
    let from = 0;
    return Array.from(ends, (end) => {
      const string = text.slice(from, end);
      from = end;
      return string;
    });
  }

  /** A copy of bytes that are in memory. */
  slice(at: number, bytes: number): ArrayBuffer {
    return (this.#view.buffer as ArrayBuffer).slice(at, at + bytes);
  }

  #text(at: number, length: number, what: string): string {
    try {
      return utf8.decode(new Uint8Array(this.#view.buffer, at, length));
    } catch {
      return this.#noText(at, what);
    }
  }

  #noText(at: number, what: string): never {
    return this.fail(`bytes that are no UTF-8 in ${what}`, "text", at);
  }

  #u64(at: number, what: string): number {
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 2 ** 21)
      this.fail(`${this.#view.getBigUint64(at, true)} as the number of ${what}`, "a number below 2^53", at);
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  async #fetch(bytes: number, what: string): Promise<void> {
    const { size } = this.#source;
    const end = this.at + bytes;
    if (end > size) this.fail(`${size - this.at} bytes up to the end of the file`, `${bytes} for ${what}`);
    if (end > HEADER_BYTES) this.fail(`a header that goes on`, `its end before byte ${HEADER_BYTES}`);
    const have = this.#view.byteLength;
    const buffer = allocateBytes(this.file, Math.min(size, HEADER_BYTES, Math.max(end, 4 * have, FIRST)));
    const all = new Uint8Array(buffer);
    all.set(new Uint8Array(this.#view.buffer));
    await this.#source.read(have, all.subarray(have));
    this.#view = new DataView(buffer);
  }
}
