import type { Block } from "../tensor/device.ts";

/** How a value is written once the texts of its arguments are known. */
export type Write = (args: readonly string[]) => string;

/** What a kernel gave, as the Python that gives the same. */
export interface Value {
  readonly shape: readonly number[];
  /** Letters of its axes as specs name them, the tokens' left out. */
  readonly axes: readonly string[];
  /** Whether its first axis counts tokens: then Python has one of sequences before it. */
  readonly tokens: boolean;
  readonly args: readonly Value[];
  readonly write: Write;
  /**
   * "name": a word; "wrap": goes around its argument in one line; "product": stands in a line of its own unless something goes around
   * it; "line": always stands in a line of its own.
   */
  readonly kind: "name" | "wrap" | "product" | "line";
  /** Whether its text is a sum or a product, so that a factor of another needs brackets. */
  readonly loose?: boolean | undefined;
  /** What else the line assigns: an entry of the state. */
  readonly also?: string | undefined;
  /** The name it would have by itself. */
  readonly hint?: string | undefined;
  /** Numbers, where they come from the host. */
  readonly numbers?: Float64Array | undefined;
}

/** Memory that holds no numbers but what was last written there. */
export interface Cell extends Block {
  value?: Value | undefined;
}

/** A value that is a word: a parameter, an argument, an entry of the state. */
export function named(name: string, shape: readonly number[], axes: string, tokens: boolean): Value {
  return { shape, axes: axes.split(" ").filter(Boolean), tokens, args: [], write: () => name, kind: "name" };
}

/** The word that a value is; undefined where it is none. */
export const wordOf = (value: Value): string | undefined => (value.kind === "name" ? value.write([]) : undefined);
