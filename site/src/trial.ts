/** The tab Proof: both forms on the visitor's device, as they are measured, in words, pictures and numbers. */
import { bytes, compact, context, escapeHtml, facts, type Measured, scientific, time, whole } from "biform/web";
import { copy } from "./copy.ts";
import { picture } from "./crossing.ts";
import { byId } from "./element.ts";
import { keepFigures, keptFigures } from "./figures.ts";
import { machineGrid } from "./machine.ts";
import { startWorker } from "./start.ts";
import type { Lead, Leads, Timed, TimedPoint, Trial, Way } from "./timing.ts";
import type { Ask, Tell } from "./worker.ts";

/** Puts the tab's parts to use. Each trial has a worker of its own, which ends with it. */
export function mountTrial(): void {
  const form = byId<HTMLFormElement>("proof-form");
  const stop = byId<HTMLButtonElement>("proof-stop");
  let worker: Worker | undefined;
  /** Whether the page was in the background meanwhile, where browsers slow it down. */
  let hidden = false;
  const showMachine = (measured: Measured, kept: boolean) => {
    byId("proof-machine").innerHTML = machineGrid(measured, kept);
  };
  // The latest of several devices.
  const latest = keptFigures().at(-1);
  if (latest) showMachine(latest, true);
  const end = () => {
    worker?.terminate();
    worker = undefined;
    stop.disabled = true;
    form.removeAttribute("aria-busy");
  };
  const show = (timed: Timed, complete: boolean) => {
    byId("proof-found").innerHTML = foundHtml(timed, complete && hidden);
    drawTimed(timed);
    if (!complete) return;
    byId("proof-numbers").hidden = false;
    byId("proof-json").textContent = JSON.stringify(timed, orNull, 2);
  };
  const hear = (what: Tell) => {
    if ("stage" in what) byId("proof-about").textContent = `${what.stage}.`;
    else if ("tuned" in what) showMachine(what.tuned, keepFigures(what.tuned));
    else if ("timed" in what) {
      const complete = what.timed.leads !== undefined;
      if (complete) byId("proof-about").textContent = "";
      show(what.timed, complete);
    } else if ("problem" in what) {
      byId("proof-problem").textContent = what.problem;
      byId("proof-about").textContent = "";
    } else if ("ended" in what) end();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    end();
    for (const id of ["proof-problem", "proof-found", "proof-pictures", "proof-copied"]) byId(id).textContent = "";
    byId("proof-numbers").hidden = true;
    byId("proof-about").textContent = "Starting.";
    form.setAttribute("aria-busy", "true");
    stop.disabled = false;
    hidden = document.hidden;
    const trial: Trial = {
      layer: byId<HTMLSelectElement>("proof-layer").value as Trial["layer"],
      on: byId<HTMLSelectElement>("proof-device").value as Trial["on"],
      figures: keptFigures(),
    };
    try {
      worker = await startWorker(hear);
      worker.postMessage({ trial } satisfies Ask);
    } catch (error) {
      end();
      byId("proof-about").textContent = "";
      byId("proof-problem").textContent = (error as Error).message;
    }
  });
  document.addEventListener("visibilitychange", () => {
    hidden ||= document.hidden;
  });
  stop.addEventListener("click", () => {
    end();
    byId("proof-about").textContent = "Stopped.";
  });
  byId("proof-copy").addEventListener("click", () => void copy(byId("proof-json"), byId("proof-copied")));
}

/** JSON has no infinity. */
const orNull = (_key: string, value: unknown) => (value === Number.POSITIVE_INFINITY ? null : value);

/** What was found, in words, as far as it is known. */
function foundHtml(timed: Timed, disturbed: boolean): string {
  const { difference, tokens, device, software, spec, decode } = timed;
  const { absolute, relative, tolerance } = difference;
  const one = relative <= tolerance;
  const verdict = one
    ? `On ${device}, both forms gave the same numbers to ${scientific(relative)} of the largest; rounding to 32 bits may explain ${scientific(tolerance)}.`
    : `On ${device}, the forms lie ${scientific(relative)} of the largest number apart, and rounding may explain ${scientific(tolerance)} at most: this device computes wrongly.`;
  const last = decode.at(-1)?.cached;
  const at = (way: Way) => decode.find((point) => point.way === way && point.cached === last);
  const [absorbed, kept] = [at("absorbed"), at("kept")];
  const read =
    absorbed && kept
      ? `To write one token over ${whole(last!)}, a layer reads ${bytes(absorbed.bytes)} of latents instead of ${bytes(kept.bytes)} of keys and values, and takes ${time(absorbed.measured)} instead of ${time(kept.measured)}.`
      : "";
  const notes = [
    software &&
      "This GPU is a processor that stands in for one: its times, and what is predicted from them, say little about GPUs.",
    disturbed &&
      "The page was in the background meanwhile, where browsers slow it down: measure again to trust the times.",
  ].filter(Boolean);
  return `<p class="${one ? "headline" : "problem"}">${escapeHtml(verdict)}</p>
<p>${escapeHtml([read, leadText(timed)].join(" "))}</p>
${notes.map((note) => `<p class="soft">${note}</p>`).join("")}
${facts("The same weights in both forms", {
  layer: spec,
  "tokens compared": tokens,
  "largest difference": scientific(absolute),
  "relative to the largest number": scientific(relative),
  "rounding may explain": scientific(tolerance),
})}`;
}

const names: Readonly<Record<Way, string>> = {
  absorbed: "absorbed",
  unfolding: "expanded",
  kept: "over keys and values",
};

/** Which way leads where: absorbed up to 5.9k tokens and expanded beyond. */
function leadsText(leads: readonly Lead[], unit: string): string {
  const [first, ...rest] = leads;
  if (rest.length === 0) return `${names[first!.way]} at every number tried`;
  const ends = leads.map(({ way }, i) => {
    const next = leads[i + 1];
    return next ? `${names[way]} up to ${compact(Math.round(next.from))} ${unit}` : `${names[way]} beyond`;
  });
  return ends.join(", ");
}

function leadText({ leads, over }: Timed): string {
  if (!leads) return "";
  const both = ({ measured, predicted }: Leads, unit: string) =>
    `measured: ${leadsText(measured, unit)}; predicted: ${leadsText(predicted, unit)}`;
  return `Faster to write on, ${both(leads.decode, "tokens")}. Faster to read new tokens over ${whole(over)} latents, ${both(leads.chunk, "new tokens")}.`;
}

/** Lines of points by way. */
function linesOf(points: readonly TimedPoint[], x: (point: TimedPoint) => number, y: (point: TimedPoint) => number) {
  const ways = Map.groupBy(points, ({ way }) => way);
  const all = [...ways].filter(([, own]) => own.length > 1);
  return Object.fromEntries(
    all.map(([way, own]) => [
      way,
      own.map((point): [number, number] => [x(point), y(point)]).toSorted(([a], [b]) => a - b),
    ]),
  );
}

function drawTimed({ decode, chunk, leads, over, device }: Timed): void {
  const place = byId("proof-pictures");
  const canvas = { document, width: Math.min(560, Math.max(300, place.clientWidth)) };
  const pictures: HTMLElement[] = [];
  const draw = (
    points: readonly TimedPoint[],
    x: (point: TimedPoint) => number,
    y: (point: TimedPoint) => number,
    words: Parameters<typeof picture>[2],
    look?: { leads: Leads | undefined; guess: (point: TimedPoint) => number },
  ) => {
    const lines = linesOf(points, x, y);
    if (Object.keys(lines).length === 0) return;
    const change = look?.leads?.measured[1];
    const mark = change && {
      at: change.from,
      text: `${names[change.way]} from ${compact(Math.round(change.from))} on`,
    };
    const how = look ? { predicted: linesOf(points, x, look.guess) } : { unit: "bytes" as const };
    const figure = document.createElement("figure");
    figure.innerHTML = `<h3>${escapeHtml(words.title)}</h3><figcaption>${words.description}</figcaption>`;
    figure.lastElementChild!.before(picture(lines, mark, words, canvas, how));
    pictures.push(figure);
  };
  const cached = (point: TimedPoint) => point.cached;
  draw(
    decode,
    cached,
    ({ measured }) => measured,
    {
      title: `Time to write one token on ${device}`,
      description: "One layer; points are measured, thin lines predicted.",
      x: "tokens cached →",
      y: "↑ time, one layer",
    },
    { leads: leads?.decode, guess: ({ predicted }) => predicted },
  );
  draw(decode, cached, (point) => point.bytes, {
    title: "Bytes that writing one token reads",
    description: "One layer's caches, and what is unfolded from them, in float32.",
    x: "tokens cached →",
    y: "↑ bytes read, one layer",
  });
  draw(
    chunk,
    ({ t }) => t,
    ({ measured, t }) => measured / t,
    {
      title: `Time of a new token over ${context(over)} cached ones on ${device}`,
      description: "One layer; points are measured, thin lines predicted.",
      x: "new tokens of a step →",
      y: "↑ time for each new token",
    },
    { leads: leads?.chunk, guess: ({ predicted, t }) => predicted / t },
  );
  place.replaceChildren(...pictures);
}
