// How large the page is, and how soon it answers: `node bench/page.ts [ROUNDS]`. Chromium's main thread runs at a sixth of its speed, as on
// a slow phone; each opening is a browser context of its own, pages take turns, and medians count. What an empty page takes is what
// the browser takes for itself, to commit a navigation and to paint at all. Beside the clock's time there is the main thread's own,
// which other programs on the machine do not lengthen. Last, how long that thread works at a time while variants learn in a worker, and
// how long the table of all models on all machines takes, neither slowed down.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { BrowserContextOptions, Page } from "playwright-core";
import { build } from "vite";
import { openBrowser } from "../test/browser.ts";
import { serve } from "../test/fixture/serve.ts";

const [slower, rounds] = [6, Number(process.argv[2] ?? 11)];
/** By what is opened. */
const pages = {
  "an empty page": "empty.html",
  "a bare address": "",
  "a link to another model": "#model=gemma-3-27b",
};

const folder = mkdtempSync(join(tmpdir(), "biform-page-"));
await build({
  root: fileURLToPath(new URL("../site", import.meta.url)),
  logLevel: "error",
  build: { outDir: folder, emptyOutDir: true },
});
const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
for (const name of readdirSync(folder)) {
  const built = readFileSync(join(folder, name));
  console.log(`${name}: ${kilobytes(built.length)}, ${kilobytes(gzipSync(built).length)} packed with gzip`);
}

writeFileSync(join(folder, "empty.html"), `<!doctype html><title>empty</title><p elementtiming="answer">nothing</p>`);
const server = await serve(folder, "/");
const browser = await openBrowser();
const tracer = await browser.newBrowserCDPSession();

interface Opening {
  /** Milliseconds from the start of the navigation until the headline of the first answer is painted. */
  readonly navigated: number;
  /** The same from when the navigation was committed: the document is there and its first bytes are about to be read. */
  readonly committed: number;
  /** Of these last, what the page's main thread worked for, throttled as it is. */
  readonly worked: number;
  /** Milliseconds from the first frame to that with the answer; 0 where it is the first, as it should be. */
  readonly late: number;
  /** Milliseconds that a loop of fixed length works for, which tell whether the thread was slowed down. */
  readonly loop: number;
}

const categories = ["blink.user_timing", "loading", "devtools.timeline", "disabled-by-default-devtools.timeline"];
/** A few of Chromium's trace events, times in microseconds; `tdur` is a thread's own time. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args: { readonly data?: { readonly documentLoaderURL?: string } };
}

/** What Chromium traced while a new page was used, from when `begin` was called. */
async function trace(
  options: BrowserContextOptions,
  use: (page: Page, begin: () => Promise<unknown>) => Promise<void>,
): Promise<readonly TraceEvent[]> {
  const context = await browser.newContext(options);
  const events: TraceEvent[] = [];
  const collect = ({ value }: { value: object[] }) => void events.push(...(value as TraceEvent[]));
  tracer.on("Tracing.dataCollected", collect);
  try {
    await use(await context.newPage(), () =>
      tracer.send("Tracing.start", { traceConfig: { includedCategories: [...categories] } }),
    );
    const complete = new Promise<void>((resolve) => tracer.once("Tracing.tracingComplete", () => resolve()));
    await tracer.send("Tracing.end");
    await complete;
  } finally {
    tracer.off("Tracing.dataCollected", collect);
    await context.close();
  }
  return events;
}

async function timeOpening(path: string, rate: number): Promise<Opening> {
  /** Milliseconds from the first frame to that with the answer. */
  let late = 0;
  const events = await trace({ viewport: { width: 390, height: 844 } }, async (page, begin) => {
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Emulation.setCPUThrottlingRate", { rate });
    await begin();
    await page.goto(`${server.url}${path}`, { waitUntil: "commit" });
    late = await page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          new PerformanceObserver((list, observer) => {
            observer.disconnect();
            const [answer] = list.getEntries() as (PerformanceEntry & { readonly renderTime: number })[];
            resolve(answer!.renderTime - performance.getEntriesByName("first-contentful-paint")[0]!.startTime);
          }).observe({ type: "element", buffered: true });
        }),
    );
    await page.evaluate(() => {
      for (let i = 0, x = 1; i < 4e6; i++) x = (x * 48271) % 2147483647;
    });
  });
  return opened(events, late);
}

function opened(events: readonly TraceEvent[], late: number): Opening {
  const navigation = events.findLast(
    ({ name, args }) => name === "navigationStart" && args.data?.documentLoaderURL?.startsWith(server.url),
  )!;
  const own = events.filter(({ pid, ts }) => pid === navigation.pid && ts >= navigation.ts);
  const paint = own.find(({ name }) => name === "firstContentfulPaint")!;
  // The last before the paint: a new process has committed an empty document before, sometimes after the navigation began.
  const commit = own
    .filter(
      ({ name, ts, dur }) => name === "DocumentLoader::CreateParserPostCommit" && dur !== undefined && ts < paint.ts,
    )
    .reduce((last, one) => (one.ts > last.ts ? one : last));
  const tasks = own.filter(({ name, tid }) => name === "RunTask" && tid === paint.tid);
  const before = tasks.filter(({ ts }) => ts > commit.ts && ts < paint.ts);
  const after = tasks.filter(({ ts }) => ts > paint.ts);
  const ms = (microseconds: number) => microseconds / 1000;
  return {
    navigated: ms(paint.ts - navigation.ts) + late,
    committed: ms(paint.ts - commit.ts) + late,
    late,
    worked: ms(before.reduce((sum, { tdur = 0 }) => sum + tdur, 0)),
    loop: ms(Math.max(...after.map(({ tdur = 0 }) => tdur))),
  };
}

const { loop } = await timeOpening(pages["an empty page"], 1);
const names = Object.keys(pages) as (keyof typeof pages)[];
const found: Opening[][] = [];
let lost = 0;
for (let round = 0; round <= rounds; ) {
  const openings: Opening[] = [];
  for (const name of names) openings.push(await timeOpening(pages[name], slower));
  // A navigation within one process loses Chromium's slowing down now and then; such a round is taken again.
  if (openings.some((opening) => opening.loop < (loop * slower) / 2) && lost < rounds) lost++;
  // The first round is for warming up.
  else if (round++ > 0) found.push(openings);
}
if (lost > 0) console.log(`${lost} rounds were taken again, since the browser was not slowed down in them`);
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!.toFixed(0);
names.forEach((name, at) => {
  const told = (["navigated", "committed", "worked"] as const).map((key) => {
    const values = found.map((openings) => openings[at]![key]);
    const beyond = found.map((openings) => openings[at]![key] - openings[0]![key]);
    return `${median(values)} ms (${median(beyond)} beyond an empty page of the same round)`;
  });
  console.log(
    `${name}: the first answer ${told[0]} after the navigation began, ${told[1]} after it was committed, ` +
      `for which the page's thread worked ${told[2]}`,
  );
  const late = found.filter((openings) => openings[at]!.late > 0).length;
  if (late > 0) console.log(`${name}: ${late} of ${found.length} times not in the first frame`);
});

/** Milliseconds of the page's own thread that its longest task takes beside two variants that learn in a worker; not slowed down. */
async function longestTask(): Promise<number> {
  const events = await trace({}, async (page, begin) => {
    await page.goto(`${server.url}#tab=train`);
    await page.locator("#train-form").waitFor();
    await page.fill("#train-steps", "100");
    await begin();
    await page.evaluate(() => console.timeStamp("lesson"));
    await page.click("#train-form button[type=submit]");
    await page.locator("#train-told table").waitFor({ timeout: 0 });
  });
  const mark = events.find(({ name }) => name === "TimeStamp")!;
  const own = events.filter(({ name, pid, tid }) => name === "RunTask" && pid === mark.pid && tid === mark.tid);
  return Math.max(...own.map(({ tdur = 0 }) => tdur)) / 1000;
}
console.log(
  `beside two variants that learn: the page's thread works ${(await longestTask()).toFixed(0)} ms at most at a time`,
);

/** What the table of all models on all machines says of itself in a page that was just opened; not slowed down. */
async function surveyed(): Promise<string> {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(`${server.url}#tab=survey`);
    return (await page.locator("#survey-table caption").textContent({ timeout: 0 }))!;
  } finally {
    await context.close();
  }
}
const captions: string[] = [];
for (let round = 0; round < rounds; round++) captions.push(await surveyed());
const all = captions.map((caption) => Number(/ in (\d+) ms/.exec(caption)![1]));
console.log(`${/\d+ models × .* groups/.exec(captions[0]!)![0]}: ${median(all)} ms for the table of one number each`);
await browser.close();
await server.close();
rmSync(folder, { recursive: true, force: true });
