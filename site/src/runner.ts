/** A model that runs in the page: opened or made, asked to write, and switched between its forms while it does. */
import { bytes, compact, duration } from "biform/web";
import { takeFiles } from "./drop.ts";
import { byId, messageOf } from "./element.ts";
import { keepFigures, keptFigures } from "./figures.ts";
import { clearHoard, hoardedBytes } from "./hoard.ts";
import { machineGrid } from "./machine.ts";
import type { Where } from "./place.ts";
import { startWorker } from "./start.ts";
import type { About, Given, Written } from "./talk.ts";
import type { Ask, Tell } from "./worker.ts";
import { appendPiece } from "./written.ts";

/** Puts the tab's parts to use. The worker is started when a model is asked for. */
export function mountRunner(): void {
  const form = byId<HTMLFormElement>("run-form");
  const fields = form.querySelector("fieldset")!;
  const text = byId("run-text");
  const progress = byId<HTMLProgressElement>("run-progress");
  const reading = byId("run-reading");
  const restore = byId("run-restore");
  let opened: About | undefined;
  let worker: Promise<Worker> | undefined;
  let began = 0;
  /** What is shown of an answer that is not complete. */
  let unsaved = 0;
  const ask = async (what: Ask) => {
    byId("run-problem").textContent = "";
    worker ??= startWorker(hear);
    try {
      (await worker).postMessage(what);
    } catch (error) {
      worker = undefined;
      reading.hidden = true;
      byId("run-problem").textContent = messageOf(error);
    }
  };
  const hear = (what: Tell) => {
    if ("loaded" in what) showLoaded(what.loaded);
    else if ("note" in what) byId("run-note").textContent = `${what.note}.`;
    else if ("opened" in what) showOpened(what.opened);
    else if ("wrote" in what) {
      const [main] = Object.entries(what.wrote.forms).toSorted(([, a], [, b]) => b - a);
      appendPiece(text, what.wrote.text, main ? opened!.forms.indexOf(main[0]) : 0);
      byId("run-figures").textContent = figuresText(what.wrote);
    } else if ("stage" in what) byId("run-tuned").textContent = `${what.stage}.`;
    else if ("tuned" in what) {
      byId("run-tuned").innerHTML =
        `<details><summary>Forms are chosen by what was measured now</summary>${machineGrid(what.tuned, keepFigures(what.tuned))}</details>`;
      if (opened) showAbout({ ...opened, measured: true });
    } else if ("problem" in what) {
      byId("run-problem").textContent = what.problem;
      reading.hidden = true;
      if (fields.disabled) byId("run-about").textContent = "";
      restore.hidden = !what.lost;
      // A question that was not answered is there to be asked again.
      if (what.lost) while (text.childNodes.length > unsaved) text.lastChild!.remove();
    } else if ("ended" in what) form.removeAttribute("aria-busy");
  };
  const showLoaded = (share: number) => {
    progress.value = share;
    const gone = (performance.now() - began) / 1000;
    const left = gone > 2 && share < 1 ? `, about ${duration((gone * (1 - share)) / share)} left` : "";
    byId("run-loaded").textContent = `Reading weights: ${Math.floor(share * 100)} %${left}.`;
  };
  const showAbout = (about: About) => {
    opened = about;
    byId("run-about").textContent = aboutText(about);
  };
  const showOpened = (about: About) => {
    showAbout(about);
    reading.hidden = true;
    restore.hidden = true;
    byId("run-forms").innerHTML = formChoices(about.forms);
    if (!about.restored) text.textContent = "";
    fields.disabled = false;
    void showHoard();
  };
  const begin = (words: string) => {
    fields.disabled = true;
    for (const id of ["run-about", "run-note"]) byId(id).textContent = "";
    byId("run-loaded").textContent = words;
    progress.removeAttribute("value");
    reading.hidden = false;
    began = performance.now();
  };
  const where = () => byId<HTMLSelectElement>("run-device").value as Where;
  const opens = (given: Given) => {
    begin("Reading.");
    void ask({ open: { given, on: where(), figures: keptFigures() } });
  };
  const chosen = (field: HTMLInputElement) => {
    const files = [...(field.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    if (files.length > 0) opens({ files });
    // The same can be chosen again.
    field.value = "";
  };
  byId("run-make").addEventListener("click", () => {
    type Preset = Extract<Given, { preset: unknown }>["preset"];
    opens({ preset: byId<HTMLSelectElement>("run-kind").value as Preset });
  });
  for (const id of ["run-file", "run-folder"])
    byId(id).addEventListener("change", ({ target }) => chosen(target as HTMLInputElement));
  takeFiles("run", (files) => opens({ files }));
  byId<HTMLFormElement>("run-fetch").addEventListener("submit", (event) => {
    event.preventDefault();
    opens({ address: byId<HTMLInputElement>("run-address").value.trim() });
  });
  byId("run-cancel").addEventListener("click", () => void ask({ stop: true }));
  restore.addEventListener("click", () => {
    begin("Opening the device anew.");
    void ask({ restore: true });
  });
  byId("run-tune").addEventListener("click", () => {
    byId("run-tuned").textContent = "Measuring.";
    void ask({ tune: where() });
  });
  byId("run-forget").addEventListener("click", () => void clearAll());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = byId<HTMLTextAreaElement>("run-prompt").value;
    unsaved = text.childNodes.length;
    if (opened?.chats) text.append(`${text.textContent ? "\n\n" : ""}> ${prompt}\n\n`);
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
  void showHoard();
}

/** How much the browser keeps of models that were fetched. */
async function showHoard(): Promise<void> {
  const kept = await hoardedBytes();
  byId("run-kept").textContent =
    kept === undefined
      ? "This browser keeps no files for this page: a model is fetched anew each time."
      : kept === 0
        ? "What is fetched is kept in this browser."
        : `This browser keeps ${bytes(kept)} of models that were fetched.`;
  byId("run-forget").hidden = !kept;
}

async function clearAll(): Promise<void> {
  try {
    await clearHoard();
  } catch (error) {
    byId("run-problem").textContent =
      `storage: got ${(error as Error).name}, expected to clear it; wait until no tab reads a model`;
  }
  await showHoard();
}

function aboutText({ name, layers, bytes: size, device, measured, chats, restored }: About): string {
  const about = `${name}: ${layers} layers, weights of ${bytes(size)} in memory, on ${device}`;
  const back = restored ? ` It goes on from ${restored} tokens that were saved.` : "";
  const forms = measured ? "what was measured of this device" : "common figures";
  return `${about}. It ${chats ? "answers by its own template" : "has no template and goes on from your text"}.${back} Forms are chosen by ${forms}.`;
}

function formChoices(forms: readonly string[]): string {
  const choice = (value: string, words: string, at: number) =>
    `<label class="form-${at}"><input type="radio" name="run-form" value="${value}"${value ? "" : " checked"}> ${words}</label>`;
  return choice("", "the form predicted to be fastest", 0) + forms.map((name, at) => choice(name, name, at)).join("");
}

function figuresText({ perSecond, cacheBytes, forms }: Written): string {
  const ran = Object.entries(forms).map(([name, layers]) => `${layers} layers ${name}`);
  return `${compact(perSecond)} tokens/s, a cache of ${bytes(cacheBytes)}${ran.length ? `, ${ran.join(", ")}` : ""}.`;
}
