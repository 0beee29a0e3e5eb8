import type { Session } from "../generate/session.ts";
import { PAGE } from "../tensor/page.ts";
import { type Node, Radix } from "./radix.ts";
import { type Room, total } from "./room.ts";

/** A beginning that is kept: a session to fork. */
export interface Prefix {
  readonly realm: string;
  session: Session;
}

/** A session that a sequence can go on from. */
export interface Source {
  readonly session: Session;
  /** Tokens that it has in common with the sequence, and of these those that going back to runs none again. */
  readonly common: number;
  readonly length: number;
  /** Says that a sequence goes on from it. */
  use(): void;
}

/** Sessions looked at behind a place where states are kept: one whose snapshots reach far enough is likely among the first. */
const LOOKS = 8;

/**
 * Beginnings of sequences that were run, for others to go on from: a tree of sessions for each realm, which share their pages. What
 * recomputing costs least by the byte and by the seconds for which it was of no use goes first: the tokens behind the last fork of
 * one sequence, never what others still begin with.
 *
 * Without states a session can be taken back anywhere, so that one at the end of each branch serves all before it; over states each
 * that is kept serves where it ends and at its snapshots.
 */
export class Prefixes {
  hits = 0;
  evictions = 0;
  readonly #trees = new Map<string, Radix<Prefix>>();
  readonly #seconds: (start: number, end: number) => number;
  /** Bytes of a token, and of a sequence's states. */
  readonly #each: number;
  readonly #state: number;
  readonly #limit: number;

  /** `seconds`: what recomputing tokens takes. `limit`: most bytes to keep, however much there is room for. */
  constructor(room: Room, seconds: (start: number, end: number) => number, limit = Number.POSITIVE_INFINITY) {
    this.#each = total(room.pages(1)) / PAGE;
    this.#state = total(room.state);
    this.#seconds = seconds;
    this.#limit = limit;
  }

  /** Whether layers have states. */
  get hasState(): boolean {
    return this.#state > 0;
  }

  /** Places where sequences part or end. */
  get nodes(): number {
    return this.#sum((tree) => tree.size);
  }

  /** Bytes that are kept: what sessions hold together once, which is what forks share, not what merely has the same tokens. */
  get bytes(): number {
    const seen = new Set<unknown>();
    return this.#sum((tree) => {
      let bytes = 0;
      for (const { value } of tree.values()) bytes += value!.session.bytesBeside(seen);
      return bytes;
    });
  }

  /** The session with the most tokens in common with `ids` but for the last, from which logits are to come; undefined: none has any. */
  find(realm: string, ids: Int32Array): Source | undefined {
    const tree = this.#trees.get(realm);
    if (!tree) return undefined;
    const { length: common, node } = tree.match(ids.subarray(0, -1));
    let best: { node: Node<Prefix>; length: number } | undefined;
    for (const one of this.#candidates(tree, node)) {
      const length = one.value!.session.reachable(Math.min(common, one.end));
      if (length > (best?.length ?? 0)) best = { node: one, length };
      if (length === common) break;
    }
    if (!best) return undefined;
    // Whoever asks may have to make room first, which must not be this one's.
    touch(this.hasState ? best.node : node);
    const use = () => {
      this.hits++;
    };
    return { session: best.node.value!.session, common, length: best.length, use };
  }

  /** Tokens in common with any that is kept, but for the last of `ids`, whether or not a session can be taken back to there. */
  shared(realm: string, ids: Int32Array): number {
    return this.#trees.get(realm)?.match(ids.subarray(0, -1)).length ?? 0;
  }

  /** Takes a session over, which nobody else uses, for others to go on from. */
  keep(realm: string, session: Session): void {
    const ids = session.tokens;
    const tree = this.#trees.get(realm) ?? new Radix<Prefix>();
    const { length, node: behind } = tree.match(ids);
    // Somebody's session goes on from here already.
    const known = !this.hasState && length === ids.length;
    if (!ids.length || known || this.#limit <= 0) {
      session.free();
      touch(behind);
      return;
    }
    this.#trees.set(realm, tree);
    const { node, replaced } = tree.add(ids, { realm, session });
    replaced?.session.free();
    touch(node);
    for (let up = node.parent; up && !this.hasState; up = up.parent) {
      up.value?.session.free();
      if (up.value) tree.remove(up);
    }
    while (this.bytes > this.#limit && this.evict());
  }

  /** All that are kept, those that were of use last first. */
  get all(): Prefix[] {
    const nodes = [...this.#trees.values()].flatMap((tree) => [...tree.values()]);
    return nodes.sort((a, b) => b.used - a.used).map(({ value }) => value!);
  }

  /** Gives back what is worth least. @returns whether there was anything. */
  evict(): boolean {
    let least: { tree: Radix<Prefix>; node: Node<Prefix>; worth: number } | undefined;
    const now = performance.now();
    for (const tree of this.#trees.values())
      for (const node of tree.values()) {
        const start = this.#startOf(node);
        const bytes = (node.end - start) * this.#each + this.#state;
        const worth = this.#seconds(start, node.end) / (bytes * (1 + now - node.used));
        if (worth < (least?.worth ?? Number.POSITIVE_INFINITY)) least = { tree, node, worth };
      }
    if (!least) return false;
    this.evictions++;
    this.#drop(least.tree, least.node);
    return true;
  }

  /** Gives all back. */
  clear(): void {
    for (const tree of this.#trees.values()) for (const { value } of tree.values()) value!.session.free();
    this.#trees.clear();
  }

  *#candidates(tree: Radix<Prefix>, node: Node<Prefix>): Generator<Node<Prefix>, void, undefined> {
    let looks = 0;
    for (const one of tree.values(node)) {
      yield one;
      if (++looks === LOOKS) break;
    }
    for (let up = node.parent; up; up = up.parent) if (up.value) yield up;
  }

  /** Where the tokens begin that only this one has. */
  #startOf({ parent }: Node<Prefix>): number {
    let up = parent;
    while (this.hasState && up?.parent && !up.value) up = up.parent;
    return up?.end ?? 0;
  }

  #drop(tree: Radix<Prefix>, node: Node<Prefix>): void {
    const { session, realm } = node.value!;
    const { parent } = node;
    if (!this.hasState && parent?.parent && parent.children.size === 1) {
      // What it went on from has nobody else to keep it.
      session.rewind(parent.end);
      tree.shorten(node);
      return;
    }
    session.free();
    tree.remove(node);
    if (!tree.size) this.#trees.delete(realm);
  }

  #sum(of: (tree: Radix<Prefix>) => number): number {
    let all = 0;
    for (const tree of this.#trees.values()) all += of(tree);
    return all;
  }
}

/** It, and all that leads to it, was of use now. */
function touch(node: Node<Prefix>): void {
  const now = performance.now();
  for (let up: Node<Prefix> | undefined = node; up; up = up.parent) up.used = now;
}
