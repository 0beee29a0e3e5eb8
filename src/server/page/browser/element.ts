/** The page's elements: those of the document by id, and new ones. */

/** The element of the document with this id; one that is missing is a mistake of ours. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`page: got no #${id}, expected it in page.html`);
  return found as T;
}

/** A new element with attributes and what is in it; text stays text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A button that does something, quiet among text; `name` is what it is called where its text does not say all of it. */
export function makeButton(text: string, act: () => void, name?: string): HTMLButtonElement {
  const button = make("button", { type: "button", class: "quiet" }, text);
  if (name !== undefined) {
    button.ariaLabel = name;
    button.title = name;
  }
  button.addEventListener("click", act);
  return button;
}

/** Shows `words` on a button for a moment. */
export function flash(button: HTMLButtonElement, words: string): void {
  const before = button.textContent;
  if (before === words) return;
  button.textContent = words;
  setTimeout(() => {
    button.textContent = before;
  }, 1500);
}

/** Puts text on the clipboard; pages that came over plain HTTP from another machine have only the old way. */
export async function copyText(text: string): Promise<boolean> {
  if (navigator.clipboard)
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  const before = document.activeElement as HTMLElement | null;
  const field = make("textarea", { class: "hidden", "aria-label": "Text that is copied" });
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}

/** A button that copies what `text` gives when it is pressed, and says whether that went well. */
export function makeCopyButton(text: () => string, name: string): HTMLButtonElement {
  const button = makeButton(
    "Copy",
    () => void copyText(text()).then((copied) => flash(button, copied ? "Copied" : "Not allowed")),
    name,
  );
  return button;
}
