/** Two or three variants that learn in the page, beside each other: curves while they do, and what they write then, in which form. */
import { bytes, duration, escapeHtml, FormatError, grid, lossCurves, parametersText } from "biform/web";
import { takeFiles } from "./drop.ts";
import { byId, messageOf } from "./element.ts";
import { startWorker } from "./start.ts";
import type { Data, Learned, Lesson } from "./training.ts";
import type { Ask, Tell } from "./worker.ts";
import type { Told } from "./writing.ts";
import { appendPiece } from "./written.ts";

/** Milliseconds between two pictures. */
const PAUSE = 700;
/** Bytes of a text of the visitor's. */
const LONGEST = 64 * 2 ** 20;

/** Puts the tab's parts to use. A lesson has a worker of its own, in which those that were trained stay until the next. */
export function mountTrainer(): void {
  const form = byId<HTMLFormElement>("train-form");
  const voices = byId<HTMLFormElement>("train-voices");
  const data = byId<HTMLSelectElement>("train-data");
  let worker: Worker | undefined;
  let text: Data | undefined;
  let [drawn, began, device] = [0, 0, ""];
  const busy = (yes: boolean) => {
    for (const element of [form, voices]) element.toggleAttribute("aria-busy", yes);
  };
  const hear = (what: Tell) => {
    if ("begun" in what) {
      began = performance.now();
      device = what.begun;
    } else if ("learned" in what) {
      const done = shareOf(what.learned, stepsOf());
      byId("train-about").textContent = aboutText(what.learned, { device, done, steps: stepsOf(), began });
      if (done < 1 && performance.now() - drawn < PAUSE) return;
      drawn = performance.now();
      drawCurves(what.learned);
    } else if ("told" in what) {
      byId("train-told").innerHTML = toldGrid(what.told);
      showVoices(what.told, what.forms);
    } else if ("said" in what)
      for (const { at, text, form, cacheBytes } of what.said) {
        const pane = byId(`train-said-${at}`);
        if (form < 0) pane.textContent = "";
        appendPiece(pane, text, form);
        pane.nextElementSibling!.textContent = `a cache of ${bytes(cacheBytes)}`;
      }
    else if ("problem" in what) {
      byId("train-problem").textContent = what.problem;
      byId("train-about").textContent = "";
    } else if ("ended" in what) busy(false);
  };
  const stepsOf = () => byId<HTMLInputElement>("train-steps").valueAsNumber || 100;
  const readText = async ([file]: readonly File[]) => {
    if (!file) return;
    const { name, size } = file;
    byId("train-problem").textContent = "";
    try {
      if (size > LONGEST)
        throw new FormatError(`${name}: got ${size} bytes, expected a text of at most ${LONGEST}; take a part of it`);
      text = { name, bytes: new Uint8Array(await file.arrayBuffer()) };
      data.value = "text";
      byId("train-text").textContent = `${name}, ${bytes(size)}`;
    } catch (error) {
      byId("train-problem").textContent = messageOf(error);
    }
  };
  byId<HTMLInputElement>("train-file").addEventListener("change", ({ target }) => {
    const field = target as HTMLInputElement;
    void readText([...(field.files ?? [])]);
    // The same file can be chosen again.
    field.value = "";
  });
  takeFiles("train", (files) => void readText(files.map(({ file }) => file)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    worker?.terminate();
    worker = undefined;
    for (const id of ["train-problem", "train-told", "train-curves"]) byId(id).textContent = "";
    voices.hidden = true;
    const variants = byId<HTMLInputElement>("train-variants").value.split(/\s+/).filter(Boolean).slice(0, 3);
    if (data.value === "text" && !text) {
      byId("train-problem").textContent = "text: got none, expected a file; choose one, or drop it on this page";
      return;
    }
    const lesson: Lesson = {
      variants,
      steps: stepsOf(),
      seeds: Number(byId<HTMLSelectElement>("train-seeds").value),
      data: data.value === "text" ? text! : (data.value as "stories" | "recall"),
      on: byId<HTMLSelectElement>("train-device").value as Lesson["on"],
    };
    busy(true);
    byId("train-about").textContent = "Starting.";
    try {
      worker = await startWorker(hear);
      worker.postMessage({ train: lesson } satisfies Ask);
    } catch (error) {
      busy(false);
      byId("train-about").textContent = "";
      byId("train-problem").textContent = messageOf(error);
    }
  });
  const stop = () => worker?.postMessage({ stop: true } satisfies Ask);
  byId("train-stop").addEventListener("click", stop);
  byId("train-hush").addEventListener("click", stop);
  voices.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(true);
    const opening = byId<HTMLInputElement>("train-opening").value || " ";
    worker?.postMessage({ speak: { opening, tokens: 300 } } satisfies Ask);
  });
  byId("train-forms").addEventListener("change", ({ target }) => {
    worker?.postMessage({ place: Number((target as HTMLInputElement).value) } satisfies Ask);
  });
}

/** The part of all steps that is done. */
function shareOf(learned: readonly Learned[], steps: number): number {
  const all = learned.flatMap(({ seeds }) => seeds.map(({ step }) => step));
  return all.reduce((sum, step) => sum + step, 0) / (all.length * steps);
}

interface Standing {
  readonly device: string;
  readonly done: number;
  readonly steps: number;
  readonly began: number;
}

function aboutText(learned: readonly Learned[], { device, done, steps, began }: Standing): string {
  const gone = (performance.now() - began) / 1000;
  const left = done < 1 && gone > 2 ? `, about ${duration((gone * (1 - done)) / done)} left` : "";
  const each = learned.map(({ spec, parameters, cacheBytes, seeds }) => {
    const step = Math.min(...seeds.map(({ step }) => step));
    const losses = seeds.map(({ heldOut }) => heldOut.losses.at(-1)).filter((loss) => typeof loss === "number");
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    const found = losses.length ? `, ${mean.toFixed(3)} nats per token` : "";
    return `${spec} (${parametersText(parameters)}, ${bytes(cacheBytes)} of cache a token): step ${step} of ${steps}${found}`;
  });
  return `On ${device}${left}. ${each.join("; ")}`;
}

function drawCurves(variants: readonly Learned[]): void {
  const place = byId("train-curves");
  const width = Math.min(720, Math.max(300, place.clientWidth));
  const picture = lossCurves({ variants }, { document, width });
  if (picture) place.replaceChildren(picture);
}

function toldGrid(told: readonly Told[]): string {
  const rows = told.map(({ spec, form, text, cacheBytes }) => ({
    cells: [escapeHtml(spec), form, bytes(cacheBytes), escapeHtml(text)],
  }));
  return grid("What each writes from the same words, in each form", ["variant", "form", "cache", "text"], rows, [1, 3]);
}

/** A place for each variant to write to, and the forms to choose from. */
function showVoices(told: readonly Told[], forms: readonly (readonly string[])[]): void {
  const specs = [...new Set(told.map(({ spec }) => spec))];
  const places = Math.max(...forms.map((own) => own.length));
  const names = Array.from({ length: places }, (_, i) => [...new Set(forms.map((own) => own[i % own.length]!))]);
  byId("train-forms").innerHTML = names
    .map(
      (own, i) =>
        `<label class="form-${i}"><input type="radio" name="train-form" value="${i}"${i ? "" : " checked"}> ${escapeHtml(own.join(", "))}</label>`,
    )
    .join("");
  byId("train-panes").innerHTML = specs
    .map(
      (spec, at) =>
        `<figure><h3>${escapeHtml(spec)}</h3><pre id="train-said-${at}" class="said" tabindex="0" aria-label="What ${escapeHtml(spec)} writes"></pre><figcaption></figcaption></figure>`,
    )
    .join("");
  byId("train-voices").hidden = false;
}
