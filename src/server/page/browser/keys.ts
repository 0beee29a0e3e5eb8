/** Keys that work anywhere on the page. */

/** What keys do. */
export interface KeyActions {
  begin(): void;
  focus(): void;
  stop(): void;
  /** Edits the last question, unless something is being written. */
  edit(): void;
}

const isField = (target: EventTarget | null) =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;

/** Binds them; a dialog that is open has its own. */
export function bindKeys(actions: KeyActions): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const { key, target } = event;
    const plain = !(event.ctrlKey || event.metaKey || event.altKey);
    const wanted = (): (() => void) | undefined => {
      if (key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) return actions.begin;
      if (key === "Escape") return actions.stop;
      if (key === "/" && plain && !isField(target)) return actions.focus;
      const isEmpty = target instanceof HTMLTextAreaElement && target.id === "message" && target.value === "";
      if (key === "ArrowUp" && plain && !event.shiftKey && isEmpty) return actions.edit;
      return undefined;
    };
    const act = wanted();
    if (!act) return;
    event.preventDefault();
    act();
  });
}
