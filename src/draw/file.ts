import { JSDOM } from "jsdom";
import type { Canvas } from "./canvas.ts";
import { palette } from "./style.ts";

/** A picture as the text of an SVG file that stands alone: in its own colours, light and dark, and on its own paper. */
export function svgText(width: number, draw: (canvas: Canvas) => SVGSVGElement): string {
  const { window } = new JSDOM("");
  const svg = draw({ document: window.document, width });
  const style = window.document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = `${palette}svg { background: var(--paper); color: var(--ink); font-family: system-ui, sans-serif; }
text { white-space: pre; }
`;
  svg.prepend(style);
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const text = `${svg.outerHTML}\n`;
  window.close();
  return text;
}
