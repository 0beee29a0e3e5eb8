import { declaredBytes } from "../attention/cache.ts";
import { stateValues } from "../attention/define.ts";
import { availableBytes } from "../device/memory.ts";
import { SPACING } from "../generate/snapshots.ts";
import type { Model } from "../model/model.ts";
import { layerDevices, type Weights } from "../model/transformer.ts";
import { type CacheType, PAGE } from "../tensor/page.ts";
import type { Device } from "../tensor/tensor.ts";

/** Share of the memory that is free at first which caches may take; the rest is for what a step computes. */
const SHARE = 0.9;

/** Tokens that no sequence has. */
const FARTHEST = 2 ** 31;

/** A memory that layers lie in, and what their caches take there. */
interface Place {
  readonly device: Device;
  /** Bytes of a page of tokens in all its layers, and of their states. */
  readonly page: number;
  readonly state: number;
  /** Bytes that lay there before any cache, and most bytes of caches. */
  readonly base: number;
  readonly limit: number;
}

/** Bytes in each memory. */
export type Amount = readonly number[];

/**
 * The memory that caches of one model may take, over one device or several. What is held is what the devices say, so that nothing
 * that is shared counts twice and nothing that is forgotten counts not.
 */
export class Room {
  readonly #places: readonly Place[];

  /** `bytes`: most that caches may take; nine tenths of what is free now unless given. */
  constructor(model: Model, weights: Weights, type: CacheType, bytes?: number) {
    const devices = layerDevices(model, weights);
    const sized = [...new Set(devices)].map((device) => {
      const own = model.layers.filter((_, i) => devices[i] === device).map(({ attention }) => attention);
      const sum = (of: (attention: (typeof own)[number]) => number) => own.reduce((total, one) => total + of(one), 0);
      const state = sum(({ variant, sizes }) => stateValues(variant, sizes)) * device.elementBytes;
      const page = sum((one) => declaredBytes(one, PAGE, type, device.elementBytes)) - state;
      return { device, page, state, base: device.liveBytes };
    });
    const all = sized.reduce((sum, { page, state }) => sum + page + state, 0);
    const free = sized.reduce((sum, { device }) => sum + device.freeBytes, 0);
    // Several memories of one process share the machine's.
    const there = Math.min(1, availableBytes() / free || 1);
    this.#places = sized.map((place) => {
      const share = (place.page + place.state) / all;
      const most = SHARE * place.device.freeBytes * there;
      return { ...place, limit: Math.min(most, bytes === undefined ? most : bytes * share) };
    });
  }

  /** Bytes that caches may take in all. */
  get limit(): number {
    return this.#places.reduce((sum, { limit }) => sum + limit, 0);
  }

  /** Bytes that they hold, those that several hold once. */
  get held(): Amount {
    return this.#places.map(({ device, base }) => device.liveBytes - base);
  }

  /** What is left in each memory; below 0 where too much is held. */
  get free(): Amount {
    const { held } = this;
    return this.#places.map(({ device, limit }, i) => Math.min(limit - held[i]!, device.freeBytes));
  }

  /** What a sequence of so many tokens takes: whole pages, its state, and the states that it keeps to come back to. */
  need(tokens: number): Amount {
    return [this.taken(tokens), this.snapshots(tokens)].reduce(sum);
  }

  /** The same without the states to come back to, which go where memory ends. */
  taken(tokens: number): Amount {
    return sum(this.pages(Math.ceil(tokens / PAGE)), this.state);
  }

  /** The states that a sequence of so many tokens keeps to come back to (`Snapshots`), at most. */
  snapshots(tokens: number): Amount {
    const count = 1 + Math.ceil(1.5 * Math.log2(1 + tokens / SPACING));
    return this.state.map((bytes) => count * bytes);
  }

  /** A sequence's states. */
  get state(): Amount {
    return this.#places.map(({ state }) => state);
  }

  /** What so many pages take, one in each layer. */
  pages(count: number): Amount {
    return this.#places.map(({ page }) => count * page);
  }

  /** Whether a sequence of so many tokens has room where nothing else is. */
  holds(tokens: number): boolean {
    return this.#places.every(({ limit }, i) => this.need(tokens)[i]! <= limit);
  }

  /** The most tokens of one sequence alone, up to `most`. */
  longest(most: number): number {
    let [low, high] = [0, Math.min(most, FARTHEST)];
    if (this.holds(high)) return high;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.holds(middle)) low = middle;
      else high = middle;
    }
    return low;
  }
}

/**
 * Most bytes of the caches of each of several models, given the bytes of their weights and of the memory that is there for all of them:
 * equal parts of nine tenths of what weights leave.
 */
export function divideFree(weights: readonly number[], free = availableBytes()): number {
  const left = weights.reduce((rest, bytes) => rest - bytes, free);
  return (SHARE * Math.max(0, left)) / weights.length;
}

/** What is in both. */
export function sum(a: Amount, b: Amount): Amount {
  return a.map((bytes, i) => bytes + b[i]!);
}

/** Whether there is enough in every memory. */
export function covers(free: Amount, need: Amount): boolean {
  return free.every((bytes, i) => bytes >= need[i]!);
}

/** What is left of one without the other, nothing below 0. */
export function without(a: Amount, b: Amount): Amount {
  return a.map((bytes, i) => Math.max(0, bytes - b[i]!));
}

/** In all memories. */
export function total(amount: Amount): number {
  return amount.reduce((all, bytes) => all + bytes, 0);
}
