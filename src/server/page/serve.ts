/** The chat page as it goes over the wire: a document, style sheets, modules, and a policy that lets them ask nobody else. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";

/** One file of the page. */
export interface PageFile {
  readonly type: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Strong: of these bytes, as the ETag header has it. */
  readonly etag: string;
}

/** `src`, or `dist` in the published package: modules lie alike in both, the document and its styles in `src` alone. */
const modules = fileURLToPath(new URL("../..", import.meta.url));
const own = fileURLToPath(new URL("../../../src/server/page/", import.meta.url));
const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";

/** Packages that modules import by name; these have one file each, without imports of their own. */
const libraries = ["marked", "dompurify"];

/** A digest as policies and ETags have it: SHA-256 in base64. */
const digest = (bytes: string | Uint8Array) => createHash("sha256").update(bytes).digest("base64");

function makeFile(type: string, text: string): PageFile {
  const bytes = new TextEncoder().encode(text);
  return { type: `${type}; charset=utf-8`, bytes, etag: `"${digest(bytes)}"` };
}

/** A module without its types; columns stay, so that a browser's errors name the places of the source. */
function strip(text: string): string {
  // Node says of this function once that it may change; it is the one that Node runs these sources with.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(text);
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** A module and all that it reaches by relative imports, as code under its path in `src` or `dist`. */
function readModules(entry: string): Map<string, string> {
  const found = new Map<string, string>();
  const visit = (path: string) => {
    const name = relative(modules, path).split(sep).join("/");
    if (found.has(name)) return;
    const text = readFileSync(path, "utf8");
    const code = path.endsWith(".ts") ? strip(text) : text.replace(/^\/\/# sourceMappingURL=.*$/m, "");
    found.set(name, code);
    for (const [, target] of code.matchAll(/^(?:import|export)\b[^"']*["'](\.[^"']+)["']/gm))
      visit(join(path, "..", target!));
  };
  visit(join(modules, entry));
  return found;
}

/** The page's files by their paths after the address that it is mounted at; "" is the document. */
export function readPage(): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  const folder = "server/page/browser";
  for (const entry of ["theme", "main"])
    for (const [name, code] of readModules(`${folder}/${entry}.${extension}`))
      files.set(`page/${name}`, makeFile("text/javascript", code));
  for (const name of libraries) {
    const code = readFileSync(fileURLToPath(import.meta.resolve(name)), "utf8");
    files.set(`page/lib/${name}.js`, makeFile("text/javascript", code.replace(/^\/\/# sourceMappingURL=.*$/m, "")));
  }
  for (const name of readdirSync(join(own, "style")))
    files.set(`page/style/${name}`, makeFile("text/css", readFileSync(join(own, "style", name), "utf8")));
  const document = readFileSync(join(own, "page.html"), "utf8")
    .replace("<!--imports-->", `<script type="importmap">${importMap}</script>`)
    .replaceAll(/"page\/(\w+)\.ts"/g, `"page/${folder}/$1.${extension}"`);
  return files.set("", makeFile("text/html", document));
}

const importMap = JSON.stringify({
  imports: Object.fromEntries(libraries.map((name) => [name, `./page/lib/${name}.js`])),
});

/**
 * What a model writes is hostile. Were any of it to get past the sanitiser, it could still run no script, load nothing from
 * anywhere else, be framed by nobody and send no form; and markup reaches the document through the sanitiser alone.
 */
const policy = [
  "default-src 'self'",
  `script-src 'self' 'sha256-${digest(importMap)}'`,
  "img-src 'self' data:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types dompurify",
].join("; ");

const headers: Readonly<Record<string, string>> = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // Asked for anew each time and answered by 304: a new version is seen at once.
  "cache-control": "no-cache",
};

/** Whether a request's If-None-Match has a file's tag; a proxy that compresses makes tags weak. */
const has = (header: string | undefined, etag: string) =>
  header !== undefined &&
  (header.trim() === "*" || header.split(",").some((tag) => tag.trim().replace(/^W\//, "") === etag));

/**
 * An app with the page at `/` and its files under `/page/`; mount it at the root of the server whose `/v1` it talks to. Files
 * are read when the first one is asked for, and kept.
 */
export function servePage(): Hono {
  const app = new Hono();
  let files: ReadonlyMap<string, PageFile> | undefined;
  app.on("GET", ["/", "/page/*"], (context) => {
    files ??= readPage();
    const file = files.get(context.req.path.replace(/^\//, ""));
    if (!file) return context.notFound();
    const all = { ...headers, etag: file.etag };
    if (has(context.req.header("if-none-match"), file.etag)) return context.body(null, 304, all);
    return context.body(file.bytes, 200, { ...all, "content-type": file.type });
  });
  return app;
}
