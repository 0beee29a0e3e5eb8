import { Cache, declaredBytes } from "../attention/cache.ts";
import { commonMachine, type Machine } from "../cost/crossover.ts";
import type { Model } from "../model/model.ts";
import { devicesOf, layerDevices, type Weights } from "../model/transformer.ts";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import { type CacheType, pageTokens } from "../tensor/page.ts";
import type { Device, Tensor } from "../tensor/tensor.ts";
import { goBack, type StepOptions } from "./advance.ts";
import { type FormCounts, type Keep, keepForms } from "./forms.ts";
import { encodeSession, type Past, readSession, type Saved, writeSession } from "./saved.ts";
import { Sequence } from "./sequence.ts";
import { Snapshots } from "./snapshots.ts";
import { appendTogether } from "./together.ts";

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
export interface AppendOptions extends StepOptions {
  /** Logits of all new tokens, or of the last alone. */
  readonly logits?: "all" | "last" | undefined;
}

/** One growing sequence over a cache of what its model's attention leaves behind. */
export class Session {
  readonly context: number;
  /** What steps run on, alone or with those of other sessions (`together.ts`). */
  readonly sequence: Sequence;

  /** Throws DeviceError where the context's cache is larger than what memory is left; nothing is allocated then. */
  constructor(given: Model, weights: Weights, options: SessionOptions = {}) {
    const { context = Number.POSITIVE_INFINITY, cache = "f32", machine = commonMachine, keep = "declared" } = options;
    const { device } = weights.get("embed")!;
    const model = keepForms(given, keep, { context, device, type: cache, machine });
    const homes = layerDevices(model, weights);
    const devices = devicesOf(weights);
    this.context = context;
    if (Number.isFinite(context)) checkRoom(model, homes, devices, context, cache);
    this.sequence = new Sequence(
      { model, weights, devices, cache, machine },
      model.layers.map((layer, i) => new Cache(homes[i]!, layer.attention, context, cache, layer)),
      new Snapshots(options.snapshots),
    );
  }

  get model(): Model {
    return this.sequence.ground.model;
  }

  get weights(): Weights {
    return this.sequence.ground.weights;
  }

  get device(): Device {
    return this.weights.get("embed")!.device;
  }

  get cache(): CacheType {
    return this.sequence.ground.cache;
  }

  get machine(): Machine {
    return this.sequence.ground.machine;
  }

  get caches(): readonly Cache[] {
    return this.sequence.caches;
  }

  /** What ran so far. */
  get forms(): FormCounts {
    return this.sequence.forms;
  }

  /** Tokens seen. */
  get length(): number {
    return this.sequence.length;
  }

  /** The tokens seen. */
  get tokens(): Int32Array {
    return this.sequence.history.ids.slice();
  }

  /** Bytes that the caches hold: `cacheBytes` of its length. */
  get bytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.bytes, 0);
  }

  /** Bytes of these that forks hold as well: all sessions together hold them once. */
  get sharedBytes(): number {
    return this.caches.reduce((sum, cache) => sum + cache.sharedBytes, 0);
  }

  /** Bytes of caches and snapshots that are not in `seen`, which gets them: what forks share counts for the first of them alone. */
  bytesBeside(seen: Set<unknown>): number {
    const snapshots = this.sequence.snapshots.sizeBeside(seen) * this.device.elementBytes;
    return this.caches.reduce((sum, cache) => sum + cache.bytesBeside(seen), snapshots);
  }

  /** Bytes of the states that are kept to come back to; forks hold them together, and they go where memory is needed. */
  get snapshotBytes(): number {
    return this.sequence.snapshots.size * this.device.elementBytes;
  }

  /**
   * Runs new tokens through the model; logits of all of them, or of the last alone, `[rows, vocabulary]` (a long input then runs
   * in chunks, so that memory stays bounded). A step of several sessions at once is `appendTogether`, of which this is the case of one.
   * The caller frees the result. Throws ShapeError beyond the context and DeviceError where memory is full; the session is
   * then as it was (over a state of fixed size as long as there is memory to run again what followed the last snapshot). Where the
   * device tells only later that it has failed, reading the result rejects, and every further call throws DeviceError.
   */
  append(ids: Int32Array, { logits = "all", ...options }: AppendOptions = {}): Tensor {
    return appendTogether([{ session: this, ids, logits }], options);
  }

  /** A session that goes on from here by itself; the prefix is held once. Free both. */
  fork(): Session {
    const { model, weights, machine, cache } = this.sequence.ground;
    const session = new Session({ ...model, layers: [] }, weights, { machine, cache });
    return Object.assign(session, { sequence: this.sequence.fork(), context: this.context });
  }

  /** The longest beginning of at most `length` tokens that `rewind` goes back to without running any again. */
  reachable(length: number): number {
    const { broken, hasState, snapshots } = this.sequence;
    if (length >= this.length && !broken) return this.length;
    return hasState ? (snapshots.at(length)?.length ?? 0) : length;
  }

  /**
   * Forgets all tokens from `length` on. Over layers with a state it goes back to the last snapshot before and runs what follows it
   * again, in the same pieces as at first: at most as many tokens as are forgotten, or a spacing, and one piece more. What was run
   * together with other sessions runs alone then, and equals what it was within rounding.
   * Throws ShapeError for a length that it has not, DeviceError where memory is full: the session is then shorter.
   */
  rewind(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.length)
      throw new ShapeError(`session: got a rewind to ${length} tokens, expected 0 to ${this.length}`);
    if (length < this.length || this.sequence.broken) goBack(this.sequence, length);
  }

  /** Writes tokens and caches to one file, atomically. Throws DeviceError where the disk refuses. */
  save(path: string): Promise<void> {
    return writeSession(path, this);
  }

  /** The same in memory. */
  encode(): Promise<Uint8Array<ArrayBuffer>> {
    return encodeSession(this);
  }

  /**
   * Goes on from a saved file, or from what `encode` gave: the same numbers bit for bit. Throws FormatError for a file that is damaged, of another model or of
   * another cache type, ShapeError where it holds more tokens than the context, DeviceError where memory is full.
   */
  static async load(saved: Saved, model: Model, weights: Weights, options: SessionOptions = {}): Promise<Session> {
    const session = new Session(model, weights, options);
    try {
      session.sequence.restore(await readSession(saved, session));
      return session;
    } catch (error) {
      session.free();
      throw error;
    }
  }

  /** What a file keeps of a past with states: how the tokens were run, and the last snapshot before the newest of them. */
  get past(): Past | undefined {
    const { hasState, steps, snapshots } = this.sequence;
    const { ends, changes } = steps;
    return hasState ? { ends, changes, snapshot: snapshots.at(this.length - 1) } : undefined;
  }

  free(): void {
    this.sequence.free();
  }
}

/** Throws DeviceError where a context's cache is larger than what memory is left. */
function checkRoom(
  model: Model,
  homes: readonly Device[],
  devices: readonly Device[],
  context: number,
  cache: CacheType,
): void {
  for (const device of devices) {
    const layers = model.layers.filter((_, i) => homes[i] === device);
    const [need, free] = [cacheBytes({ ...model, layers }, context, cache, device.elementBytes), device.freeBytes];
    if (need > free)
      throw new DeviceError(
        `session: got a context of ${context} tokens whose ${cache} cache takes ${mebibytes(need)} MiB, expected at most the ` +
          `${mebibytes(free)} MiB that are free; use a smaller context${cache === "q8" ? "" : " or the cache q8"}`,
      );
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
