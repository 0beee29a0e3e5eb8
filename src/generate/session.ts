import { Cache, declaredBytes } from "../attention/cache.ts";
import { commonMachine, type Machine } from "../cost/crossover.ts";
import { PREFILL_CHUNK } from "../cost/host.ts";
import type { Model } from "../model/model.ts";
import { forward, layerDevices, type Weights } from "../model/transformer.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import { type CacheType, numberBytes, pageTokens } from "../tensor/page.ts";
import { type Device, scope, type Tensor } from "../tensor/tensor.ts";
import { countForms, type FormCounts, formsFor, type Keep, keepForms } from "./forms.ts";
import { History } from "./history.ts";
import { type Past, readSession, writeSession } from "./saved.ts";
import { Snapshots } from "./snapshots.ts";
import { Steps } from "./steps.ts";

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
  /** Tokens between the states that are kept to come back to, where layers have a state: 256 unless given, 0 for none. */
  readonly snapshots?: number | undefined;
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
  /** How the tokens were run, and states to come back to: of models with layers that have one. */
  #steps = new Steps();
  #snapshots: Snapshots;
  /** Whether a step over states of fixed size has begun and not ended. */
  #broken = false;
  /** Why nothing that is cached counts any longer: a device may tell only later that its memory had ended. */
  #lost: DeviceError | undefined;

  /** Throws DeviceError where the context's cache is larger than what memory is left; nothing is allocated then. */
  constructor(given: Model, weights: Weights, options: SessionOptions = {}) {
    const { context = Number.POSITIVE_INFINITY, cache = "f32", machine = commonMachine, keep = "declared" } = options;
    this.#snapshots = new Snapshots(options.snapshots);
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

  /** Bytes of the states that are kept to come back to; forks hold them together, and they go where memory is needed. */
  get snapshotBytes(): number {
    return this.#snapshots.size * this.device.elementBytes;
  }

  /**
   * Runs new tokens through the model; logits of all of them, or of the last alone, `[rows, vocabulary]` (a long input then runs
   * in chunks, so that memory stays bounded).
   * The caller frees the result. Throws ShapeError beyond the context and DeviceError where memory is full; the session is
   * then as it was (over a state of fixed size as long as there is memory to run again what followed the last snapshot). Where the
   * device tells only later that it has failed, reading the result rejects, and every further call throws DeviceError.
   */
  append(ids: Int32Array, options: AppendOptions = {}): Tensor {
    if (this.#lost) throw this.#lost;
    if (this.#broken)
      throw new DeviceError("session: got tokens after a step that failed midway; rewind it, or go on from a fork");
    const start = this.length;
    const chunk = options.logits === "last" && !options.watch ? PREFILL_CHUNK : Math.max(1, ids.length);
    let output: Tensor | undefined;
    try {
      this.#reserve(start + ids.length);
      for (let from = 0; from === 0 || from < ids.length; from += chunk) {
        output?.free();
        output = this.#advance(ids.subarray(from, from + chunk), options);
      }
    } catch (error) {
      this.#undo(start);
      throw error;
    }
    for (const device of this.#devices) device.fence().catch(this.#lose);
    return output!;
  }

  /** A session that goes on from here by itself; the prefix is held once. Free both. */
  fork(): Session {
    return this.#over(this.caches.map((cache) => cache.fork()));
  }

  /** The longest beginning of at most `length` tokens that `rewind` goes back to without running any again. */
  reachable(length: number): number {
    if (length >= this.length && !this.#broken) return this.length;
    return this.#hasState ? (this.#snapshots.at(length)?.length ?? 0) : length;
  }

  /**
   * Forgets all tokens from `length` on. Over layers with a state it goes back to the last snapshot before and runs what follows it
   * again, in the same pieces as at first: at most as many tokens as are forgotten, or a spacing, and one piece more.
   * Throws ShapeError for a length that it has not, DeviceError where memory is full: the session is then shorter.
   */
  rewind(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.length)
      throw new ShapeError(`session: got a rewind to ${length} tokens, expected 0 to ${this.length}`);
    if (length === this.length && !this.#broken) return;
    const from = this.#hasState ? this.#snapshots.at(length) : undefined;
    const start = this.#hasState ? (from?.length ?? 0) : length;
    const again = this.#history.ids.slice(start, length);
    const strides = this.#steps.between(start, length);
    for (const [i, cache] of this.caches.entries()) cache.rewind(start, from?.states[i]);
    this.#history.cut(start);
    this.#steps.cut(start);
    this.#snapshots.cut(start);
    this.#broken = false;
    this.#reserve(length);
    for (const { start: first, end, form } of strides)
      this.#advance(again.subarray(first - start, end - start), { form, logits: "last" }).free();
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
      const { tokens, ends, snapshot } = await readSession(path, session);
      session.#history = new History(tokens);
      session.#steps = new Steps(ends);
      if (snapshot) session.#snapshots.add(snapshot.length, snapshot.states);
      return session;
    } catch (error) {
      session.free();
      throw error;
    }
  }

  /** What a file keeps of a past with states: how the tokens were run, and the last snapshot before the newest of them. */
  get past(): Past | undefined {
    if (!this.#hasState) return undefined;
    return { ends: this.#steps.ends, snapshot: this.#snapshots.at(this.length - 1) };
  }

  free(): void {
    for (const cache of this.caches) cache.free();
    this.#snapshots.clear();
  }

  get #hasState(): boolean {
    return this.caches.some(({ state }) => Object.keys(state).length > 0);
  }

  /** All layers get their pages before the first one runs, so that none is ahead of another when memory ends; snapshots go first. */
  #reserve(length: number): void {
    const reserve = () => {
      for (const cache of this.caches) cache.reserve(length);
    };
    try {
      reserve();
    } catch (error) {
      if (!(error instanceof DeviceError && this.#snapshots.clear())) throw error;
      reserve();
    }
  }

  /** Runs tokens and writes them down. */
  #advance(ids: Int32Array, options: AppendOptions): Tensor {
    const output = this.#step(ids, this.length, options);
    this.#history.push(ids);
    if (this.#hasState && ids.length) {
      this.#steps.push(this.length, options.form);
      this.#snapshots.take(this.caches, this.length);
    }
    return output;
  }

  #step(ids: Int32Array, start: number, { form, logits, watch }: AppendOptions): Tensor {
    const { model, weights, caches, cache, machine } = this;
    const t = ids.length;
    const forms = formsFor(model, form, { t, s: start + t, cacheBytes: numberBytes[cache] }, machine);
    this.#broken = this.#hasState;
    const output = scope(this.#devices, () =>
      forward(model, weights, ids, {
        positions: positionsOf(start, t),
        caches,
        form: forms,
        rows: logits === "last" ? [t - 1, t] : undefined,
        watch,
      }),
    );
    this.#broken = false;
    this.forms = countForms(this.forms, t, forms);
    return output;
  }

  #over(caches: readonly Cache[]): Session {
    const session: Session = new Session({ ...this.model, layers: [] }, this.weights, {
      cache: this.cache,
      machine: this.machine,
    });
    Object.assign(session, { model: this.model, context: this.context, caches });
    session.#history = new History(this.#history.ids);
    session.#steps = this.#steps.fork();
    session.#snapshots = this.#snapshots.fork();
    session.#broken = this.#broken;
    session.#lost = this.#lost;
    return session;
  }

  readonly #lose = (error: Error) => {
    const got = `session: got tokens after its device had failed (${error.message}), expected none; begin another one`;
    this.#lost ??= new DeviceError(got, { cause: error });
  };

  /** Back to `start` tokens after a step that failed. */
  #undo(start: number): void {
    if (!this.#hasState || (!this.#broken && this.length === start)) {
      for (const cache of this.caches) cache.rewind(start);
      this.#history.cut(start);
      return;
    }
    try {
      this.rewind(start);
    } catch (error) {
      this.#broken = true;
      // What failed first is what is told.
      if (!(error instanceof DeviceError)) throw error;
    }
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
