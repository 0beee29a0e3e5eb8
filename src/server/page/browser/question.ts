/** A question as it is shown: its text, to be edited in its place. */
import { drawBranches } from "./branch.ts";
import { make, makeButton, makeCopyButton } from "./element.ts";
import type { Turn } from "./tree.ts";
import type { Actions, TurnView } from "./view.ts";

/** A question as it is shown, which can be edited in its place. */
export class QuestionView implements TurnView {
  readonly element: HTMLElement;
  readonly turn: Turn;
  readonly #actions: Actions;
  readonly #body = make("div", { class: "body" });
  readonly #branches = make("span", { class: "branches" });
  readonly #edit: HTMLButtonElement;

  constructor(turn: Turn, actions: Actions) {
    this.turn = turn;
    this.#actions = actions;
    this.#body.textContent = turn.text;
    this.#edit = makeButton("Edit", () => this.edit(), "Edit this message");
    const copy = makeCopyButton(() => turn.text, "Copy this message");
    const foot = make("footer", {}, this.#branches, this.#edit, copy);
    this.element = make("article", { class: "turn question", "aria-label": "You" }, this.#body, foot);
  }

  /** Puts a field in the text's place; what is sent from it is a branch of its own. */
  edit(): void {
    if (this.#actions.busy() || this.element.querySelector("form")) return;
    const field = make("textarea", { "aria-label": "Edit your message", rows: "2" });
    field.value = this.turn.text;
    const send = make("button", { type: "submit", class: "main" }, "Send");
    const cancel = makeButton("Cancel", () => this.#close(form));
    const form = make("form", {}, field, make("div", { class: "row" }, send, cancel));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (field.value.trim()) this.#actions.revise(this.turn, field.value);
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      } else if (event.key === "Escape") {
        event.stopPropagation();
        this.#close(form);
      }
    });
    this.#body.hidden = true;
    this.#body.after(form);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  #close(form: HTMLFormElement): void {
    form.remove();
    this.#body.hidden = false;
    this.#edit.focus();
  }

  update(): void {
    drawBranches(this.#branches, this.turn, this.#actions.besides(this.turn), this.#actions.show);
  }
}
