/** The drawer: how answers are sampled, the system prompt, the theme, the API key. */
import { apiKey, setApiKey } from "./client.ts";
import { byId } from "./element.ts";
import { chosenTheme, setTheme, themes } from "./theme.ts";
import type { Settings } from "./tree.ts";

const numbers = ["temperature", "top_p", "min_p", "max_tokens", "seed"] as const;
type Name = (typeof numbers)[number];

/** What is wrong with a field, and what would be right. */
function complain({ validity, min, max, step }: HTMLInputElement): string {
  if (validity.valid) return "";
  if (validity.badInput) return "Not a number";
  const whole = step === "1" ? "A whole number" : "A number";
  if (max === "" || Number(max) > 1000) return `${whole} from ${min} on`;
  return `${whole} from ${min} to ${max}`;
}

/** Binds the drawer; `changed` gets the settings whenever a field that is right was changed. */
export class SettingsDrawer {
  readonly #dialog = byId<HTMLDialogElement>("settings");
  readonly #system = byId<HTMLTextAreaElement>("system");
  readonly #changed: (settings: Settings) => void;
  readonly #keyed: () => void;
  #settings: Settings = {};

  constructor(changed: (settings: Settings) => void, keyed: () => void) {
    this.#changed = changed;
    this.#keyed = keyed;
    byId("open-settings").addEventListener("click", () => this.open());
    // Beside the drawer is its backdrop.
    this.#dialog.addEventListener("click", ({ target }) => target === this.#dialog && this.#dialog.close());
    this.#system.addEventListener("input", () => this.#change({ system: this.#system.value || undefined }));
    for (const name of numbers) byId(name).addEventListener("input", () => this.#read(name));
    byId("reset").addEventListener("click", () => {
      this.#change(Object.fromEntries(numbers.map((name) => [name, undefined])));
      this.fill(this.#settings);
    });
    const key = byId<HTMLInputElement>("key");
    key.addEventListener("change", () => {
      setApiKey(key.value.trim());
      this.#keyed();
    });
    for (const radio of this.#radios()) {
      radio.checked = radio.value === chosenTheme();
      radio.addEventListener("change", () => setTheme(themes.find((theme) => theme === radio.value)!));
    }
  }

  /** Opens it, at a field where one is named. */
  open(field?: string): void {
    byId<HTMLInputElement>("key").value = apiKey();
    this.#dialog.showModal();
    if (field) byId(field).focus();
  }

  /** Shows settings in the fields. */
  fill(settings: Settings): void {
    this.#settings = settings;
    this.#system.value = settings.system ?? "";
    for (const name of numbers) {
      byId<HTMLInputElement>(name).value = settings[name] === undefined ? "" : String(settings[name]);
      this.#show(name);
    }
  }

  #radios(): HTMLInputElement[] {
    return [...this.#dialog.querySelectorAll<HTMLInputElement>("input[name=theme]")];
  }

  #change(settings: Settings): void {
    this.#settings = { ...this.#settings, ...settings };
    this.#changed(this.#settings);
  }

  /** A field that is wrong says so, and changes nothing. */
  #read(name: Name): void {
    const input = byId<HTMLInputElement>(name);
    this.#show(name);
    if (input.validity.valid) this.#change({ [name]: input.value === "" ? undefined : input.valueAsNumber });
  }

  #show(name: Name): void {
    const input = byId<HTMLInputElement>(name);
    const words = complain(input);
    const problem = input.nextElementSibling as HTMLElement;
    problem.id = `${name}-problem`;
    problem.textContent = words;
    input.setAttribute("aria-describedby", problem.id);
    input.ariaInvalid = words ? "true" : null;
  }
}
