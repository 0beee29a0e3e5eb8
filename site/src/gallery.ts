/** The pictures beside a plan's answers, drawn in the frame after the answers stand. */
import {
  type Blueprint,
  type Canvas,
  decodeCurves,
  decodePicture,
  escapeHtml,
  memoryCurves,
  memoryPicture,
  type PlanSettings,
  prefillCurves,
  prefillPicture,
  rooflinePicture,
  roofsOf,
} from "biform/web";
import { byId } from "./element.ts";

interface Figure {
  readonly heading: string;
  readonly caption: string;
  draw(canvas: Canvas): SVGSVGElement;
}

let wanted: readonly [Blueprint, PlanSettings] | undefined;
let frame = 0;

/** Draws the pictures of a plan in the next frame, or takes them away; asked again before it, only the last counts. */
export function drawSoon(...plan: [] | [Blueprint, PlanSettings]): void {
  wanted = plan.length === 0 ? undefined : plan;
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(draw);
}

/** Draws them anew where the page's width has changed. */
export function bindGallery(): void {
  let width = 0;
  new ResizeObserver(([entry]) => {
    if (Math.abs(entry!.contentRect.width - width) < 1) return;
    width = entry!.contentRect.width;
    if (wanted) drawSoon(...wanted);
  }).observe(byId("pictures"));
}

function draw(): void {
  const place = byId("pictures");
  if (!wanted) {
    place.replaceChildren();
    return;
  }
  const start = performance.now();
  const width = Math.floor(Number.parseFloat(getComputedStyle(place).gridTemplateColumns));
  const figures = figuresOf(...wanted).map(({ heading, caption, draw }) => {
    const figure = document.createElement("figure");
    figure.innerHTML = `<h3>${escapeHtml(heading)}</h3><figcaption>${escapeHtml(caption)}</figcaption>`;
    figure.firstElementChild!.after(draw({ document, width }));
    return figure;
  });
  place.replaceChildren(...figures);
  byId("drawing-time").textContent = `Drawn in ${(performance.now() - start).toFixed(1)} ms.`;
}

function figuresOf(blueprint: Blueprint, settings: PlanSettings): Figure[] {
  const [host] = settings.hosts;
  const memory: Figure = {
    heading: "Memory against context",
    caption: "The cache of all sequences, and the room that each machine has beside the weights.",
    draw: (canvas) => memoryPicture([memoryCurves(blueprint, settings)], canvas),
  };
  if (!host) return [memory];
  return [
    memory,
    {
      heading: `Decode on ${host.name}`,
      caption: "Time of a step by tokens in the cache: over latents solid, over keys and values dashed.",
      draw: (canvas) => decodePicture([decodeCurves(blueprint, settings, host)], host.name, canvas),
    },
    {
      heading: `Prefill by chunk on ${host.name}`,
      caption: "Time of a step of so many new tokens at the end of the context: where it should change form.",
      draw: (canvas) =>
        prefillPicture(
          [prefillCurves(blueprint, settings, host)],
          { machine: host.name, tokens: settings.context },
          canvas,
        ),
    },
    {
      heading: "Roofline",
      caption:
        "What each machine can do at most at an arithmetic intensity, and where prefill (squares) and decode (circles) stand.",
      draw: (canvas) => rooflinePicture(roofsOf(blueprint, settings), canvas),
    },
  ];
}
