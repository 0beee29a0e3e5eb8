/** Conversations as trees: an edit or another answer is a branch beside the first, and one path through them is shown. */
import type { Figures } from "./figures.ts";
import type { Problem } from "./problem.ts";

/** A tool that the model asks for, with its arguments as it wrote them: JSON, mostly. */
export interface Call {
  id: string;
  name: string;
  arguments: string;
}

/** One message. What is absent was not there. */
export interface Turn {
  readonly id: string;
  /** The turn that it follows; null for the first ones. */
  readonly parent: string | null;
  readonly role: "user" | "assistant";
  text: string;
  reasoning?: string;
  calls?: Call[];
  /** Why it ended, in the API's words, or "stopped" by the user. */
  finish?: string;
  problem?: Problem;
  figures?: Figures;
  /** The model that wrote it. */
  model?: string;
}

/** How the next answers are sampled; what is absent is as the model says. */
export interface Settings {
  readonly system?: string | undefined;
  readonly temperature?: number | undefined;
  readonly top_p?: number | undefined;
  readonly min_p?: number | undefined;
  readonly max_tokens?: number | undefined;
  readonly seed?: number | undefined;
}

export interface Conversation {
  readonly id: string;
  /** Milliseconds since 1970 of its last change. */
  changed: number;
  settings: Settings;
  readonly turns: Turn[];
  /** The branch taken after a turn, by its id; "" for the first turns. The last one where none is named. */
  readonly chosen: Record<string, string>;
}

/** A name that no other thing has: 12 random bytes, where `crypto.randomUUID` asks for an encrypted connection. */
export function makeId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A conversation without turns. */
export function makeConversation(settings: Settings): Conversation {
  return { id: makeId(), changed: Date.now(), settings, turns: [], chosen: {} };
}

const followers = (conversation: Conversation, parent: string | null) =>
  conversation.turns.filter((turn) => turn.parent === parent);

/** The turns that are shown, first to last. */
export function pathOf(conversation: Conversation): Turn[] {
  const path: Turn[] = [];
  for (;;) {
    const parent = path.at(-1)?.id ?? null;
    const next = followers(conversation, parent);
    const turn = next.find(({ id }) => id === conversation.chosen[parent ?? ""]) ?? next.at(-1);
    if (!turn) return path;
    path.push(turn);
  }
}

/** A turn and those in its place on other branches, oldest first. */
export const besides = (conversation: Conversation, { parent }: Turn): Turn[] => followers(conversation, parent);

/** Shows the branch that a turn is on. */
export function choose(conversation: Conversation, turn: Turn): void {
  conversation.chosen[turn.parent ?? ""] = turn.id;
}

/** Adds a turn after another one, null for a first one, and shows it. */
export function addTurn(conversation: Conversation, parent: string | null, role: Turn["role"], text: string): Turn {
  const turn: Turn = { id: makeId(), parent, role, text };
  conversation.turns.push(turn);
  choose(conversation, turn);
  return turn;
}

/** The turns that lead to one, itself included, first to last. */
export function leadTo(conversation: Conversation, turn: Turn): Turn[] {
  const path = [turn];
  for (let at = turn; at.parent !== null; path.unshift(at)) {
    const before = conversation.turns.find(({ id }) => id === at.parent);
    if (!before) break;
    at = before;
  }
  return path;
}

/** What a conversation is called: the beginning of its first question. */
export function titleOf(conversation: Conversation): string {
  const first =
    conversation.turns
      .find(({ role }) => role === "user")
      ?.text.trim()
      .replaceAll(/\s+/g, " ") ?? "";
  return first.length > 80 ? `${first.slice(0, 79).trimEnd()}…` : first || "New chat";
}
