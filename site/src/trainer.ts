/** Two or three variants that learn in the page, beside each other: curves while they do, and what they write then. */
import { bytes, escapeHtml, grid, lossCurves, parametersText } from "biform/web";
import { byId } from "./element.ts";
import { startWorker } from "./start.ts";
import type { Learned, Told } from "./training.ts";
import type { Tell } from "./worker.ts";

/** Milliseconds between two pictures. */
const PAUSE = 500;

/** Puts the tab's parts to use. Each lesson has a worker of its own, which ends with it. */
export function mountTrainer(): void {
  const form = byId<HTMLFormElement>("train-form");
  let worker: Worker | undefined;
  let drawn = 0;
  const end = () => {
    worker?.terminate();
    worker = undefined;
    form.removeAttribute("aria-busy");
  };
  const hear = (what: Tell) => {
    if ("learned" in what) {
      byId("train-about").textContent = what.learned.map(aboutText).join("; ");
      const done = what.learned.every(({ step, steps }) => step === steps);
      if (!done && performance.now() - drawn < PAUSE) return;
      drawn = performance.now();
      drawCurves(what.learned);
    } else if ("told" in what) byId("train-told").innerHTML = toldGrid(what.told);
    else if ("problem" in what) byId("train-problem").textContent = what.problem;
    else if ("ended" in what) end();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    end();
    for (const id of ["train-problem", "train-told", "train-curves", "train-about"]) byId(id).textContent = "";
    const variants = byId<HTMLInputElement>("train-variants").value.split(/\s+/).filter(Boolean).slice(0, 3);
    const steps = byId<HTMLInputElement>("train-steps").valueAsNumber || 100;
    form.setAttribute("aria-busy", "true");
    byId("train-about").textContent = "Starting.";
    try {
      worker = await startWorker(hear);
      worker.postMessage({ train: { variants, steps } });
    } catch (error) {
      end();
      byId("train-problem").textContent = (error as Error).message;
    }
  });
  byId("train-stop").addEventListener("click", () => worker?.postMessage({ stop: true }));
}

function aboutText({ spec, parameters, step, steps, heldOut }: Learned): string {
  const loss = heldOut.losses.at(-1);
  const found = typeof loss === "number" ? `, ${loss.toFixed(3)} nats per byte` : "";
  return `${spec} (${parametersText(parameters)}): step ${step} of ${steps}${found}`;
}

function drawCurves(learned: readonly Learned[]): void {
  const place = byId("train-curves");
  const width = Math.min(720, Math.max(300, place.clientWidth));
  const variants = learned.map(({ spec, heldOut }) => ({ spec, seeds: [{ seed: 1, heldOut }] }));
  const picture = lossCurves({ variants }, { document, width });
  if (picture) place.replaceChildren(picture);
}

function toldGrid(told: readonly Told[]): string {
  const rows = told.map(({ spec, form, text, cacheBytes }) => ({
    cells: [escapeHtml(spec), form, bytes(cacheBytes), escapeHtml(text)],
  }));
  return grid("What each writes from the same words, in each form", ["variant", "form", "cache", "text"], rows);
}
