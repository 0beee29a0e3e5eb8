import { Cache, declaredBytes } from "../attention/cache.ts";
import { commonMachine, type Machine } from "../cost/crossover.ts";
import { PREFILL_CHUNK } from "../cost/host.ts";
import type { Model } from "../model/model.ts";
import { forward, layerDevices, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { DeviceError } from "../tensor/error.ts";
import { type CacheType, numberBytes, pageTokens } from "../tensor/page.ts";
import { type Device, scope, type Tensor } from "../tensor/tensor.ts";
import { countForms, type FormCounts, formsFor, type Keep, keepForms } from "./forms.ts";
import { History } from "./history.ts";
import { readSession, writeSession } from "./saved.ts";

/** What a session may hold, and how. */
export interface SessionOptions {
  /** Most tokens; as many as memory holds unless given. Memory is taken page by page as they come, not now. */
  readonly context?: number | undefined;
  /** Element type of the cache: float32 unless given. */
  readonly cache?: CacheType | undefined;
  /** Whose speed decides about forms; a common one unless given (`biform tune` measures this one). */
  readonly machine?: Machine | undefined;
  /** What layers leave behind that unfold latents into keys and values: "declared", the latents, unless given. */
  readonly keep?: Keep | undefined;
}

/** How tokens are run. */
export interface AppendOptions {
  /** Form of attention, in layers that have it; unless given each layer runs in what should be fastest. */
  readonly form?: string | undefined;
  /** Logits of all new tokens, or of the last alone. */
  readonly logits?: "all" | "last" | undefined;
  /** Sees each hidden state. */
  readonly watch?: ((hidden: Tensor) => void) | undefined;
}

/** One growing sequence over a cache of what its model's attention leaves behind. */
export class Session {
  readonly model: Model;
  readonly weights: Weights;
  readonly device: Device;
  readonly context: number;
  readonly cache: CacheType;
  readonly caches: readonly Cache[];
  readonly machine: Machine;
  /** What ran so far. */
  forms: FormCounts = { prefill: {}, decode: {} };
  /** Where the weights live. */
  readonly #devices: readonly Device[];
  #history = new History();
  /** Set once a state of fixed size was left in the middle of a step. */
  #broken = false;

  /** Throws DeviceError where the context's cache is larger than what memory is left; nothing is allocated then. */
  constructor(given: Model, weights: Weights, options: SessionOptions = {}) {
    const { context = Number.POSITIVE_INFINITY, cache = "f32", machine = commonMachine, keep = "declared" } = options;
    this.device = weights.get("embed")!.device;
    const model = keepForms(given, keep, { context, bytes: this.device.freeBytes, type: cache, machine });
    this.model = model;
    this.weights = weights;
    this.context = context;
    this.cache = cache;
    this.machine = machine;
    const devices = layerDevices(model, weights);
    this.#devices = [...new Set([...weights.values()].map((t) => t.device))];
    for (const device of Number.isFinite(context) ? this.#devices : []) {
      const layers = model.layers.filter((_, i) => devices[i] === device);
      const [need, free] = [cacheBytes({ ...model, layers }, context, cache, device.elementBytes), device.freeBytes];
      if (need > free)
        throw new DeviceError(
          `session: got a context of ${context} tokens whose ${cache} cache takes ${mebibytes(need)} MiB, expected at most the ` +
            `${mebibytes(free)} MiB that are free; use a smaller context${cache === "q8" ? "" : " or the cache q8"}`,
        );
    }
    this.caches = model.layers.map(({ attention }, i) => new Cache(devices[i]!, attention, context, cache));
  }

  /** Tokens seen. */
  get length(): number {
    return this.#history.length;
  }

  /** The tokens seen. */
  get tokens(): Int32Array {
    return this.#history.ids.slice();
  }

  /** Bytes that the caches hold: `cacheBytes` of its length. */
  get bytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.bytes, 0);
  }

  /** Bytes of these that forks hold as well: all sessions together hold them once. */
  get sharedBytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.sharedBytes, 0);
  }

  /**
   * Runs new tokens through the model; logits of all of them, or of the last alone, `[rows, vocabulary]` (a long input then runs
   * in chunks, so that memory stays bounded).
   * The caller frees the result. Throws ShapeError beyond the context and DeviceError where memory is full; the session is
   * then as it was (over a state of fixed size only where no layer had begun).
   */
  append(ids: Int32Array, options: AppendOptions = {}): Tensor {
    const { caches } = this;
    if (this.#broken)
      throw new DeviceError("session: got tokens after a step that failed midway; rewind to 0, or go on from a fork");
    const start = this.length;
    const chunk = options.logits === "last" && !options.watch ? PREFILL_CHUNK : Math.max(1, ids.length);
    let output: Tensor | undefined;
    try {
      // All layers get their pages before the first one runs, so that none is ahead of another when memory ends.
      for (const cache of caches) cache.reserve(start + ids.length);
      for (let from = 0; from === 0 || from < ids.length; from += chunk) {
        output?.free();
        output = this.#step(ids.subarray(from, from + chunk), start + from, options);
      }
    } catch (error) {
      this.#undo(start);
      throw error;
    }
    this.#history.push(ids);
    return output!;
  }

  /** A session that goes on from here by itself; the prefix is held once. Free both. */
  fork(): Session {
    return this.#over(
      this.caches.map((cache) => cache.fork()),
      this.#history.ids,
    );
  }

  /** Forgets all tokens from `length` on. Throws ShapeError where a layer with a state would have to go back to its past. */
  rewind(length: number): void {
    for (const cache of this.caches) cache.checkRewind(length);
    for (const cache of this.caches) cache.rewind(length);
    this.#history.cut(length);
    if (length === 0) this.#broken = false;
  }

  /** Writes tokens and caches to one file, atomically. Throws DeviceError where the disk refuses. */
  save(path: string): Promise<void> {
    return writeSession(path, this);
  }

  /**
   * Goes on from a saved file: the same numbers bit for bit. Throws FormatError for a file that is damaged, of another model or of
   * another cache type, ShapeError where it holds more tokens than the context, DeviceError where memory is full.
   */
  static async load(path: string, model: Model, weights: Weights, options: SessionOptions = {}): Promise<Session> {
    const session = new Session(model, weights, options);
    try {
      session.#history = new History(await readSession(path, session));
      return session;
    } catch (error) {
      session.free();
      throw error;
    }
  }

  free(): void {
    for (const cache of this.caches) cache.free();
  }

  #step(ids: Int32Array, start: number, { form, logits, watch }: AppendOptions): Tensor {
    const { model, weights, caches, cache, machine } = this;
    const t = ids.length;
    const forms = formsFor(model, form, { t, s: start + t, cacheBytes: numberBytes[cache] }, machine);
    const output = scope(this.#devices, () =>
      forward(model, weights, ids, {
        positions: positionsOf(start, t),
        caches,
        form: forms,
        rows: logits === "last" ? [t - 1, t] : undefined,
        watch,
      }),
    );
    this.forms = countForms(this.forms, t, forms);
    return output;
  }

  #over(caches: readonly Cache[], tokens: Int32Array): Session {
    const session: Session = new Session({ ...this.model, layers: [] }, this.weights, {
      cache: this.cache,
      machine: this.machine,
    });
    Object.assign(session, { model: this.model, context: this.context, caches });
    session.#history = new History(tokens);
    return session;
  }

  /** Back to `start` tokens after a failed step. */
  #undo(start: number): void {
    for (const cache of this.caches)
      if (start === 0 || cache.length === start || !Object.keys(cache.state).length) cache.rewind(start);
      else this.#broken = true;
  }
}

const mebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20);

/** Bytes that a session of `tokens` tokens holds in all layers: whole pages of what the variants declare, and their states. */
export function cacheBytes(model: Model, tokens: number, type: CacheType = "f32", elementBytes: 4 | 8 = 4): number {
  return model.layers.reduce(
    (sum, { attention }) => sum + declaredBytes(attention, pageTokens(tokens), type, elementBytes),
    0,
  );
}
