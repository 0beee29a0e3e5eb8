/** Fields of the page that are keys of the state: by id, or by name where several belong together. One reader serves them and links. */
import { byId } from "./element.ts";
import { type Field, fields, type State, type Store } from "./state.ts";

type Input = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;
type Key = keyof typeof fields;

const grouped = ({ type }: Input) => type === "radio" || type === "checkbox";

/** The key of the state that an element edits; undefined where it is another element. */
function keyOf(element: EventTarget | null): Key | undefined {
  const { id, name } = element as Input;
  const key = grouped(element as Input) ? name : id;
  return Object.hasOwn(fields, key) ? (key as Key) : undefined;
}

const inputs = () => [...document.querySelectorAll<Input>("input, select, textarea")].filter((one) => keyOf(one));

function textOf(input: Input, key: Key): string {
  if (input.type !== "checkbox") return input.value;
  return [...document.querySelectorAll<HTMLInputElement>(`input[name=${key}]:checked`)]
    .map(({ value }) => value)
    .join(" ");
}

/** Makes what is typed or chosen the state's; what a key cannot take is told of beside it and changes nothing. */
export function bindFields(store: Store): void {
  for (const kind of ["input", "change"] as const)
    document.addEventListener(kind, ({ target }) => {
      const key = keyOf(target);
      if (!key) return;
      const input = target as Input;
      const { read, expected } = fields[key] as Field<unknown>;
      const typed = textOf(input, key);
      const found = read(typed);
      input.setAttribute("aria-invalid", String(found === undefined));
      tell(input, found === undefined ? `${key}: got "${typed.slice(0, 40)}", expected ${expected}` : "");
      const more = key === "config" ? { title: "config.json", bytes: 0, rest: 0 } : {};
      if (found !== undefined) store.change({ [key]: found, ...more }, { passing: kind === "input" });
    });
}

/** Words about a field, where its group has room for them. */
function tell(input: Input, words: string): void {
  const place = input.closest("fieldset, section")?.querySelector("[data-problem]");
  if (place) place.textContent = words;
}

/** Puts the state into the fields; the one that is being typed in keeps what stands there. */
export function fillFields(state: State): void {
  for (const input of inputs()) {
    const value = state[keyOf(input)!];
    if (input.type === "radio") (input as HTMLInputElement).checked = input.value === value;
    else if (input.type === "checkbox")
      (input as HTMLInputElement).checked = (value as readonly string[]).includes(input.value);
    else {
      const text = Array.isArray(value) ? value.join(" ") : String(value);
      if (input !== document.activeElement && input.value !== text) {
        input.value = text;
        input.removeAttribute("aria-invalid");
      }
    }
  }
  for (const part of document.querySelectorAll<HTMLElement>("[data-kind]"))
    part.hidden = !part.dataset.kind!.split(" ").includes(state.kind);
}

/** Shows what `make` gives in an element; where it throws, its message in another, and nothing in the first. */
export function showIn(place: string, problem: string, make: () => string): void {
  const [shown, told] = [byId(place), byId(problem)];
  try {
    shown.innerHTML = make();
    told.textContent = "";
  } catch (error) {
    shown.replaceChildren();
    told.textContent = error instanceof Error ? error.message : String(error);
  }
}
