/** The note beside an answer: what it cost, in a few numbers and two small pictures. */
import { bytes, time, whole } from "../../../draw/quantity.ts";
import { make } from "./element.ts";
import type { Figures } from "./figures.ts";

/** Tokens per second to three digits. */
export const rateText = (rate: number) => rate.toFixed(rate < 10 ? 2 : rate < 100 ? 1 : 0);

/** The forms that ran, each with its share where there are several. */
function formsText(forms: Readonly<Record<string, number>>): string {
  const all = Object.values(forms).reduce((sum, count) => sum + count, 0);
  const sorted = Object.entries(forms).toSorted(([, a], [, b]) => b - a);
  if (sorted.length === 1) return sorted[0]![0];
  return sorted.map(([name, count]) => `${name} ${shareText(count / all)}`).join(", ");
}

function shareText(share: number): string {
  if (share > 0 && share < 0.01) return "under 1\u202f%";
  return `${share < 1 ? Math.min(99, Math.round(share * 100)) : 100}\u202f%`;
}

/** A line of tokens per second over an answer's time, from zero up. */
function drawPace(pace: readonly number[]): SVGSVGElement {
  const svg = (name: string, attributes: Readonly<Record<string, string>>) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const highest = Math.max(...pace, 1e-9);
  const points = pace.map((rate, i) => [(i / (pace.length - 1)) * 100, 23 - (rate / highest) * 21] as const);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const [low, high] = [Math.min(...pace), Math.max(...pace)];
  const picture = svg("svg", {
    class: "pace",
    viewBox: "0 0 100 24",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `Tokens per second over time, between ${rateText(low)} and ${rateText(high)}`,
  }) as SVGSVGElement;
  picture.append(
    svg("polygon", { points: `0,24 ${line} 100,24` }),
    svg("polyline", { points: line, "vector-effect": "non-scaling-stroke" }),
  );
  return picture;
}

/** A bar of a prompt: the part whose cache was there, and the part that was read. */
function drawPrefix(cached: number, prompt: number): HTMLElement {
  const reused = make("span");
  reused.style.inlineSize = `${(Math.min(1, cached / prompt) * 100).toFixed(2)}%`;
  return make("div", { class: "prefix", "aria-hidden": "true" }, reused);
}

/** What one note shows, as terms and what is said of them. */
function* termsOf({ prompt, cached, written, first, bytes: size, forms }: Figures): Generator<[string, string]> {
  if (prompt !== undefined && cached !== undefined)
    yield ["prefix reused", `${whole(cached)} of ${whole(prompt)} tokens`];
  else if (prompt !== undefined) yield ["prompt", `${whole(prompt)} tokens`];
  if (written !== undefined) yield ["written", `${whole(written)} tokens`];
  if (first !== undefined) yield ["first token", `after ${time(first)}`];
  if (size !== undefined) yield ["cache", bytes(size)];
  if (forms !== undefined) yield ["form", formsText(forms)];
}

/** Draws the figures of an answer into its note, in place of what was there. */
export function drawNote(note: HTMLElement, figures: Figures): void {
  const { rate, pace, prompt, cached } = figures;
  const parts: Node[] = [];
  if (rate !== undefined) parts.push(make("p", { class: "rate" }, make("strong", {}, rateText(rate)), " tokens/s"));
  if (pace && pace.length > 1) parts.push(drawPace(pace));
  if (prompt && cached !== undefined) parts.push(drawPrefix(cached, prompt));
  const terms = [...termsOf(figures)].map(([term, said]) =>
    make("div", {}, make("dt", {}, term), make("dd", {}, said)),
  );
  if (terms.length > 0) parts.push(make("dl", {}, ...terms));
  note.replaceChildren(...parts);
}
