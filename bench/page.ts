// How large the page is, and how soon it answers: `node bench/page.ts`. Chromium's main thread runs at a sixth of its speed, as on
// a slow phone; each opening is a browser context of its own, and medians of nine rounds count. What an empty page takes in the same
// round is what the browser takes for itself, to commit a navigation and to paint at all.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { openBrowser } from "../test/browser.ts";
import { serve } from "../test/fixture/serve.ts";

const [slower, rounds] = [6, 9];
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

interface Opening {
  /** Milliseconds from the start of the navigation, as the browser counts them, until the headline of the first answer is painted. */
  readonly painted: number;
  /** The same until the last byte of the page was there. */
  readonly fetched: number;
}

async function timeOpening(path: string): Promise<Opening> {
  const context = await browser.newContext(phone);
  const page = await context.newPage();
  const devtools = await context.newCDPSession(page);
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: slower });
  await page.goto(`${server.url}${path}`);
  const opening = await page.evaluate(
    () =>
      new Promise<Opening>((resolve) => {
        new PerformanceObserver((list, observer) => {
          observer.disconnect();
          const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
          resolve({ painted: list.getEntries()[0]!.startTime, fetched: navigation!.responseEnd });
        }).observe({ type: "element", buffered: true });
      }),
  );
  await context.close();
  return opening;
}

// In turns, so that what else the machine does falls on all alike; the first round is for warming up.
const names = Object.keys(pages) as (keyof typeof pages)[];
const found = new Map<string, Opening[]>(names.map((name) => [name, []]));
for (let round = 0; round <= rounds; round++)
  for (const name of names) {
    const opening = await timeOpening(pages[name]);
    if (round > 0) found.get(name)!.push(opening);
  }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!.toFixed(0);
const empty = found.get(names[0]!)!;
for (const [name, openings] of found) {
  const painted = openings.map((opening) => opening.painted);
  const beyond = painted.map((time, round) => time - empty[round]!.painted);
  console.log(
    `${name}: the first answer after ${median(painted)} ms (${painted.map((time) => time.toFixed(0)).join(", ")}), ` +
      `${median(openings.map(({ painted, fetched }) => painted - fetched))} ms after its last byte, ` +
      `${median(beyond)} ms beyond an empty page of the same round`,
  );
}
await browser.close();
await server.close();
rmSync(folder, { recursive: true, force: true });
