import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { style } from "../src/draw/style.ts";

/**
 * Puts script and styles into index.html, so that the page is one file: it opens from any server, any path and from a disk,
 * where browsers forbid modules beside it. Its policy lets it run this script alone and ask for nothing.
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
      let [html, script, sheets] = [String(page.source), "", ""];
      for (const [name, file] of Object.entries(bundle)) {
        if (file === page) continue;
        // Nothing in a script may look like its own end.
        if (file.type === "chunk")
          script += file.code.replaceAll("</script", "<\\/script").replaceAll("<!--", "\\x3C!--");
        else if (name.endsWith(".css")) sheets += file.source;
        else throw new Error(`site: got the file ${name}, expected script and styles alone; import it as text`);
        delete bundle[name];
      }
      script = `\n${script}\n`;
      const hash = createHash("sha256").update(script).digest("base64");
      const policy = `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;
      html = html.replace(/<(?:script type="module"|link rel="stylesheet")[^>]*>(?:<\/script>)?\s*/g, "");
      // Functions, since a script may hold what `replace` takes for a pattern.
      page.source = html
        .replace(
          "<!--head-->",
          () => `<meta http-equiv="Content-Security-Policy" content="${policy}">\n<style>${style}${sheets}</style>`,
        )
        .replace("<!--script-->", () => `<script type="module">${script}</script>`);
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
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  resolve: { alias: { "biform/web": fileURLToPath(new URL("../src/web.ts", import.meta.url)) } },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2023",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
  },
  plugins: [oneFile(), sharedStyle()],
});
