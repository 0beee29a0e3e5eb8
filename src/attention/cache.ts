import { copy } from "../ops/move/index.ts";
import { contiguous, storePages } from "../ops/pages/index.ts";
import { type Span, whole } from "../tensor/device.ts";
import { ShapeError } from "../tensor/error.ts";
import { type CacheType, PAGE, type Page, type Paging, rowBytes } from "../tensor/page.ts";
import { type Device, type Numbers, sizeOf, Tensor } from "../tensor/tensor.ts";
import { cacheOf, type Parts, type Sizes, shapeOf, stateValues, type Variant } from "./define.ts";
import { poolOf } from "./pool.ts";

/** Whose cache it is: a variant at sizes. */
export interface Remembered {
  readonly variant: Variant;
  readonly sizes: Sizes;
}

/** A cached part on a page: what its rows are, and where they and their scales begin. */
interface Part extends Omit<Paging, "pages"> {
  readonly name: string;
  /** Of one token. */
  readonly shape: readonly number[];
}

/** Equal pieces of every token, one after the other on a page: the numbers of a part, or its scales. */
export interface Strip {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "F64" | "F32" | "BF16" | "I8";
  /** Where they begin on a page, and bytes of one token's. */
  readonly offset: number;
  readonly bytes: number;
}

/** The parts of a layer as they lie on its pages, and the bytes of a token. */
function layoutOf({ variant, sizes }: Remembered, type: CacheType, elementBytes: 4 | 8) {
  let bytes = 0;
  const parts = cacheOf(variant, sizes).map(([name, axes]): Part => {
    const shape = shapeOf(axes, sizes);
    const kept = variant.exact?.includes(name) ? "f32" : type;
    // A scale per key head where heads keep their own.
    const groups = axes.startsWith("g ") ? sizes.g : 1;
    const offset = PAGE * bytes;
    const scales = offset + PAGE * sizeOf(shape);
    bytes += rowBytes(kept, sizeOf(shape), groups, elementBytes);
    return { name, shape, type: kept, offset, scales, groups };
  });
  return { parts, bytes };
}

/** Bytes that `tokens` cached tokens of one layer take by the variant's declaration, scales included. */
export function declaredBytes(
  of: Remembered,
  tokens: number,
  type: CacheType = "f32",
  elementBytes: 4 | 8 = 4,
): number {
  return layoutOf(of, type, elementBytes).bytes * tokens + stateValues(of.variant, of.sizes) * elementBytes;
}

/**
 * What one layer keeps of one sequence: rows per token on pages that come as it grows and that forks share, and for linear
 * variants a state of fixed size.
 */
export class Cache {
  /** Most tokens. */
  readonly capacity: number;
  readonly type: CacheType;
  /** Zeros for a sequence that has not begun; empty for variants without one. */
  readonly state: Parts;
  readonly #device: Device;
  readonly #of: Remembered;
  readonly #layer: object;
  readonly #parts: readonly Part[];
  readonly #pageBytes: number;
  #pages: Page[] = [];
  #length = 0;

  /** Pages of all caches of one `layer` may lie in one memory: layers that share an attention are told apart by it. */
  constructor(device: Device, of: Remembered, capacity: number, type: CacheType = "f32", layer: object = of) {
    this.capacity = capacity;
    this.type = type;
    this.#device = device;
    this.#of = of;
    this.#layer = layer;
    const { parts, bytes } = layoutOf(of, type, device.elementBytes);
    this.#parts = parts;
    this.#pageBytes = PAGE * bytes;
    this.state = Object.fromEntries(
      Object.entries(of.variant.state?.(of.sizes) ?? {}).map(([name, axes]) => [
        name,
        zero(new Tensor(device, shapeOf(axes, of.sizes))),
      ]),
    );
  }

  /** Tokens seen. */
  get length(): number {
    return this.#length;
  }

  /** Bytes of memory held, those that forks hold as well included. */
  get bytes(): number {
    const state = Object.values(this.state).reduce((sum, t) => sum + t.size, 0);
    return this.#pages.length * this.#pageBytes + state * this.#device.elementBytes;
  }

  /** Bytes of `bytes` that other caches hold as well. */
  get sharedBytes(): number {
    return this.#pages.filter(({ owners }) => owners > 1).length * this.#pageBytes;
  }

  /** Bytes that the cache holds which are not in `seen`, which gets its pages: those that several share count for the first alone. */
  bytesBeside(seen: Set<unknown>): number {
    const fresh = this.#pages.filter((page) => !seen.has(page));
    for (const page of fresh) seen.add(page);
    return this.bytes - (this.#pages.length - fresh.length) * this.#pageBytes;
  }

  /** All parts so far, on pages: `attend` reads them where they lie, everything else through `contiguous`. */
  get rows(): Parts {
    return Object.fromEntries(this.#parts.map((part) => [part.name, this.#paged(part, this.#length)]));
  }

  /**
   * Sees to it that tokens up to `end` have pages, and the next one a page that no other cache shares. Throws ShapeError beyond
   * the capacity and DeviceError where memory is known to be full; nothing has changed then. A device that tells later fails
   * what is awaited, and who runs on this cache must then leave it (`Session`).
   */
  reserve(end: number): void {
    if (!this.#parts.length) return;
    if (end > this.capacity)
      throw new ShapeError(`cache: got ${end} tokens, expected at most its capacity ${this.capacity}; make it larger`);
    const last = Math.floor(this.#length / PAGE);
    const shared = end > this.#length ? this.#pages[last] : undefined;
    const copies = shared && shared.owners > 1 ? 1 : 0;
    const fresh: Page[] = [];
    try {
      while (this.#pages.length + fresh.length < Math.ceil(end / PAGE) + copies)
        fresh.push({
          block: this.#device.allocate(this.#pageBytes / this.#device.elementBytes, poolOf(this.#layer, this.type)),
          owners: 1,
        });
    } catch (error) {
      for (const page of fresh) this.#drop(page);
      throw error;
    }
    if (shared && copies) {
      const own = fresh.pop()!;
      this.#device.copy(whole(shared.block), whole(own.block));
      this.#pages[last] = own;
      this.#drop(shared);
    }
    this.#pages.push(...fresh);
  }

  /** Appends the parts of `added` new tokens, rounded to the cache's type, and gives all parts so far. */
  append(parts: Parts, added: number): Parts {
    return Cache.append([this], parts, [added])[0]!;
  }

  /** The same for several caches of one layer at once: `parts` holds `rows[i]` new tokens of each, one cache's after the other's. */
  static append(caches: readonly Cache[], parts: Parts, rows: readonly number[]): Parts[] {
    const own = caches[0]!.#parts;
    const starts = caches.map((cache) => cache.#length);
    const ends = caches.map((cache, i) => cache.#length + rows[i]!);
    for (const [i, cache] of caches.entries()) cache.reserve(ends[i]!);
    const paged = own.map((part) => caches.map((cache, i) => cache.#paged(part, ends[i]!)));
    const from = own.map(({ name }) => parts[name]!);
    storePages(from, paged, starts, rows);
    let row = 0;
    return caches.map((cache, i) => {
      const all: Record<string, Tensor> = {};
      const first = row;
      row += rows[i]!;
      own.forEach(({ name, type }, part) => {
        // Nothing before and nothing rounded: they are all there is, and need no way through pages.
        const plain = starts[i] === 0 && type === "f32";
        all[name] = plain ? contiguous(from[part]!, first, row) : paged[part]![i]!;
      });
      cache.#length = ends[i]!;
      return all;
    });
  }

  /** A cache that goes on from here by itself. Pages are shared until one of the two writes to them; a state is copied. */
  fork(): Cache {
    const fork = new Cache(this.#device, this.#of, this.capacity, this.type, this.#layer);
    for (const [name, t] of Object.entries(this.state)) copy(t, fork.state[name]!);
    for (const page of this.#pages) page.owners++;
    fork.#pages = [...this.#pages];
    fork.#length = this.#length;
    return fork;
  }

  /** A copy of the state as it is now, for `rewind`; empty for variants without one. The caller frees it. Throws DeviceError where memory is full. */
  snapshot(): Parts {
    const taken: [string, Tensor][] = [];
    try {
      for (const [name, t] of Object.entries(this.state)) {
        taken.push([name, new Tensor(this.#device, t.shape)]);
        copy(t, taken.at(-1)![1]);
      }
    } catch (error) {
      for (const [, t] of taken) t.free();
      throw error;
    }
    return Object.fromEntries(taken);
  }

  /** Throws ShapeError where `rewind` to this length is not possible. */
  checkRewind(length: number, state?: Parts): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new ShapeError(`cache: got a rewind to ${length} tokens, expected 0 to ${this.#length}`);
    if (length > 0 && length < this.#length && Object.keys(this.state).length && !state)
      throw new ShapeError(
        `cache: got a rewind to ${length} of ${this.#length} tokens over ${this.#of.variant.name}, whose state keeps no past; ` +
          "rewind to 0, give the snapshot that was taken there, or fork where you may want to come back to",
      );
  }

  /**
   * Forgets all tokens from `length` on, and gives pages back. A state only knows its beginning: where the cache goes back
   * elsewhere, `state` is the snapshot that was taken there. Throws ShapeError.
   */
  rewind(length: number, state?: Parts): void {
    this.checkRewind(length, state);
    if (length === 0) for (const t of Object.values(this.state)) zero(t);
    else if (state) for (const [name, t] of Object.entries(this.state)) copy(state[name]!, t);
    for (const page of this.#pages.splice(Math.ceil(length / PAGE))) this.#drop(page);
    this.#length = length;
  }

  /** A part's numbers so far, as they are kept, `[length, ...]`. */
  async read(name: string): Promise<Numbers> {
    const all = contiguous(this.rows[name]!);
    const numbers = await all.read();
    all.free();
    return numbers;
  }

  /** What the pages are made of, for files. */
  get strips(): readonly Strip[] {
    const wide = this.#device.elementBytes === 8;
    return this.#parts.flatMap(({ name, shape, type, offset, scales, groups }): Strip[] => {
      const width = sizeOf(shape);
      const dtype = wide ? "F64" : ({ f32: "F32", bf16: "BF16", q8: "I8" } as const)[type];
      const numbers: Strip = { name, shape, dtype, offset, bytes: rowBytes(type, width, 0, this.#device.elementBytes) };
      if (dtype !== "I8") return [numbers];
      return [numbers, { name: `${name}.scale`, shape: [groups], dtype: "F32", offset: scales, bytes: 4 * groups }];
    });
  }

  /** The bytes of a strip as they are now, all tokens one after the other. */
  async bytesOf(strip: Strip): Promise<Uint8Array<ArrayBuffer>> {
    const all = new Uint8Array(strip.bytes * this.#length);
    const each = PAGE * strip.bytes;
    const pages = this.#pages.map((page) => this.#device.download(this.#spanOf(page, strip)));
    for (const [i, page] of pages.entries()) all.set((await page).subarray(0, all.length - i * each), i * each);
    return all;
  }

  /** Takes `length` tokens whose strips are then filled by `fill`; the cache must be empty. Throws as `reserve`. */
  restore(length: number): void {
    if (this.#length) throw new ShapeError(`cache: got ${this.#length} tokens, expected none to restore over`);
    this.reserve(length);
    this.#length = length;
  }

  /** Puts back what `bytesOf` gave. */
  fill(strip: Strip, all: Uint8Array): void {
    const each = PAGE * strip.bytes;
    this.#pages.forEach((page, i) => {
      this.#device.upload(this.#spanOf(page, strip), all.subarray(i * each, (i + 1) * each));
    });
  }

  free(): void {
    for (const t of Object.values(this.state)) t.free();
    for (const page of this.#pages.splice(0)) this.#drop(page);
  }

  /** Where a strip lies on a page: whole elements, since a page's tokens are a multiple of 8. */
  #spanOf({ block }: Page, { offset, bytes }: Strip): Span {
    const { elementBytes } = this.#device;
    return { block, start: offset / elementBytes, size: (PAGE * bytes) / elementBytes };
  }

  #paged({ shape, ...paging }: Part, length: number): Tensor {
    return new Tensor(this.#device, [length, ...shape], undefined, 0, { ...paging, pages: this.#pages });
  }

  #drop(page: Page): void {
    page.owners--;
    if (page.owners === 0) this.#device.release(page.block);
  }
}

function zero(t: Tensor): Tensor {
  return t.write(new Float64Array(t.size));
}
