/** The built page as one file: what the first answer needs as it is, the rest packed behind it, unpacked after the first frame. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";

const scriptOf = (name: string) => `\n${readFileSync(new URL(name, import.meta.url), "utf8")}`;
/** What runs before the headline, and after it. */
export const [asked, headline] = [scriptOf("asked.js"), scriptOf("headline.js")];
const [opening, unpack] = [scriptOf("opening.js"), scriptOf("unpack.js")];

/** One part of the page's script: a function under its name, whose imports are of other parts. */
export function wrapPart(name: string, code: string): string {
  return `part(${JSON.stringify(name)}, (require, exports) => {"use strict";\n${code}\n});`;
}

const deflate = (text: string) => deflateRawSync(text, { level: 9 }).toString("base64");

/** What is packed: styles, the parts of the script by name, and which of them comes first. */
export interface Rest {
  readonly style: string;
  readonly parts: ReadonlyMap<string, string>;
  readonly first: string;
  /** The script of the worker that runs models: behind all else, unpacked where it is asked for. */
  readonly worker: string;
}

/**
 * The page with all between `<!--rest-->` and `<!--/rest-->`, and all of `rest`, packed (deflate, base64). Its policy lets it run
 * these scripts alone, wasm, and workers of its own text, and ask for nothing.
 */
export function packPage(page: string, { style, parts, first, worker }: Rest): string {
  const [before, html, after] = page.split(/<!--\/?rest-->\n/);
  if (after === undefined)
    throw new Error("site: got an index.html without <!--rest--> and <!--/rest-->, expected both");
  const rest = JSON.stringify({ html, style, opening, parts: Object.fromEntries(parts), first });
  const hashes = [asked, headline, opening, unpack, ...parts.values()].map(
    (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
  );
  const policy = `default-src 'none'; script-src 'wasm-unsafe-eval' ${hashes.join(" ")}; worker-src blob:; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  // A comment, since a browser reads it faster than text of a script: 2 ms rather than 3.5 for its 400 kB.
  const scripts = `<!--${deflate(rest)}--><script>${unpack}</script>\n`;
  return `${before}${scripts}${after}`
    .replace("<!--policy-->", () => `<meta http-equiv="Content-Security-Policy" content="${policy}">`)
    .replace("<!--worker-->", () => `<template id="worker"><!--${deflate(worker)}--></template>`);
}
