import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build, defineConfig, type Plugin, type Rolldown, runnerImport, transformWithOxc } from "vite";
import { ground, style } from "../src/draw/style.ts";
import { headlineScript, jsonOf, packPage, textOf, wrapPart } from "./pack.ts";

const root = fileURLToPath(new URL(".", import.meta.url));
const source = fileURLToPath(new URL("../src", import.meta.url));
const alias = { "biform/web": `${source}/web.ts`, "biform/run": `${source}/run.ts` };
/** Of the report's styles and the page's own, what the first answer needs. */
const firstStyle = `<style>${ground}${readFileSync(new URL("first.css", import.meta.url), "utf8")}</style>`;

/**
 * No frame is drawn before the headline stands that is asked for, right before this element: one without it would be a frame lost.
 * Browsers that do not know this draw when they like.
 */
const expected = `<link rel="expect" href="#unpack" blocking="render">`;

/** Of the device on wasm what a page can use, and its threads' script in its own text: a page from a disk starts no worker of a file. */
const deviceOfPage: Plugin = {
  name: "device-of-page",
  enforce: "pre",
  async transform(code, id) {
    // The widest build needs a flag of V8 that a page cannot set.
    if (id.endsWith("device/binary.ts")) return code.replace(/\n {2}wide:\s+"[^"]*",/, "");
    if (!id.endsWith("device/pool.ts")) return null;
    const file = `${source}/device/worker.ts`;
    const thread = await transformWithOxc(readFileSync(file, "utf8"), file);
    const blob = `new Blob([${JSON.stringify(thread.code)}], { type: "text/javascript" })`;
    return code.replace('new URL("./worker.js", import.meta.url)', () => `URL.createObjectURL(${blob})`);
  },
};

/** The script of the worker that runs models, as one. */
async function buildWorker(): Promise<string> {
  const made = (await build({
    root,
    configFile: false,
    logLevel: "error",
    resolve: { alias },
    plugins: [deviceOfPage],
    build: {
      write: false,
      target: "es2023",
      lib: { entry: `${root}/src/worker.ts`, formats: ["iife"], name: "worker" },
      rolldownOptions: {
        treeshake: { moduleSideEffects: (id) => id.startsWith(root) },
        transform: { define: { "import.meta": "{}" } },
        output: { codeSplitting: false },
      },
    },
  })) as Rolldown.RolldownOutput[];
  const [script, ...more] = made.flatMap(({ output }) => output);
  if (script?.type !== "chunk" || more.length > 0)
    throw new Error(`site: got ${more.map(({ fileName }) => fileName)} beside the worker, expected one script`);
  return script.code;
}

/** Makes of script and styles what opens from any server, any path and from a disk, where browsers forbid modules beside a page. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    enforce: "post",
    async generateBundle(_, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset")
        throw new Error("site: got no index.html, expected one; keep it beside vite.config.ts");
      let sheets = style;
      let first: string | undefined;
      const parts = new Map<string, string>();
      for (const [path, file] of Object.entries(bundle)) {
        if (file === page) continue;
        const name = `./${basename(path)}`;
        if (file.type === "chunk") {
          parts.set(name, wrapPart(name, file.code));
          if (file.isEntry) first = name;
        } else if (path.endsWith(".css")) sheets += file.source;
        else throw new Error(`site: got the file ${path}, expected script and styles alone; import it as text`);
        delete bundle[path];
      }
      if (!first) throw new Error("site: got no entry among the scripts, expected src/main.ts; name it in index.html");
      const bare = String(page.source).replace(
        /<(?:script type="module"|link rel="stylesheet")[^>]*>(?:<\/script>)?\s*/g,
        "",
      );
      const { "index.html": html, ...beside } = packPage(bare, {
        style: sheets,
        parts,
        first,
        worker: await buildWorker(),
      });
      page.source = html!;
      for (const [fileName, source] of Object.entries(beside)) this.emitFile({ type: "asset", fileName, source });
    },
  };
}

/** The first answers of all presets, made by the page's own code, and the script that shows the headline that is asked for. */
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
        const answers = module.firstAnswers();
        const headlines = new Map(Object.entries(answers).map(([name, { values }]) => [name, values[0]!]));
        // Functions, since a value may hold what `replace` takes for a pattern.
        return html
          .replace("<!--first-style-->", () => `${firstStyle}\n${expected}`)
          .replace("<!--headline-->", () => textOf(headlines.get(module.usual)!))
          .replace(
            "<!--headlines-->",
            () => `<script>${headlineScript([...headlines.values()], module.usual)}</script>`,
          )
          .replace("<!--firsts-->", () => `<script type="application/json" id="firsts">${jsonOf(answers)}</script>`);
      },
    },
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
  plugins: [firstAnswers(), packed()],
});
