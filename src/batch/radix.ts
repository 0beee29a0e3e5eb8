/** A place in the tree: what all sequences that pass it begin with. */
export interface Node<V> {
  readonly parent: Node<V> | undefined;
  /** The tokens between its parent and it; none at the root. */
  readonly ids: Int32Array;
  /** Tokens from the root up to it. */
  readonly end: number;
  /** What goes on from here, by its first token. */
  readonly children: ReadonlyMap<number, Node<V>>;
  /** Set where a sequence ends that was added. */
  readonly value: V | undefined;
  /** When it was last of use, by whoever says so. */
  used: number;
}

interface Inner<V> extends Node<V> {
  parent: Inner<V> | undefined;
  ids: Int32Array;
  children: Map<number, Inner<V>>;
  value: V | undefined;
}

/**
 * Sequences of token ids, each with a value, by what they have in common: a radix tree. It holds exactly the beginnings of the
 * sequences that were added and not removed. Where it once forked it stays cut, so that what lies behind can go by itself.
 */
export class Radix<V> {
  readonly #root: Inner<V> = nodeOf<V>(undefined, new Int32Array(), 0);
  /** Tokens on all its edges: beginnings that differ. */
  tokens = 0;
  /** Nodes but the root. */
  size = 0;

  get root(): Node<V> {
    return this.#root;
  }

  /** Puts a value where `ids` end; one that is there is replaced, and given back. One token at least. */
  add(ids: Int32Array, value: V): { readonly node: Node<V>; readonly replaced: V | undefined } {
    let [node, at] = this.#walk(ids);
    if (at < node.end) node = this.#cut(node, at);
    if (at < ids.length) {
      const leaf = nodeOf(node, ids.slice(at), ids.length);
      node.children.set(ids[at]!, leaf);
      this.tokens += leaf.ids.length;
      this.size++;
      node = leaf;
    }
    const replaced = node.value;
    node.value = value;
    return { node, replaced };
  }

  /** How many of `ids`, from the first on, some sequence begins with, and the first node at or behind that place. */
  match(ids: Int32Array): { readonly length: number; readonly node: Node<V> } {
    const [node, length] = this.#walk(ids);
    return { length, node };
  }

  /** Takes a value out, and all that led to it alone. */
  remove(of: Node<V>): void {
    let node = of as Inner<V>;
    node.value = undefined;
    while (node.parent && node.value === undefined && node.children.size === 0) {
      const { parent } = node;
      parent.children.delete(node.ids[0]!);
      this.tokens -= node.ids.length;
      this.size--;
      node = parent;
    }
  }

  /** Moves a leaf's value to its parent, which must have none and no other child: the sequence ends earlier. */
  shorten(of: Node<V>): Node<V> {
    const { parent, value } = of as Inner<V>;
    parent!.value = value;
    this.remove(of);
    return parent!;
  }

  /** Nodes with a value at or behind one, nearest ones first. */
  *values(from: Node<V> = this.#root): Generator<Node<V>, void, undefined> {
    const nodes = [from];
    for (let node = nodes.shift(); node; node = nodes.shift()) {
      if (node.value !== undefined) yield node;
      nodes.push(...node.children.values());
    }
  }

  /** Where `ids` part from the tree: the node at or behind that place, and the tokens up to it. */
  #walk(ids: Int32Array): [Inner<V>, number] {
    let node = this.#root;
    for (let at = 0; ; ) {
      const next = node.children.get(ids[at] ?? -1);
      if (!next) return [node, at];
      const start = at;
      while (at < ids.length && at < next.end && next.ids[at - start] === ids[at]) at++;
      if (at < next.end) return [next, at];
      node = next;
    }
  }

  /** A node of its own for the first tokens of another's edge. */
  #cut(node: Inner<V>, end: number): Inner<V> {
    const { parent, ids } = node;
    const length = end - parent!.end;
    const upper = nodeOf(parent, ids.slice(0, length), end);
    upper.used = node.used;
    upper.children.set(ids[length]!, node);
    parent!.children.set(ids[0]!, upper);
    node.parent = upper;
    node.ids = ids.slice(length);
    this.size++;
    return upper;
  }
}

function nodeOf<V>(parent: Inner<V> | undefined, ids: Int32Array, end: number): Inner<V> {
  return { parent, ids, end, children: new Map(), value: undefined, used: 0 };
}
