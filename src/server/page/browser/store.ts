/** Conversations in this browser's storage: as many as fit, the oldest go first. */
import type { Conversation } from "./tree.ts";

/** How many are kept, and how many characters: browsers give a page 5 million or more. */
export const limits = { conversations: 200, characters: 4_000_000 };

const prefix = "biform.chat.";
const keyOf = (id: string) => `${prefix}${id}`;

const isText = (value: unknown) => typeof value === "string";
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether something stored is a conversation; an older page, or somebody's hands, may have left anything. */
function isConversation(value: unknown): value is Conversation {
  if (!isObject(value) || !isText(value.id) || !Number.isFinite(value.changed)) return false;
  if (!isObject(value.settings) || !isObject(value.chosen) || !Array.isArray(value.turns)) return false;
  return value.turns.every(
    (turn: unknown) =>
      isObject(turn) &&
      isText(turn.id) &&
      (turn.parent === null || isText(turn.parent)) &&
      (turn.role === "user" || turn.role === "assistant") &&
      isText(turn.text),
  );
}

function read(key: string): Conversation | undefined {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? "");
    return isConversation(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

const storedKeys = () => Object.keys(localStorage).filter((key) => key.startsWith(prefix));

/** All conversations that are kept, the last changed first. */
export function listConversations(): Conversation[] {
  const found = storedKeys().flatMap((key) => read(key) ?? []);
  return found.toSorted((a, b) => b.changed - a.changed);
}

/** A conversation that is kept; undefined where there is none, or what is there is none. */
export const readConversation = (id: string): Conversation | undefined => read(keyOf(id));
/** Forgets a conversation. */
export const removeConversation = (id: string): void => localStorage.removeItem(keyOf(id));

/** Makes room for a text under a key; gives the conversations that had to go. */
function makeRoom(text: string, key: string): Conversation[] {
  const lengths = new Map(storedKeys().map((other) => [other, localStorage.getItem(other)?.length ?? 0]));
  lengths.set(key, text.length);
  let total = [...lengths.values()].reduce((sum, length) => sum + length, 0);
  const full = () => total > limits.characters || lengths.size > limits.conversations;
  const gone: Conversation[] = [];
  if (!full()) return gone;
  for (const oldest of listConversations().toReversed()) {
    const other = keyOf(oldest.id);
    if (!full()) break;
    if (other === key) continue;
    total -= lengths.get(other) ?? 0;
    lengths.delete(other);
    localStorage.removeItem(other);
    gone.push(oldest);
  }
  return gone;
}

/** What became of a conversation that was to be kept: those that went for it, and whether it is. */
export interface Kept {
  readonly gone: readonly Conversation[];
  readonly kept: boolean;
}

/** Keeps a conversation. One that has no turns yet is not worth it. */
export function keepConversation(conversation: Conversation): Kept {
  if (conversation.turns.length === 0) return { gone: [], kept: true };
  const text = JSON.stringify(conversation);
  const key = keyOf(conversation.id);
  const gone = makeRoom(text, key);
  try {
    localStorage.setItem(key, text);
    return { gone, kept: true };
  } catch {
    // The browser gives less than it mostly does, or nothing.
    return { gone, kept: false };
  }
}

/** Calls back when another tab has changed a conversation. */
export function watchConversations(changed: (id: string) => void): void {
  addEventListener("storage", ({ key }) => {
    if (key?.startsWith(prefix)) changed(key.slice(prefix.length));
  });
}

/** Gives conversations to the user as a file. */
export function exportConversations(conversations: readonly Conversation[], name: string): void {
  const text = JSON.stringify({ format: "biform-chats", version: 1, conversations }, null, 2);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
