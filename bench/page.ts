// How large the page is, and how soon it answers: `node bench/page.ts`. Chromium's main thread runs at a sixth of its speed, as on
// a slow phone; each opening is a browser context of its own, and the median of five counts.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { openBrowser } from "../test/browser.ts";
import { serve } from "../test/fixture/serve.ts";

const [slower, rounds] = [6, 5];
const phone = { viewport: { width: 390, height: 844 } };
/** By what is opened. An empty page is what the browser takes for itself. */
const pages = {
  "an empty page": "empty.html",
  "a bare address": "",
  "a link to another model": "#model=gemma-3-27b",
  "a link to another context, which the library must answer": "#model=gemma-3-27b&context=100k",
};

const folder = mkdtempSync(join(tmpdir(), "biform-page-"));
await build({
  root: fileURLToPath(new URL("../site", import.meta.url)),
  logLevel: "error",
  build: { outDir: folder, emptyOutDir: true },
});
const built = readFileSync(join(folder, "index.html"));
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
console.log(`the page: ${kilobytes(built.length)}, ${kilobytes(gzipSync(built).length)} packed with gzip`);

writeFileSync(join(folder, "empty.html"), `<!doctype html><title>empty</title><p elementtiming="answer">nothing</p>`);
const server = await serve(folder, "/");
const browser = await openBrowser();

/** Milliseconds from the start of the navigation until the headline of the first answer is painted. */
async function timeOpening(path: string): Promise<number> {
  const context = await browser.newContext(phone);
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: slower });
  await page.goto(`${server.url}${path}`);
  const painted = await page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        new PerformanceObserver((list, observer) => {
          observer.disconnect();
          resolve(list.getEntries()[0]!.startTime);
        }).observe({ type: "element", buffered: true });
      }),
  );
  await context.close();
  return painted;
}

for (const [name, path] of Object.entries(pages)) {
  await timeOpening(path);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) times.push(await timeOpening(path));
  times.sort((a, b) => a - b);
  console.log(
    `${name}: the first answer after ${times[rounds >> 1]!.toFixed(0)} ms (${times.map((time) => time.toFixed(0)).join(", ")})`,
  );
}
await browser.close();
await server.close();
rmSync(folder, { recursive: true, force: true });
