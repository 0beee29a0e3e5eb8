/** The pictures below a plan's answers, drawn in the frame after the answers stand. */
import {
  type Canvas,
  decodeCurves,
  decodePicture,
  escapeHtml,
  memoryCurves,
  memoryPicture,
  prefillCurves,
  prefillPicture,
  rooflinePicture,
  roofsOf,
} from "biform/web";
import { byId } from "./element.ts";
import type { Planned } from "./planned.ts";

interface Figure {
  readonly heading: string;
  readonly caption: string;
  draw(canvas: Canvas): SVGSVGElement;
}

/** Tabs with pictures, and where they stand. */
const places = { memory: "memory-pictures", machines: "pictures" } as const;
type Place = keyof typeof places;

const wanted = new Map<Place, Planned | undefined>();
const frames = new Map<Place, number>();

/** Draws a tab's pictures of a plan in the next frame, or takes them away; asked again before it, only the last counts. */
export function drawSoon(tab: Place, planned: Planned | undefined): void {
  if (!wanted.has(tab)) followWidth(tab);
  wanted.set(tab, planned);
  cancelAnimationFrame(frames.get(tab) ?? 0);
  frames.set(
    tab,
    requestAnimationFrame(() => draw(tab)),
  );
}

/** Draws them anew where the page's width has changed; while the tab is not shown it has none. */
function followWidth(tab: Place): void {
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = entry!.contentRect.width;
    if (now === 0 || Math.abs(now - width) < 1) return;
    if (width > 0) drawSoon(tab, wanted.get(tab));
    width = now;
  }).observe(byId(places[tab]));
}

function draw(tab: Place): void {
  const place = byId(places[tab]);
  const planned = wanted.get(tab);
  const start = performance.now();
  const width = Math.floor(Number.parseFloat(getComputedStyle(place).gridTemplateColumns));
  // The reader has gone on to another tab; what is asked for when this one is shown again is drawn then.
  if (!(width > 0)) return;
  const figures = (planned ? figuresOf[tab](planned) : []).map(({ heading, caption, draw }) => {
    const figure = document.createElement("figure");
    figure.innerHTML = `<h3>${escapeHtml(heading)}</h3><figcaption>${escapeHtml(caption)}</figcaption>`;
    figure.firstElementChild!.after(draw({ document, width }));
    return figure;
  });
  place.replaceChildren(...figures);
  byId("drawing-time").textContent = `Drawn in ${(performance.now() - start).toFixed(1)} ms.`;
}

const figuresOf: Readonly<Record<Place, (planned: Planned) => Figure[]>> = {
  memory: ({ blueprint, settings }) => [
    {
      heading: "Memory against context",
      caption: "The cache of all sequences, and the room that each machine has beside the weights.",
      draw: (canvas) => memoryPicture([memoryCurves(blueprint, settings)], canvas),
    },
  ],
  machines: ({ blueprint, settings }) => {
    const [host] = settings.hosts;
    if (!host) return [];
    return [
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
  },
};
