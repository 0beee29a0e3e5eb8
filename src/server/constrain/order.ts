import type { Vocabulary } from "./vocabulary.ts";

/** What a thread is to compile. */
export interface Task extends Vocabulary {
  /** How many logits there are, at least as many as tokens. */
  readonly size: number;
  /** Tokens after which nothing follows. */
  readonly end: readonly number[];
  /** The grammar as the library reads it, its first rule called root. */
  readonly grammar: string;
}

/** What a thread is to do: compile a grammar, forget it and all of its sequences; begin a sequence, go on by a token, forget it. */
export type Order =
  | { readonly kind: "compile"; readonly task: Task }
  | { readonly kind: "clear" }
  | { readonly kind: "open"; readonly id: number; readonly shared: Int32Array }
  | { readonly kind: "accept"; readonly id: number; readonly token: number }
  | { readonly kind: "free"; readonly id: number };

/** How a thread answers, where it has something to say; cleared, with the bytes that the library had to be given. */
export type Answer =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "cleared"; readonly bytes: number };

/** The shared numbers of a sequence: how many times it was told what may follow, the state, then a bit for each token. */
export const COUNT = 0;
export const HEAD = 2;

/** Whether something may follow, nothing may, or the last token did not fit. */
export const STATE = { open: 0, done: 1, refused: 2 } as const;
