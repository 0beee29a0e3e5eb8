/** A model that runs in the page: opened or made, asked to write, and switched between its forms while it does. */
import { bytes, compact } from "biform/web";
import { byId } from "./element.ts";
import type { Where } from "./place.ts";
import { startWorker } from "./start.ts";
import type { About, Ask, Tell, Written } from "./worker.ts";

/** Puts the tab's parts to use. The worker is started when a model is asked for. */
export function mountRunner(): void {
  const form = byId<HTMLFormElement>("run-form");
  const fields = form.querySelector("fieldset")!;
  const text = byId("run-text");
  let chats = false;
  let worker: Promise<Worker> | undefined;
  const ask = async (what: Ask) => {
    byId("run-problem").textContent = "";
    worker ??= startWorker(hear);
    try {
      (await worker).postMessage(what);
    } catch (error) {
      worker = undefined;
      byId("run-problem").textContent = (error as Error).message;
    }
  };
  const hear = (what: Tell) => {
    if ("loaded" in what) byId("run-about").textContent = `Reading weights: ${Math.floor(what.loaded * 100)} %.`;
    else if ("opened" in what) {
      byId("run-about").textContent = aboutText(what.opened);
      byId("run-forms").innerHTML = formChoices(what.opened.forms);
      chats = what.opened.chats;
      text.textContent = "";
      fields.disabled = false;
    } else if ("wrote" in what) {
      text.textContent += what.wrote.text;
      byId("run-figures").textContent = figuresText(what.wrote);
    } else if ("problem" in what) {
      byId("run-problem").textContent = what.problem;
      if (fields.disabled) byId("run-about").textContent = "";
    } else if ("ended" in what) form.removeAttribute("aria-busy");
  };
  const opens = (what: Ask) => {
    fields.disabled = true;
    byId("run-about").textContent = "Reading.";
    void ask(what);
  };
  const where = () => byId<HTMLSelectElement>("run-device").value as Where;
  byId("run-make").addEventListener("click", () => {
    opens({ make: byId<HTMLSelectElement>("run-kind").value as Extract<Ask, { make: unknown }>["make"], on: where() });
  });
  byId<HTMLInputElement>("run-file").addEventListener("change", ({ target }) => {
    const [file] = (target as HTMLInputElement).files ?? [];
    if (file) opens({ open: file, on: where() });
    // The same file can be chosen again.
    (target as HTMLInputElement).value = "";
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = byId<HTMLTextAreaElement>("run-prompt").value;
    if (chats) text.append(`${text.textContent ? "\n\n" : ""}> ${prompt}\n\n`);
    else text.textContent = prompt;
    form.setAttribute("aria-busy", "true");
    void ask({
      write: {
        prompt,
        tokens: byId<HTMLInputElement>("run-tokens").valueAsNumber || 1,
      },
    });
  });
  byId("run-forms").addEventListener("change", ({ target }) => {
    void ask({ form: (target as HTMLInputElement).value || undefined });
  });
  byId("run-clear").addEventListener("click", () => {
    text.textContent = "";
    byId("run-figures").textContent = "";
    void ask({ clear: true });
  });
  byId("run-stop").addEventListener("click", () => void ask({ stop: true }));
}

function aboutText({ name, layers, bytes: size, device, chats }: About): string {
  const about = `${name}: ${layers} layers, weights of ${bytes(size)} in memory, on ${device}`;
  return `${about}. It ${chats ? "answers by its own template" : "has no template and goes on from your text"}.`;
}

function formChoices(forms: readonly string[]): string {
  const choice = (value: string, words: string) =>
    `<label><input type="radio" name="run-form" value="${value}"${value ? "" : " checked"}> ${words}</label>`;
  return choice("", "the form predicted to be fastest") + forms.map((name) => choice(name, name)).join("");
}

function figuresText({ perSecond, cacheBytes, forms }: Written): string {
  const ran = Object.entries(forms).map(([name, layers]) => `${layers} layers ${name}`);
  return `${compact(perSecond)} tokens/s, a cache of ${bytes(cacheBytes)}${ran.length ? `, ${ran.join(", ")}` : ""}.`;
}
