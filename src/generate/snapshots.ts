import type { Cache } from "../attention/cache.ts";
import type { Parts } from "../attention/define.ts";
import { DeviceError } from "../tensor/error.ts";

/** The states of all layers as they were after some tokens. Forks hold it together. */
interface Snapshot {
  readonly length: number;
  /** One per layer; empty for a layer without a state. */
  readonly states: readonly Parts[];
  owners: number;
}

/** Tokens between two snapshots unless a session is told otherwise. */
export const SPACING = 256;

/**
 * States of fixed size that a session can go back to. One is taken every so many tokens, and the farther back the fewer are kept:
 * going back by k tokens finds one at most k tokens (or one spacing) before where it goes, and over a sequence of n spacings about
 * 1.5 log2 n are held. They are given back where memory is needed for more tokens.
 */
export class Snapshots {
  /** Tokens between two; 0: none are taken. */
  readonly spacing: number;
  #kept: Snapshot[] = [];

  constructor(spacing: number = SPACING) {
    this.spacing = spacing;
  }

  /** Numbers that are held. */
  get size(): number {
    return this.#kept.reduce((sum, { states }) => sum + sizeOf(states), 0);
  }

  /** Numbers that are held and are not in `seen`, which gets them: those of forks count for the first alone. */
  sizeBeside(seen: Set<unknown>): number {
    const fresh = this.#kept.filter((one) => !seen.has(one));
    for (const one of fresh) seen.add(one);
    return fresh.reduce((sum, { states }) => sum + sizeOf(states), 0);
  }

  /** The longest beginning of at most `length` tokens whose states are here; undefined: only that of no tokens. */
  at(length: number): { readonly length: number; readonly states: readonly Parts[] } | undefined {
    return this.#kept.findLast((one) => one.length <= length);
  }

  /** Takes one where these caches have come a spacing further. Where there is no room, none is kept. */
  take(caches: readonly Cache[], length: number): void {
    const index = this.#indexOf(length);
    if (index === 0 || index <= this.#indexOf(this.#kept.at(-1)?.length ?? 0)) return;
    const states: Parts[] = [];
    try {
      for (const cache of caches) states.push(cache.snapshot());
    } catch (error) {
      free(states);
      if (!(error instanceof DeviceError)) throw error;
      this.clear();
      return;
    }
    this.add(length, states);
  }

  /** Keeps states that a file held. */
  add(length: number, states: readonly Parts[]): void {
    this.#kept.push({ length, states, owners: 1 });
    this.#keepWhere((one) => length - one.length <= 3 * this.spacing * largestPower(this.#indexOf(one.length)));
  }

  /** Forgets those after more than `length` tokens. */
  cut(length: number): void {
    this.#keepWhere((one) => one.length <= length);
  }

  /** Gives all back. @returns whether there were any. */
  clear(): boolean {
    const any = this.#kept.length > 0;
    this.#keepWhere(() => false);
    return any;
  }

  /** The same for another session, held once. */
  fork(): Snapshots {
    const fork = new Snapshots(this.spacing);
    for (const one of this.#kept) one.owners++;
    fork.#kept = [...this.#kept];
    return fork;
  }

  #indexOf(length: number): number {
    return this.spacing > 0 ? Math.floor(length / this.spacing) : 0;
  }

  #keepWhere(keeps: (one: Snapshot) => boolean): void {
    const kept: Snapshot[] = [];
    for (const one of this.#kept)
      if (keeps(one)) kept.push(one);
      else if (--one.owners === 0) free(one.states);
    this.#kept = kept;
  }
}

const sizeOf = (states: readonly Parts[]) =>
  states.reduce((sum, parts) => sum + Object.values(parts).reduce((all, { size }) => all + size, 0), 0);

function free(states: readonly Parts[]): void {
  for (const parts of states) for (const t of Object.values(parts)) t.free();
}

/** The largest power of two that divides n; 1 for 0. */
const largestPower = (n: number) => (n ? n & -n : 1);
