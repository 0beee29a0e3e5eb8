/** The built page: what the first answer needs in the page itself, the rest packed in scripts beside it, read after the first frame. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";

const scriptOf = (name: string) => `\n${readFileSync(new URL(name, import.meta.url), "utf8")}`;
const headline = scriptOf("headline.js");
const [opening, unpack] = [scriptOf("opening.js"), scriptOf("unpack.js")];

/** One part of the page's script: a function under its name, whose imports are of other parts. */
export function wrapPart(name: string, code: string): string {
  return `part(${JSON.stringify(name)}, (require, exports) => {"use strict";\n${code}\n});`;
}

// A page of ASCII alone takes the browser half the memory and less time; "<" would end a script.
const escapeBy = (text: string, as: (code: number) => string) =>
  text.replace(/[<\u007f-\uffff]/g, (letter) => as(letter.charCodeAt(0)));
/** A text within an element of the page. */
export const textOf = (text: string): string => escapeBy(text, (code) => `&#${code};`);
/** A value within a script of the page, JSON or not. */
export const jsonOf = (value: unknown): string =>
  escapeBy(JSON.stringify(value), (code) => `\\u${code.toString(16).padStart(4, "0")}`);

/** The script that puts the headline that the address asks for in the place of that of `model`; each begins with its model's name. */
export function headlineScript(headlines: readonly string[], model: string): string {
  return headline
    .replace('"/*headlines*/"', () => jsonOf(`\n${headlines.join("\n")}\n`))
    .replace('"/*model*/"', () => jsonOf(model));
}

const hashOf = (text: string) => createHash("sha256").update(text);

/** A script that hands over `text`, packed. */
const pack = (text: string) => `packed="${deflateRawSync(text, { level: 9 }).toString("base64")}"`;

/** What is packed: styles, the parts of the script by name, and which of them comes first. */
export interface Rest {
  readonly style: string;
  readonly parts: ReadonlyMap<string, string>;
  readonly first: string;
  /** The script of the worker that runs models, a file of its own: it is read where a model is asked for. */
  readonly worker: string;
}

/**
 * Files by name. `index.html` is the page without all between `<!--rest-->` and `<!--/rest-->`, which is in `page.js` with the rest but
 * the worker, and that is `run.js`; it names both with a hash, so that no browser takes an older one that it kept. The page's policy
 * stands from when the first frame was drawn, before anything that is not the page's own is read: forty hashes before the headline cost
 * a phone more than the headline. It lets the page run what lies beside it, these parts, wasm, and workers of its own text, and ask
 * servers for what a visitor gives the address of.
 */
export function packPage(page: string, { style, parts, first, worker }: Rest): Record<string, string> {
  const [before, html, after] = page.split(/<!--\/?rest-->\n/);
  if (after === undefined)
    throw new Error("site: got an index.html without <!--rest--> and <!--/rest-->, expected both");
  const rest = JSON.stringify({ html, style, opening, parts: Object.fromEntries(parts), first });
  const hashes = [opening, ...parts.values()].map((text) => `'sha256-${hashOf(text).digest("base64")}'`);
  const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval' ${hashes.join(" ")}; worker-src blob:; connect-src 'self' https: http://localhost:* http://127.0.0.1:*; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
  const beside = { page: pack(rest), run: pack(worker) };
  const named = Object.entries(beside).map(
    ([name, text]) => ` data-${name}="${hashOf(text).digest("hex").slice(0, 8)}"`,
  );
  const scripts = `<script id="unpack"${named.join("")} data-policy="${policy}">${unpack}</script>\n`;
  return {
    "index.html": `${before}${scripts}${after}`,
    "page.js": beside.page,
    "run.js": beside.run,
  };
}
