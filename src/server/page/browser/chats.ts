/** The list of conversations: to open, to give away as a file, to delete and to have back. */
import { byId, make, makeButton } from "./element.ts";
import { exportConversations, keepConversation, listConversations, removeConversation } from "./store.ts";
import { type Conversation, titleOf } from "./tree.ts";

/** What the list does with the page. */
export interface ChatActions {
  open(conversation: Conversation): void;
  begin(): void;
  /** Whether an answer is being written in a conversation. */
  busy(conversation: Conversation): boolean;
  /** It was deleted. */
  gone(conversation: Conversation): void;
}

/** A name for a file, from a title and today's date. */
function fileName(title: string): string {
  const words = title.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-");
  return `${words.slice(0, 40).replaceAll(/^-+|-+$/g, "") || "chat"}-${new Date().toISOString().slice(0, 10)}.json`;
}

/** The list of conversations at the side: opens, begins, exports and deletes them. */
export class ChatList {
  readonly #actions: ChatActions;
  readonly #list = byId("chat-list");
  readonly #undo = byId("undo");
  readonly #panel = byId("chats");
  readonly #room = byId("room");
  readonly #shade = byId("shade");
  readonly #opener = byId<HTMLButtonElement>("open-chats");

  constructor(actions: ChatActions) {
    this.#actions = actions;
    byId("new-chat").addEventListener("click", () => actions.begin());
    byId("export-all").addEventListener("click", () =>
      exportConversations(listConversations(), fileName("biform chats")),
    );
    this.#opener.addEventListener("click", () => this.toggle(true));
    this.#shade.addEventListener("click", () => this.toggle(false));
  }

  /** Whether the list lies over the page, as it does on a phone when it is asked for. */
  get opened(): boolean {
    return this.#panel.dataset.open !== undefined;
  }

  /** Lays the list over the page, or away; nothing where both have room. */
  toggle(open: boolean): void {
    if (open === this.opened) return;
    this.#panel.toggleAttribute("data-open", open);
    this.#opener.ariaExpanded = String(open);
    this.#room.inert = open;
    this.#shade.hidden = !open;
    if (open) byId("new-chat").focus();
    else this.#opener.focus();
  }

  /** Draws the list; `current` is the conversation that is shown. */
  draw(current: Conversation): void {
    const items = listConversations().map((conversation) => {
      const title = titleOf(conversation);
      const own = conversation.id === current.id;
      const open = makeButton(title, () => this.#actions.open(conversation));
      open.className = "title";
      open.title = title;
      if (own) open.ariaCurrent = "true";
      const item = make("li", {}, open);
      if (this.#actions.busy(conversation))
        item.append(make("span", { class: "busy", role: "img", "aria-label": "is being answered" }));
      if (own)
        item.append(
          make(
            "div",
            { class: "row" },
            makeButton("Export", () => exportConversations([conversation], fileName(title)), `Export: ${title}`),
            makeButton("Delete", () => this.#delete(conversation), `Delete: ${title}`),
          ),
        );
      return item;
    });
    // What has the focus keeps it, by its place and its words.
    const focused = this.#list.contains(document.activeElement) ? document.activeElement?.textContent : undefined;
    this.#list.replaceChildren(...items);
    if (focused !== undefined)
      [...this.#list.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  }

  #delete(conversation: Conversation): void {
    removeConversation(conversation.id);
    this.#actions.gone(conversation);
    const undo = makeButton("Undo", () => {
      keepConversation(conversation);
      this.#undo.replaceChildren();
      this.#actions.open(conversation);
    });
    this.#undo.replaceChildren(make("span", {}, `Deleted: ${titleOf(conversation)} `), undo);
    undo.focus();
  }

  /** What was deleted is gone for good. */
  forget(): void {
    this.#undo.replaceChildren();
  }
}
