import type { Cache } from "../attention/cache.ts";
import type { Machine } from "../cost/crossover.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { DeviceError } from "../tensor/error.ts";
import type { CacheType } from "../tensor/page.ts";
import type { Device } from "../tensor/tensor.ts";
import { countForms, type FormCounts } from "./forms.ts";
import { History } from "./history.ts";
import type { Past } from "./saved.ts";
import type { Snapshots } from "./snapshots.ts";
import { type Manner, Steps } from "./steps.ts";

/** What all of a sequence's steps have in common. */
export interface Ground {
  readonly model: Model;
  readonly weights: Weights;
  /** Where the weights live. */
  readonly devices: readonly Device[];
  readonly cache: CacheType;
  readonly machine: Machine;
}

/** A growing sequence as steps know it (`advance.ts`): the caches of its layers, and what brought them to where they are. */
export class Sequence {
  readonly ground: Ground;
  /** One per layer. */
  readonly caches: readonly Cache[];
  readonly hasState: boolean;
  /** What ran so far. */
  forms: FormCounts = { prefill: {}, decode: {} };
  history = new History();
  /** How the tokens were run, and states to come back to: of models with layers that have one. */
  steps = new Steps();
  snapshots: Snapshots;
  /** Whether a step over states of fixed size has begun and not ended. */
  broken = false;
  /** Why nothing that is cached counts any longer: a device may tell only later that its memory had ended. */
  lost: DeviceError | undefined;

  constructor(ground: Ground, caches: readonly Cache[], snapshots: Snapshots) {
    this.ground = ground;
    this.caches = caches;
    this.snapshots = snapshots;
    this.hasState = caches.some(({ state }) => Object.keys(state).length > 0);
  }

  /** Tokens seen. */
  get length(): number {
    return this.history.length;
  }

  /** Throws DeviceError where the caches are not what they should be. */
  check(): void {
    if (this.lost) throw this.lost;
    if (this.broken)
      throw new DeviceError("session: got tokens after a step that failed midway; rewind it, or go on from a fork");
  }

  /** All layers get their pages before the first one runs, so that none is ahead of another when memory ends. Throws as `Cache.reserve`. */
  reserve(length: number): void {
    for (const cache of this.caches) cache.reserve(length);
  }

  /** Writes down a step that has run. */
  note(ids: Int32Array, forms: readonly string[], manner: Manner): void {
    this.broken = false;
    this.forms = countForms(this.forms, ids.length, forms);
    this.history.push(ids);
    if (!this.hasState || !ids.length) return;
    this.steps.push(this.length, manner);
    this.snapshots.take(this.caches, this.length);
  }

  /** Forgets all tokens from `length` on; over states, it must be 0 or where a snapshot was taken, whose states are then given. */
  cut(length: number, states?: Past["snapshot"]): void {
    for (const [i, cache] of this.caches.entries()) cache.rewind(length, states?.states[i]);
    this.history.cut(length);
    this.steps.cut(length);
    this.snapshots.cut(length);
    this.broken = false;
  }

  /** The same for another session; what is cached is held once. */
  fork(): Sequence {
    const fork = new Sequence(
      this.ground,
      this.caches.map((cache) => cache.fork()),
      this.snapshots.fork(),
    );
    fork.history = new History(this.history.ids);
    fork.steps = this.steps.fork();
    fork.broken = this.broken;
    fork.lost = this.lost;
    return fork;
  }

  /** Takes what a file kept. */
  restore({ tokens, ends, changes, snapshot }: Past & { readonly tokens: Int32Array }): void {
    this.history = new History(tokens);
    this.steps = new Steps(ends, changes);
    if (snapshot) this.snapshots.add(snapshot.length, snapshot.states);
  }

  /** Tells that a device has failed since. */
  readonly lose = (error: Error): void => {
    const got = `session: got tokens after its device had failed (${error.message}), expected none; begin another one`;
    this.lost ??= new DeviceError(got, { cause: error });
  };

  free(): void {
    for (const cache of this.caches) cache.free();
    this.snapshots.clear();
  }
}
