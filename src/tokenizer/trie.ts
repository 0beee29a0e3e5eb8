import { Pairs } from "./pairs.ts";

/** Texts with a number each, found by their beginnings, code unit by code unit. */
export class Trie {
  readonly #children: Pairs;
  /** By node, the number of the text that ends there; -1 for none. */
  readonly #values: number[] = [-1];

  constructor(expected: number) {
    this.#children = new Pairs(4 * expected);
  }

  /** The text's number; a later one takes the place of an earlier one. An empty text is never found. */
  set(text: string, value: number): void {
    let node = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let child = this.#children.get(node, unit);
      if (child < 0) {
        child = this.#values.push(-1) - 1;
        this.#children.set(node, unit, child);
      }
      node = child;
    }
    this.#values[node] = value;
  }

  /** The node after one more code unit, -1 if no text goes on so; 0 is where all begin. */
  step(node: number, unit: number): number {
    return this.#children.get(node, unit);
  }

  /** The number of the text that ends at a node, -1 if none does. */
  value(node: number): number {
    return this.#values[node]!;
  }

  /** The longest text that stands at `from`, as its number and its end; the number is -1 if there is none. */
  longest(text: string, from: number): { readonly value: number; readonly end: number } {
    let node = 0;
    let value = -1;
    let end = from;
    for (let i = from; i < text.length; i++) {
      node = this.step(node, text.charCodeAt(i));
      if (node < 0) break;
      if (this.value(node) < 0) continue;
      value = this.value(node);
      end = i + 1;
    }
    return { value, end };
  }
}
