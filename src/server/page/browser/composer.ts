/** Where messages are written: a field that grows, and a button that sends or stops. */
import { context, whole } from "../../../draw/quantity.ts";
import { byId } from "./element.ts";
import type { Figures } from "./figures.ts";
import { rateText } from "./note.ts";

/** The field for messages with its buttons; it shows how the answer goes. */
export class Composer {
  readonly #field = byId<HTMLTextAreaElement>("message");
  readonly #send = byId<HTMLButtonElement>("send");
  readonly #stop = byId<HTMLButtonElement>("stop");
  #busy = false;
  /** When the rate was shown last. */
  #rated = Number.NEGATIVE_INFINITY;

  constructor(send: (text: string) => void, stop: () => void) {
    const form = byId<HTMLFormElement>("composer");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#field.value;
      if (this.#busy || !text.trim()) return;
      this.#field.value = "";
      this.#grow();
      send(text);
    });
    this.#stop.addEventListener("click", stop);
    this.#field.addEventListener("input", () => this.#grow());
    this.#field.addEventListener("keydown", (event) => {
      // While an input method is composing, Enter is its own.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }

  /** Whether nothing is written in it. */
  get empty(): boolean {
    return this.#field.value === "";
  }

  focus(): void {
    // A phone would open its keyboard over the page.
    if (matchMedia("(hover: hover)").matches) this.#field.focus();
  }

  /** Shows whether an answer is on its way, and how much of the context the last one left. */
  show(busy: boolean, figures: Figures | undefined, length: number | undefined): void {
    this.#busy = busy;
    if (!busy) this.showRate(undefined);
    const focused = document.activeElement;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (focused === this.#stop || focused === this.#send) (busy ? this.#stop : this.#field).focus();
    const used = (figures?.prompt ?? 0) + (figures?.written ?? 0);
    byId("filled").textContent =
      figures?.prompt !== undefined && length !== undefined
        ? `${whole(used)} of ${context(length)} tokens of context`
        : "";
  }

  /** Says how fast an answer is written, where its note has no place of its own; nothing where that is not known. */
  showRate(rate: number | undefined): void {
    const now = performance.now();
    if (rate !== undefined && now - this.#rated < 250) return;
    this.#rated = now;
    byId("live").textContent = rate === undefined ? "" : `${rateText(rate)} tokens/s`;
  }

  /** As high as its text, where the browser does not see to that. */
  #grow(): void {
    if (CSS.supports("field-sizing", "content")) return;
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight + 2}px`;
  }
}
