import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin, runnerImport } from "vite";
import { style } from "../src/draw/style.ts";
import { readParts, wrapPart } from "./parts.ts";

const root = fileURLToPath(new URL(".", import.meta.url));
const source = fileURLToPath(new URL("../src", import.meta.url));
const alias = { "biform/web": `${source}/web.ts` };
const opening = `\n${readFileSync(new URL("opening.js", import.meta.url), "utf8")}`;

/**
 * Puts script and styles into index.html, so that the page is one file: it opens from any server, any path and from a disk,
 * where browsers forbid modules beside it. Its policy lets it run these scripts alone and ask for nothing.
 */
function oneFile(): Plugin {
  return {
    name: "one-file",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset")
        throw new Error("site: got no index.html, expected one; keep it beside vite.config.ts");
      let sheets = "";
      let first: string | undefined;
      const parts: [name: string, text: string][] = [];
      for (const [path, file] of Object.entries(bundle)) {
        if (file === page) continue;
        const name = `./${basename(path)}`;
        if (file.type === "chunk") {
          parts.push([name, wrapPart(name, file.code)]);
          if (file.isEntry) first = name;
        } else if (path.endsWith(".css")) sheets += file.source;
        else throw new Error(`site: got the file ${path}, expected script and styles alone; import it as text`);
        delete bundle[path];
      }
      if (!first) throw new Error("site: got no entry among the scripts, expected src/main.ts; name it in index.html");
      const reader = readParts(first);
      const hashes = [opening, reader, ...parts.map(([, text]) => text)].map(
        (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`,
      );
      const policy = `default-src 'none'; script-src ${hashes.join(" ")}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
      const scripts = [
        ...parts.map(([name, text]) => `<script type="text/plain" id="${name}">${text}</script>`),
        `<script>${reader}</script>`,
      ];
      // Functions, since a script may hold what `replace` takes for a pattern.
      page.source = String(page.source)
        .replace(/<(?:script type="module"|link rel="stylesheet")[^>]*>(?:<\/script>)?\s*/g, "")
        .replace(
          "<!--head-->",
          () => `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${style}${sheets}</style>`,
        )
        .replace("<!--script-->", () => scripts.join("\n"));
    },
  };
}

/** The first answers of all presets, made by the page's own code, and the script that shows the one that is asked for. */
function firstAnswers(): Plugin {
  return {
    name: "first-answers",
    transformIndexHtml: {
      order: "post",
      async handler(html) {
        const { module } = await runnerImport<typeof import("./src/first.ts")>(`${root}/src/first.ts`, {
          configFile: false,
          logLevel: "error",
          resolve: { alias },
        });
        const answers = JSON.stringify(module.firstAnswers()).replaceAll("<", "\\u003c");
        return html.replace(
          "<!--firsts-->",
          () => `<script type="application/json" id="firsts">${answers}</script>\n<script>${opening}</script>`,
        );
      },
    },
  };
}

/** While developing, the report's styles come first as they do in the built page. */
function sharedStyle(): Plugin {
  return {
    name: "shared-style",
    apply: "serve",
    transformIndexHtml: (html) => html.replace("<!--head-->", () => `<style>${style}</style>`),
  };
}

export default defineConfig({
  root,
  base: "./",
  resolve: { alias },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      // Beside the page's own modules none does anything by being read: a part has of the library and of packages what it uses.
      treeshake: { moduleSideEffects: (id) => id.startsWith(root) },
      transform: { define: { "import.meta": "{}" } },
      output: {
        format: "cjs",
        // Pictures are drawn after the words stand, so what draws them is a part of its own.
        codeSplitting: {
          groups: [{ name: "plot", test: /@observablehq|[\\/](d3-|isoformat|internmap|interval-tree)/ }],
        },
      },
    },
  },
  plugins: [firstAnswers(), oneFile(), sharedStyle()],
});
