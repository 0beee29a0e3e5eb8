/** The few pieces of HTML a report is made of. What is not marked as HTML is escaped here. */
import type { Canvas } from "./canvas.ts";
import { colour } from "./colour.ts";
import { style } from "./style.ts";

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Text as HTML shows it, in content and in attributes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

/** A variant's name behind a square of its colour, which joins tables, texts and pictures; short names stay whole. */
export function nameHtml(spec: string, index: number): string {
  const name = `<span class="swatch" style="background:${colour(index)}"></span>${escapeHtml(spec)}`;
  return spec.length > 24 ? name : `<span class="name">${name}</span>`;
}

/** A table whose cells are HTML already; the first cell of a row names it, and columns of `text` hold words rather than numbers. */
export function grid(
  caption: string,
  heads: readonly string[],
  rows: readonly { cells: readonly string[]; best?: boolean }[],
  text: readonly number[] = [],
): string {
  const kind = (at: number) => (at === 0 || text.includes(at) ? ' class="text"' : "");
  const head = heads.map((name, at) => `<th scope="col"${kind(at)}>${name}</th>`).join("");
  const body = rows.map(({ cells: [name, ...rest], best }) => {
    const cells = rest.map((cell, at) => `<td${kind(at + 1)}>${cell}</td>`).join("");
    return `<tr${best ? ' class="best"' : ""}><th scope="row">${name}</th>${cells}</tr>`;
  });
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(caption)}"><table><caption>${escapeHtml(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body.join("\n")}</tbody></table></div>`;
}

/** Names and values of nested settings as rows; lists of plain values stay on one line. */
export function facts(caption: string, record: object): string {
  const rows: { cells: string[] }[] = [];
  const walk = (value: unknown, name: string): void => {
    const plainList = Array.isArray(value) && value.every((item) => item === null || typeof item !== "object");
    if (value !== null && typeof value === "object" && !plainList)
      for (const [key, inner] of Object.entries(value)) walk(inner, name === "" ? key : `${name}.${key}`);
    else if (value !== undefined)
      rows.push({ cells: [escapeHtml(name), escapeHtml(plainList ? (value as unknown[]).join(", ") : String(value))] });
  };
  walk(record, "");
  if (rows.length === 0) return "";
  return grid(caption, ["name", "value"], rows, [1]);
}

/** A section under a heading, or nothing where it would be empty. */
export function section(heading: string, content: string): string {
  return content === "" ? "" : `<section><h2>${escapeHtml(heading)}</h2>${content}</section>`;
}

/** A cell of two lines, the second smaller; both are escaped. */
export function stackLines(first: string, second: string): string {
  return `${escapeHtml(first)}<br><span class="soft">${escapeHtml(second)}</span>`;
}

/** Widths the larger pictures are drawn at: a text of 12 pixels then stays one on a desk and on a phone. */
const widths = { wide: 500, narrow: 340 };
/** Widths of a figure of many variants, which has both columns to itself. */
const broadWidths = { wide: 1030, narrow: 340 };

/** A figure drawn twice, for a desk and for a phone, or nothing where there is nothing to draw. */
export function figure(
  document: Document,
  heading: string,
  caption: string,
  draw: (canvas: Canvas) => SVGSVGElement | undefined,
  broad = false,
): string {
  const pictures = Object.entries(broad ? broadWidths : widths).map(([name, width]) => {
    const svg = draw({ document, width });
    return svg ? `<div class="${name}">${svg.outerHTML}</div>` : "";
  });
  if (pictures[0] === "") return "";
  return `<figure${broad ? ' class="broad"' : ""}><h3>${escapeHtml(heading)}</h3>${pictures.join("")}<figcaption>${escapeHtml(caption)}</figcaption></figure>`;
}

/** A whole document around a body: it loads nothing and runs nothing, light and dark. */
export function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body><main>
${body}
</main></body>
</html>
`;
}
