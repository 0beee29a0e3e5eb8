/** The choice of a model, and what is said where the server gives none. */
import { listModels, type Model, setApiKey } from "./client.ts";
import { byId, make, makeButton } from "./element.ts";
import { tellProblem } from "./problem.ts";

const stored = "biform.model";

/** The choice of a model: remembered by its name. */
export class ModelChoice {
  readonly #select = byId<HTMLSelectElement>("model");
  readonly #notice = byId("notice");
  readonly #changed: () => void;
  #models: readonly Model[] = [];

  constructor(changed: () => void) {
    this.#changed = changed;
    this.#select.addEventListener("change", () => {
      localStorage.setItem(stored, this.#select.value);
      this.#tell();
      changed();
    });
  }

  /** The model that is asked; undefined where there is none. */
  get current(): Model | undefined {
    return this.#models.find(({ id }) => id === this.#select.value);
  }

  /** Asks the server which models it has. */
  async load(): Promise<void> {
    try {
      this.#models = await listModels();
      this.#notice.replaceChildren();
    } catch (error) {
      this.#complain(error);
    }
    const wanted = this.#select.value || localStorage.getItem(stored);
    const chosen = this.#models.find(({ id }) => id === wanted) ?? this.#models[0];
    this.#select.replaceChildren(...this.#models.map(({ id }) => new Option(id, id, false, id === chosen?.id)));
    this.#select.disabled = this.#models.length === 0;
    this.#tell();
    this.#changed();
  }

  #tell(): void {
    const { current } = this;
    byId("greeting").textContent = current ? `Ask ${current.id}` : "No model yet";
    byId("about").textContent = current?.context
      ? `It reads and writes up to ${current.context.toLocaleString("en").replaceAll(",", "\u202f")} tokens. What you write stays on this server and in this browser.`
      : "What you write stays on this server and in this browser.";
  }

  #complain(error: unknown): void {
    const { title, detail, advice, act } = tellProblem(error);
    const parts: Node[] = [make("p", { class: "title" }, `${title}. `)];
    if (detail && act !== "key") parts.push(make("p", { class: "detail" }, detail));
    parts.push(make("p", {}, advice));
    if (act === "key") parts.push(this.#askForKey());
    else {
      const button = makeButton("Try again", () => void this.load());
      button.className = "";
      parts.push(button);
    }
    this.#notice.replaceChildren(...parts);
  }

  #askForKey(): HTMLFormElement {
    const field = make("input", {
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": "API key",
    });
    const form = make("form", { class: "row" }, field, make("button", { type: "submit", class: "main" }, "Use it"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      setApiKey(field.value.trim());
      void this.load();
    });
    return form;
  }
}
