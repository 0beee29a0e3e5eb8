import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Tab, tabs } from "../site/src/state.ts";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder, writeSampleGguf } from "../src/checkpoint/sample.ts";
import { machines } from "../src/cost/machine.ts";
import { openGguf } from "../src/file/disk.ts";
import type { Value } from "../src/file/metadata.ts";
import { writeGguf } from "../src/file/writer.ts";
import { conversation } from "../src/generate/chat.ts";
import { load } from "../src/generate/load.ts";
import { presetOf, presets } from "../src/plan/preset/preset.ts";
import { noBrowser, openBrowser } from "./browser.ts";
import { long } from "./extent.ts";
import { ranged } from "./fixture/range.ts";
import { serve } from "./fixture/serve.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "biform-site-"));

if (noBrowser) console.warn(`the page's tests are skipped: ${noBrowser}`);

let browser: Browser;
let server: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  // Without a browser too: that the page can be built is a test of its own.
  await build({ root: join(root, "site"), logLevel: "error", build: { outDir: folder, emptyOutDir: true } });
  if (noBrowser) return;
  server = await serve(folder, "/some/where/");
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What went wrong in the pages of the running test: words on the console, exceptions, requests elsewhere. */
let wrong: string[] = [];
let requests: string[] = [];
let contexts: BrowserContext[] = [];
afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  contexts = [];
  const found = wrong;
  wrong = [];
  expect(found).toEqual([]);
});

/** A page of its own, on a desk unless said otherwise, with everything it does written down. */
async function open(hash = "", options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  // A test that waits for ever is ended by its own limit.
  context.setDefaultTimeout(0);
  contexts.push(context);
  requests = [];
  context.on("request", (request) => {
    requests.push(request.url());
    // What a blob has is the page's own.
    if (!request.url().startsWith(server.url) && !request.url().startsWith("blob:"))
      wrong.push(`request: ${request.url()}`);
  });
  const page = await context.newPage();
  page.on("console", (message) => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  await page.goto(`${server.url}${hash}`);
  await page.locator("html[data-ready]").waitFor();
  return page;
}

const text = (page: Page, id: string) => page.locator(`#${id}`).innerText();
/** Waits until what is at `selector` says so. */
const says = (page: Page, selector: string, words: string | RegExp) =>
  page.locator(selector).filter({ hasText: words }).first().waitFor();

/** What each tab shows that is made last. */
const lasts: Readonly<Record<Tab, string>> = {
  memory: "#memory-pictures svg",
  machines: "#speed table",
  layers: "#kept table",
  engines: "#engines table",
  compare: "#comparison table",
  survey: "#survey-table table",
  crossover: "#explorer .prefilling svg",
  forms: "#drawing .scatter svg",
  proof: "#proof-form",
  family: "#relatives table",
  run: "#run-form",
  train: "#train-form",
  reports: "#report",
};

/** Opens one tab after the other and asks something of each. */
async function eachTab<T>(page: Page, ask: (tab: Tab) => Promise<T>): Promise<Record<Tab, T>> {
  const found: Partial<Record<Tab, T>> = {};
  for (const [tab, last] of Object.entries(lasts) as [Tab, string][]) {
    await page.click(`#tab-${tab}`);
    await page.locator(last).first().waitFor();
    found[tab] = await ask(tab);
  }
  return found as Record<Tab, T>;
}
const nothing = (none: unknown) => Object.fromEntries(Object.keys(lasts).map((tab) => [tab, none]));

/** A cell of a table by the words of its row and its column. */
const cell = (page: Page, place: string, row: string, column: string) =>
  page.evaluate(
    ([place, row, column]) => {
      for (const table of document.querySelectorAll<HTMLTableElement>(`${place} table`)) {
        const at = [...table.querySelectorAll("thead th")].findIndex((head) => head.textContent?.trim() === column);
        const found = [...table.tBodies[0]!.rows].find(({ cells }) => cells[0]!.textContent?.trim() === row);
        if (at >= 0 && found) return found.cells[at]!.innerText;
      }
      return undefined;
    },
    [place, row, column] as const,
  );

interface Given {
  name: string;
  content: string | Uint8Array;
}

/** Drops a file on the page as a person would, events and all. */
async function drop(page: Page, { name, content }: Given): Promise<void> {
  const bytes = [...(typeof content === "string" ? new TextEncoder().encode(content) : content)];
  await page.evaluate(
    ({ name, bytes }) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(bytes)], name));
      for (const type of ["dragenter", "dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
    },
    { name, bytes },
  );
}

const withoutHash = (url: string) => url.replace(/\?[0-9a-f]{8}$/, "");

const r1 = presetOf("deepseek-r1")!;
const configOf = (changes: object = {}) => JSON.stringify({ ...r1.config, ...changes });
const comparison = () => readFileSync(join(root, "test/fixture/comparison.json"), "utf8");

test("the page is built as the first answer, the rest of it, and what runs models", () => {
  expect(readdirSync(folder).toSorted()).toEqual(["index.html", "page.js", "run.js"]);
});

test("its first answer stands before everything but its own styles", () => {
  const page = readFileSync(join(folder, "index.html"), "utf8");
  const [before] = page.split(/deepseek-r1: 163&#160;840 tokens keep 10.72 GiB of latents in float16.<\/h1>/);
  // What a slow phone parses in one piece.
  expect(before!.length).toBeLessThan(3500);
  // And all that it reads before the first frame.
  expect(page.length).toBeLessThan(25_000);
});

// One test drives it all in the short command, from the link to the pictures; the rest are for the long one.
test.skipIf(noBrowser !== undefined)("the page plans DeepSeek-R1 at 163,840 tokens, and draws", async () => {
  const page = await open("#machines=h100-sxm+h200");
  expect(await text(page, "headline")).toContain("10.72 GiB of latents in float16");
  expect(await cell(page, "#answer", "absorbed", "values/token/layer")).toBe("576");
  expect(await cell(page, "#answer", "absorbed", "float16")).toMatch(/^10.72 GiB/);
  expect((await cell(page, "#answer", "expanded", "values/token/layer"))!.replaceAll(/\s/g, "")).toBe("40960");
  await page.locator("#memory-pictures svg").waitFor();
  await page.getByRole("tab", { name: "Machines" }).click();
  await page.locator("#pictures svg").nth(2).waitFor();
  // Each has a name and lines that have a length.
  const drawn = await page.$$eval(".pictures svg", (pictures) =>
    pictures.map((svg) => ({
      name: svg.getAttribute("aria-label") ?? "",
      points: Math.max(...[...svg.querySelectorAll("path")].map((path) => (path.getAttribute("d") ?? "").length)),
      broken: /NaN|Infinity/.test(svg.outerHTML),
    })),
  );
  expect(drawn.length).toBe(4);
  for (const { name, points, broken } of drawn) {
    expect(name.length).toBeGreaterThan(40);
    expect(points).toBeGreaterThan(30);
    expect(broken).toBe(false);
  }
  expect(requests.map(withoutHash)).toEqual([server.url, `${server.url}page.js`]);
  // A script that is not the page's own does not run: the policy stands.
  wrong = [];
  await page.evaluate(() => {
    const script = Object.assign(document.createElement("script"), { textContent: "globalThis.stranger = true" });
    document.head.append(script);
  });
  expect(await page.evaluate(() => "stranger" in globalThis)).toBe(false);
  expect(wrong.join("")).toMatch(/Content Security Policy/);
  wrong = [];
});

test.skipIf(noBrowser !== undefined)(
  "a model runs in the page, in a worker, and writes the same in either form",
  async () => {
    const page = await open("#tab=run");
    await page.click("#run-make");
    await says(page, "#run-about", /2 layers, weights of .* in memory/);
    const written: string[] = [];
    for (const form of ["expanded", "absorbed"]) {
      await page.check(`input[name=run-form][value=${form}]`);
      await page.fill("#run-tokens", "8");
      await page.click("#run-form button[type=submit]");
      await page.locator("#run-form:not([aria-busy])").waitFor();
      expect(await text(page, "run-figures")).toMatch(new RegExp(`tokens/s, a cache of .*, 2 layers ${form}`));
      written.push((await page.locator("#run-text").textContent())!);
      await page.click("#run-clear");
    }
    expect(written[0]).toMatch(/^> Once upon a time\n\n.+/s);
    expect(written[1]).toBe(written[0]);
    expect(await text(page, "run-problem")).toBe("");
    expect(requests.filter((url) => !url.startsWith("blob:")).map(withoutHash)).toEqual([
      server.url,
      `${server.url}page.js`,
      `${server.url}run.js`,
    ]);
  },
);

test.skipIf(noBrowser !== undefined)(
  "the page opens from a disk and runs models there, and says what is missing",
  async () => {
    const context = await browser.newContext({ offline: true });
    contexts.push(context);
    const local = await context.newPage();
    local.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
    local.on("console", (message) => wrong.push(`console: ${message.text()}`));
    await local.goto(`${pathToFileURL(join(folder, "index.html")).href}#tab=run`);
    await local.click("#run-make");
    await says(local, "#run-about", /2 layers, weights of .* in memory/);

    const alone = mkdtempSync(join(tmpdir(), "biform-alone-"));
    try {
      const lone = await context.newPage();
      copyFileSync(join(folder, "index.html"), join(alone, "index.html"));
      await lone.goto(pathToFileURL(join(alone, "index.html")).href);
      await says(lone, "body > p", "page: got no page.js beside it, expected one; keep its folder whole");
      expect(await text(lone, "headline")).toContain("10.72 GiB");
      copyFileSync(join(folder, "page.js"), join(alone, "page.js"));
      await lone.goto(`${pathToFileURL(join(alone, "index.html")).href}?#tab=run`);
      await lone.click("#run-make");
      await says(lone, "#run-problem", "page: got no run.js beside it, expected one; keep its folder whole");
    } finally {
      rmSync(alone, { recursive: true, force: true });
    }
  },
);

describe.skipIf(noBrowser !== undefined || !long)("the page", () => {
  test("says how long its answers take", async () => {
    const page = await open("#tab=survey");
    const times: number[] = [];
    for (const context of ["4096", "8k", "16k", "32k", "64k", "128k", "100000", "99999"]) {
      await page.fill("#context", context);
      const shown = await text(page, "timing");
      times.push(Number(/([\d.]+) ms/.exec(shown)![1]));
    }
    console.log(`answers to a changed context, ms: ${times.join(", ")}; ${await text(page, "drawing-time")}`);
    await says(page, "#survey-table caption", "machines");
    console.log(await page.locator("#survey-table caption").innerText());
    expect(await page.locator("#survey-table tbody tr").count()).toBe(presets.length);
    expect(await page.locator("#survey-table thead th").count()).toBe(machines.length + 4);
    expect(await cell(page, "#survey-table", "qwen3-235b-a22b", "fits on")).toMatch(/^\d+x/);
    // A model that no machine holds alone has a number on the smallest group that holds it.
    expect(await cell(page, "#survey-table", "qwen3-235b-a22b", "there")).toMatch(/^\d/);
  });

  test("gives every preset an answer", async () => {
    const page = await open();
    const silent: string[] = [];
    for (const { name } of presets) {
      await page.selectOption("#model", name);
      const [headline, problem] = [await text(page, "headline"), await page.locator("#model-problem").textContent()];
      if (!headline.startsWith(name) || problem !== "") silent.push(`${name}: ${problem}`);
    }
    expect(silent).toEqual([]);
  });

  test("finds presets by the words of a search", async () => {
    const page = await open();
    await page.fill("#search", "coder lite");
    expect(await page.locator("#model option").allTextContents()).toEqual([
      expect.stringContaining("deepseek-coder-v2-lite"),
    ]);
    expect(await text(page, "found")).toBe(`1 of ${presets.length} presets`);
    await page.fill("#search", "no such model");
    expect(await text(page, "found")).toBe(`0 of ${presets.length} presets`);
  });
});

describe.skipIf(noBrowser !== undefined || !long)("a link", () => {
  test("restores everything that was chosen", async () => {
    const page = await open();
    await page.selectOption("#model", "deepseek-v2-lite");
    await page.fill("#context", "32k");
    await page.fill("#batch", "8");
    await page.fill("#step", "2");
    await page.selectOption("#cache", "int8");
    await page.selectOption("#weights", "int4");
    await page.fill("#memory", "24GiB");
    await page.fill("#layout", "tp4,dp2");
    await page.getByRole("tab", { name: "Compare" }).click();
    await page.fill("#compare", "MLA GQA2-(192+64)-S2 [KDA*3,MLA] llama-3.1-8b");
    await page.getByRole("tab", { name: "Family" }).click();
    await page.fill("#fheads", "32");
    await page.locator("#fheads").blur();
    const link = page.url();
    const parts = {
      headline: "Memory",
      answer: "Memory",
      layouts: "Machines",
      comparison: "Compare",
      relatives: "Family",
    };
    const shown = async (page: Page) => {
      const found: string[] = [];
      for (const [id, name] of Object.entries(parts)) {
        await page.getByRole("tab", { name, exact: true }).click();
        await page.locator(`#${id}:not(:empty)`).waitFor();
        found.push(await text(page, id));
      }
      return found;
    };
    const before = await shown(page);
    expect(before[3]).toContain("GQA2-(192+64)-S2");

    const other = await open(new URL(link).hash);
    expect(await shown(other)).toEqual(before);
    expect(await other.inputValue("#context")).toBe("32k");
    expect(await other.inputValue("#compare")).toBe("MLA GQA2-(192+64)-S2 [KDA*3,MLA] llama-3.1-8b");
    expect(await text(other, "complaints")).toBe("");
  });

  test("goes back and forward through what was chosen, an entry for each gesture", async () => {
    const page = await open();
    const first = await text(page, "headline");
    await page.selectOption("#model", "deepseek-v2-lite");
    const second = await text(page, "headline");
    // Seven keys are one gesture.
    await page.focus("#context");
    await page.keyboard.type("1000000", { delay: 5 });
    await page.keyboard.press("Tab");
    const third = await text(page, "headline");
    expect(new Set([first, second, third]).size).toBe(3);
    await page.goBack();
    await says(page, "#headline", second);
    await page.goBack();
    await says(page, "#headline", first);
    await page.goForward();
    await page.goForward();
    await says(page, "#headline", third);
    expect(await page.inputValue("#context")).toBe("1000000");
  });

  test("that is damaged says which part, and the defaults stand", async () => {
    const page = await open("#batch=many&colour=red&cache=float3&context=32k&%E0%A4%A=1&step=99999999999999999999");
    const complaints = await text(page, "complaints");
    for (const part of ['batch: got "many"', "got colour", 'cache: got "float3"', "step: got"])
      expect(complaints).toContain(part);
    expect(await text(page, "headline")).toContain("2.145 GiB of latents in float16");
    for (const hash of [
      "#model=no-such-model",
      "#machines=abacus",
      "#context=-4",
      "#memory=much",
      "#kind=spec&spec=XYZ",
      "#layout=zz9",
      "#kind=file&file=x.gguf",
    ]) {
      const broken = await open(hash);
      const problems = (await broken.locator(".problem").allTextContents()).join("");
      expect(problems, hash).toMatch(/got .*expected/);
    }
  });

  test("may hold anything at all", async () => {
    const page = await open();
    const hashes = [
      "#",
      "##",
      "#=",
      "#&&&",
      "#model",
      "#%",
      `#config=${"%7B".repeat(5000)}&kind=file`,
      "#kind=file&config=[]",
      "#kind=file&config=null",
      "#__proto__=1&constructor=2&toString=3",
      `#spec=${"9".repeat(290)}&kind=spec`,
      "#kind=spec&spec=MLA&width=1048576&heads=4096&layers=2000",
      "#x.a=1&x.__proto__=2",
      "#compare=<img+src=x+onerror=alert(1)>&model=<u>",
    ];
    for (const hash of hashes) {
      await page.evaluate((hash) => {
        location.hash = hash;
      }, hash);
      // Two pictures later the page has seen the change.
      await page.evaluate(() => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen))));
    }
    await page.evaluate(() => {
      location.hash = "";
    });
    await says(page, "#headline", "10.72 GiB");
    expect(await page.locator("main img, main u").count()).toBe(0);
  });
});

describe.skipIf(noBrowser !== undefined || !long)("files", () => {
  test("a config.json that is dropped is planned, and stands in the link", async () => {
    const page = await open();
    await drop(page, { name: "config.json", content: configOf({ num_hidden_layers: 30 }) });
    await says(page, "#headline", "config.json");
    expect(await cell(page, "#answer", "absorbed", "float16")).toMatch(/^5.273 GiB/);
    const other = await open(new URL(page.url()).hash);
    expect(await text(other, "headline")).toBe(await text(page, "headline"));
    expect(await other.isChecked("input[name=kind][value=file]")).toBe(true);
  });

  test("a config.json that is chosen or pasted is planned as well", async () => {
    const page = await open("#kind=file");
    await page.setInputFiles("#file", {
      name: "a config.json",
      mimeType: "application/json",
      buffer: Buffer.from(configOf()),
    });
    await says(page, "#headline", "10.72 GiB");
    await page.fill("#config", configOf({ kv_lora_rank: 256 }));
    await says(page, "#headline", "config.json: 163 840 tokens keep 5.957 GiB");
  });

  test("a result of biform compare is drawn", async () => {
    const page = await open();
    await drop(page, { name: "result.json", content: comparison() });
    await page.locator("#opened svg").first().waitFor();
    expect(await text(page, "opened")).toContain("Attention compared:");
    expect(await page.locator("#opened table").count()).toBeGreaterThan(2);
    expect(await text(page, "report-problem")).toBe("");
    await page.setInputFiles("#report", {
      name: "again.json",
      mimeType: "application/json",
      buffer: Buffer.from(comparison()),
    });
    await says(page, "#opened", "again.json");
  });

  test("what cannot be read is told of in place, in the command's words", async () => {
    const page = await open();
    const bad: [Given, place: string, words: RegExp][] = [
      [{ name: "a.json", content: "{ not json" }, "#model-problem", /a\.json: got no JSON/],
      [
        { name: "b.bin", content: Uint8Array.from({ length: 300 }, (_, i) => (i * 77) % 256) },
        "#model-problem",
        /b\.bin: got no JSON/,
      ],
      [{ name: "empty.json", content: "" }, "#model-problem", /empty\.json: got/],
      [{ name: "list.json", content: "[1, 2]" }, "#model-problem", /list\.json: got a list, expected an object/],
      [{ name: "none.json", content: "{}" }, "#model-problem", /got/],
      [
        { name: "heads.json", content: configOf({ num_attention_heads: -3 }) },
        "#model-problem",
        /num_attention_heads: got -3/,
      ],
      [{ name: "huge.json", content: configOf({ hidden_size: 1e300 }) }, "#model-problem", /hidden_size: got/],
      [{ name: "odd.json", content: configOf({ model_type: "marvin" }) }, "#model-problem", /model_type: got "marvin"/],
      [{ name: "cut.gguf", content: "GGUF" }, "#model-problem", /cut\.gguf.*got/],
      [
        { name: "report.json", content: comparison().replace('"parameters"', '"parametres"') },
        "#report-problem",
        /report\.json: .*expected/,
      ],
      [
        { name: "plan.json", content: '{"format":"biform plan 1"}' },
        "#report-problem",
        /plan\.json: .*biform plan --json/,
      ],
    ];
    for (const [file, place, words] of bad) {
      await drop(page, file);
      await says(page, place, words);
      // The answers of before stay, but where the file is a model's.
      if (/heads|huge|odd/.test(file.name)) expect(await text(page, "headline")).toBe("");
      else expect(await text(page, "headline")).toContain("10.72 GiB");
      if (file.name === "odd.json") {
        await page.fill("#as", "MLA");
        await says(page, "#headline", "odd.json: 163 840 tokens keep 10.72 GiB of latents");
        await page.fill("#as", "");
      }
      await page.evaluate(() => {
        location.hash = "";
      });
      await says(page, "#headline", "10.72 GiB");
    }
  });

  test("nothing in a file becomes a part of the page", async () => {
    const page = await open();
    const evil = '<img src="x" onerror="document.title=1"><script>1<script>';
    await drop(page, { name: `${evil}.json`, content: configOf({ model_type: "deepseek_v3", _name_or_path: evil }) });
    await says(page, "#headline", "<img");
    await drop(page, { name: `${evil}.json`, content: JSON.stringify({ ...JSON.parse(comparison()), command: evil }) });
    await says(page, "#opened", "<img");
    expect(await page.locator("main img, main script").count()).toBe(0);
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the other parts", () => {
  test("models and variants stand in one table, which sorts", async () => {
    const page = await open("#tab=compare&compare=deepseek-r1+llama-3.1-405b+MHA+MLA&context=32k");
    await page.locator("#comparison table").waitFor();
    expect(await cell(page, "#comparison", "deepseek-r1", "cache at 32k")).toBe("2.145 GiB");
    expect(await cell(page, "#comparison", "deepseek-r1", "fits on")).toMatch(/^\d+x/);
    const names = () => page.locator("#comparison tbody th").allInnerTexts();
    expect(await names()).toEqual(["deepseek-r1", "llama-3.1-405b", "MHA", "MLA"]);
    const head = page.locator("#comparison thead button", { hasText: "values" });
    await head.click();
    expect((await names())[0]).toBe("MHA");
    await head.click();
    expect((await names())[0]).toMatch(/MLA|deepseek-r1/);
    expect(await page.locator('#comparison th[aria-sort="ascending"]').count()).toBe(1);
    await page.selectOption("#added", "qwen3-8b");
    await page.click("#add");
    expect(await names()).toContain("qwen3-8b");
    await page.fill("#compare", "MLA no-such-thing");
    await says(page, "#compare-problem", /no-such-thing.*expected/);
  });

  test("the family's table follows width and heads", async () => {
    const page = await open("#tab=family");
    await page.locator("#relatives table").waitFor();
    expect(await cell(page, "#relatives", "MLA", "cache, values / token")).toBe("576");
    expect(await page.locator("#relatives tbody tr").count()).toBeGreaterThan(25);
    await page.fill("#fwidth", "1024");
    expect(await cell(page, "#relatives", "MLA", "cache, values / token")).toBe("288");
    await page.fill("#match", "cache=200");
    await says(page, "#relatives caption", "nearest to cache=200");
    expect(Number((await cell(page, "#relatives", "MHA", "cache, values / token")) ?? 0)).toBeLessThanOrEqual(200);
    await page.fill("#match", "weight=3");
    await says(page, "#family-problem", /match: got "weight=3", expected one of cache/);
    await page.fill("#match", "");
    await page.fill("#fheads", "0");
    await says(page, "#panel-family .problem", 'fheads: got "0", expected a whole number');
  });

  test("the page goes on without a network, and back from a disk", async () => {
    const page = await open();
    await page.context().setOffline(true);
    await page.selectOption("#model", "deepseek-v2-lite");
    await says(page, "#headline", "deepseek-v2-lite");
    await page.getByRole("tab", { name: "All models" }).click();
    await page.selectOption("#survey", "longest");
    await says(page, "#survey-table caption", "machines");

    const context = await browser.newContext({ offline: true });
    contexts.push(context);
    const local = await context.newPage();
    local.on("console", (message) => wrong.push(`console: ${message.text()}`));
    local.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
    await local.goto(pathToFileURL(join(folder, "index.html")).href);
    await says(local, "#headline", "10.72 GiB");
    await local.selectOption("#model", "deepseek-v2-lite");
    await local.goBack();
    await says(local, "#headline", "10.72 GiB");
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the two forms", () => {
  test("the weights move when the form is switched by keyboard, and the drawing says which form it is", async () => {
    const page = await open("#tab=forms", { reducedMotion: "reduce" });
    const at = (id: string) =>
      page.locator(`svg.forms [data-id=${id}]`).evaluate((node) => {
        // Beside the drawing, since the page scrolls to what has the focus.
        const [own, all] = [node, node.closest("svg")!].map((element) => element.getBoundingClientRect());
        return [Math.round(own!.x - all!.x), Math.round(own!.y - all!.y)];
      });
    const title = page.locator("svg.forms > title");
    expect(await title.textContent()).toBe("MLA, expanded");
    const [key, value] = [await at("wuk"), await at("wuv")];
    await page.locator("#drawing input[value=expanded]").focus();
    await page.keyboard.press("ArrowRight");
    expect(await title.textContent()).toBe("MLA, absorbed");
    expect((await at("wuk"))[1]).toBeLessThan(key[1]! - 100);
    expect((await at("wuv"))[0]).toBeGreaterThan(value[0]! + 100);
    expect(await page.locator("svg.forms").getAttribute("role")).toBe("img");
    await page.keyboard.press("ArrowLeft");
    expect(await at("wuk")).toEqual(key);
  });

  test("the proof passes for every seed that is tried, and fails where it is broken", async () => {
    const page = await open("#tab=forms");
    await page.locator("#drawing .difference:not(:empty)").waitFor();
    const difference = async () => Number(await page.locator("#drawing .difference").innerText());
    const judged = () => page.locator("#drawing .judged").innerText();
    for (let i = 0; i < 3; i++) {
      expect(await difference()).toBeLessThan(1e-14);
      expect(await judged()).toBe("the forms are one function");
      await page.getByRole("button", { name: "Another seed" }).click();
    }
    for (const fault of ["norm", "scale", "rotary"]) {
      await page.locator(`#drawing input[value=${fault}]`).check();
      expect(await difference()).toBeGreaterThan(1e-3);
      expect(await judged()).toBe("not the same function");
    }
    await page.locator("#drawing input[value=none]").check();
    expect(await judged()).toBe("the forms are one function");
    await page.locator("#drawing input[name=r]").fill("0");
    expect(await difference()).toBeLessThan(1e-14);
    expect(await page.locator("svg.forms [data-id=kr]").count()).toBe(0);
  });

  test("stand on a phone without scrolling sideways", async () => {
    const page = await open("#tab=forms", { viewport: { width: 360, height: 740 } });
    await page.locator("svg.forms.narrow").waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the crossover", () => {
  test("is in the link, and comes back from it", async () => {
    const page = await open("#tab=crossover&x.model=glm-4.7-flash&x.machine=own&x.flops=1&x.bytes=1000");
    const told = () => page.locator("#explorer .headline").innerText();
    expect(await told()).toContain("Expanded over kept keys and values decodes faster at every context.");
    expect(await page.locator("#explorer .equations").innerText()).toContain("398");
    await page.locator("#explorer select[name=machine]").selectOption("h100-sxm");
    expect(await told()).toContain("Absorbed over latents decodes faster");
    expect(await page.evaluate(() => location.hash)).toBe("#tab=crossover&x.model=glm-4.7-flash");
    await page.goBack();
    expect(await page.locator("#explorer select[name=machine]").inputValue()).toBe("own");
    expect(await told()).toContain("Expanded over kept");
    expect(await page.locator("#explorer svg.picture").count()).toBe(2);
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the tabs", () => {
  test("are one row, of which the arrow keys choose one, and the address names it", async () => {
    const page = await open();
    const chosen = () => page.locator("[role=tab][aria-selected=true]");
    const shown = async () =>
      (await page.locator("[role=tabpanel]:not([hidden])").evaluateAll((all) => all.map(({ id }) => id))).join();
    expect(await page.getByRole("tab").evaluateAll((all) => all.map(({ id }) => id))).toEqual(
      tabs.map((tab) => `tab-${tab}`),
    );
    await chosen().focus();
    for (const [key, tab] of [
      ["ArrowRight", "machines"],
      ["ArrowRight", "layers"],
      ["ArrowLeft", "machines"],
      ["End", "reports"],
      ["ArrowRight", "memory"],
      ["ArrowLeft", "reports"],
      ["Home", "memory"],
      ["ArrowRight", "machines"],
    ] as const) {
      await page.keyboard.press(key);
      expect(await chosen().getAttribute("id")).toBe(`tab-${tab}`);
      expect(await page.evaluate(() => document.activeElement!.id)).toBe(`tab-${tab}`);
      expect(await shown()).toBe(`panel-${tab}`);
      // One tab stop for the whole row.
      expect(await page.locator("[role=tab][tabindex='0']").count()).toBe(1);
    }
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => location.hash)).toBe("#tab=machines");
    // All keys were one entry of the history.
    await page.goBack();
    await says(page, "[role=tab][aria-selected=true]", "Memory");
    expect(await shown()).toBe("panel-memory");
    await page.goForward();
    await says(page, "[role=tab][aria-selected=true]", "Machines");
  });

  test("are links that keep what was chosen, and each opens by itself", async () => {
    const page = await open();
    await page.selectOption("#model", "llama-3.1-8b");
    const link = await page.locator("#tab-layers").getAttribute("href");
    expect(link).toBe("#tab=layers&model=llama-3.1-8b");
    const other = await open(link!);
    expect(await other.locator("[role=tab][aria-selected=true]").innerText()).toBe("Layers");
    await says(other, "#kept caption", "Layers of a kind");
    expect(await text(other, "headline")).toContain("llama-3.1-8b");
  });
});

describe.skipIf(noBrowser !== undefined || !long)("a model in the page", () => {
  async function choose(page: Page, path: string): Promise<void> {
    await page.setInputFiles("#run-file", path);
    await says(page, "#run-about", /answers by its own template/);
  }

  async function ask(page: Page, words: string, tokens: number): Promise<void> {
    await page.fill("#run-prompt", words);
    await page.fill("#run-tokens", String(tokens));
    await page.click("#run-form button[type=submit]");
  }
  const idle = (page: Page) => page.locator("#run-form:not([aria-busy])").waitFor();

  test("chats from a file as Node does, whatever form is chosen meanwhile", async () => {
    const path = join(folder, "chatty.gguf");
    await writeSampleGguf(path, presetConfig("deepseek2", "tiny"), { seed: 2, type: "F32" });
    const loaded = await load(path, { threads: 1 });
    const { tokenizer, template } = loaded;
    const talk = conversation(loaded.session(), { tokenizer: tokenizer!, template: template! });
    let expected = "";
    for (const words of ["Who is there?", "And who else?"]) {
      expected += `${expected ? "\n\n" : ""}> ${words}\n\n`;
      for await (const { text } of talk.say(words, { maxTokens: 48, temperature: 0 })) expected += text;
    }
    loaded.close();

    const page = await open("#tab=run");
    await choose(page, path);
    await ask(page, "Who is there?", 48);
    for (const form of ["absorbed", "expanded", "absorbed"]) {
      await page.check(`input[name=run-form][value=${form}]`);
      await says(page, "#run-figures", form);
    }
    await idle(page);
    await ask(page, "And who else?", 48);
    await idle(page);
    expect(await page.locator("#run-text").textContent()).toBe(expected);
    await page.click("#run-clear");
    expect(await page.locator("#run-text").textContent()).toBe("");
  });

  test("stops, and says what is wrong with a file", async () => {
    const page = await open("#tab=run");
    await page.click("#run-make");
    await says(page, "#run-about", /answers/);
    await ask(page, "Once", 400);
    await says(page, "#run-figures", /tokens\/s/);
    await page.click("#run-stop");
    await idle(page);
    await page.setInputFiles("#run-file", { name: "no.gguf", mimeType: "", buffer: Buffer.from("no model at all") });
    await says(page, "#run-problem", /no\.gguf: .*got/);
    expect(await page.locator("#run-form fieldset:disabled").count()).toBe(1);
  });

  /** Says something in a page of its own, and gives what is written; the same for every way to the same model. */
  async function answer(page: Page): Promise<string> {
    await page.locator("#run-form fieldset:enabled").waitFor();
    expect(await text(page, "run-problem")).toBe("");
    await ask(page, "Who is there?", 12);
    await idle(page);
    return (await page.locator("#run-text").textContent())!;
  }

  test("opens from parts, from a folder and from what is dropped, and writes the same", async () => {
    const config = presetConfig("deepseek2", "tiny");
    const sample = { seed: 2, type: "F32" } as const;
    const whole = join(folder, "whole.gguf");
    await writeSampleGguf(whole, config, sample);
    const dir = join(folder, "checkpoint");
    await writeSampleFolder(dir, config, sample);
    const { metadata, tensors } = await openGguf(whole);
    const all = tensors.names.map((name) => ({
      name,
      shape: tensors.entry(name).shape,
      dtype: "F32" as const,
      data: () => tensors.read(name),
    }));
    const part = (no: number): Map<string, Value> =>
      new Map<string, Value>([
        ["split.no", { type: "u16", value: no }],
        ["split.count", { type: "u16", value: 2 }],
      ]);
    const parts = [1, 2].map((no) => join(folder, `cut-0000${no}-of-00002.gguf`));
    await writeGguf(parts[0]!, new Map([...metadata, ...part(0)]), all.slice(0, 4));
    await writeGguf(parts[1]!, part(1), all.slice(4));

    const page = await open("#tab=run");
    await page.setInputFiles("#run-file", whole);
    const expected = await answer(page);
    expect(expected.length).toBeGreaterThan("> Who is there?".length + 5);
    await page.setInputFiles("#run-file", parts);
    await says(page, "#run-about", /^cut-00001/);
    expect(await answer(page)).toBe(expected);
    await page.setInputFiles("#run-folder", dir);
    await says(page, "#run-about", /^checkpoint: 2 layers/);
    expect(await answer(page)).toBe(expected);
    await page.evaluate(async () => {
      const file = new File([await (await fetch("whole.gguf")).blob()], "dropped.gguf");
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(file);
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    });
    await says(page, "#run-about", /^dropped\.gguf/);
    expect(await answer(page)).toBe(expected);
    await page.setInputFiles("#run-file", parts[0]!);
    await says(page, "#run-problem", /cut-00002-of-00002\.gguf: got no such file, expected it beside the others/);
  });

  test("is fetched from an address once, kept, and cleared", async () => {
    const path = join(folder, "far.gguf");
    await writeSampleGguf(path, presetConfig("deepseek2", "tiny"), { seed: 2, type: "F32" });
    const bytes = readFileSync(path);
    let [sent, cors] = [0, true];
    const far = createServer((request, response) => {
      const headers = cors
        ? {
            "access-control-allow-origin": "*",
            "access-control-allow-headers": "range",
            "access-control-expose-headers": "content-range, etag",
            etag: '"1"',
          }
        : {};
      if (request.method === "OPTIONS") return void response.writeHead(204, headers).end();
      if (request.url !== "/far.gguf") return void response.writeHead(404, headers).end();
      response.on("finish", () => sent++);
      ranged(bytes, headers)(request, response);
    });
    await new Promise<void>((listens) => far.listen(0, "127.0.0.1", listens));
    const url = `http://127.0.0.1:${(far.address() as AddressInfo).port}/far.gguf`;
    const context = await browser.newContext();
    contexts.push(context);
    const visit = async (address: string) => {
      const page = await context.newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${address}#tab=run`);
      await page.locator("html[data-ready]").waitFor();
      await page.locator("#run-form").waitFor({ state: "attached" });
      return page;
    };
    const fetchIt = async (page: Page, from = url) => {
      await page.fill("#run-address", from);
      await page.click("#run-fetch button");
    };
    try {
      const page = await visit(server.url);
      await fetchIt(page);
      const written = await answer(page);
      await says(page, "#run-kept", /keeps 6\.\d+ MiB/);
      // Two blocks: what was fetched is not fetched again, in another tab neither.
      expect(sent).toBe(2);
      const other = await visit(server.url);
      await fetchIt(other);
      expect(await answer(other)).toBe(written);
      await page.click("#run-forget");
      await says(page, "#run-kept", "What is fetched is kept");
      // A page from a disk has no files of its own: it says so, and reads from the server.
      const local = await visit(pathToFileURL(join(folder, "index.html")).href);
      await fetchIt(local);
      expect(await answer(local)).toBe(written);
      await says(local, "#run-note", "keeps no files for this page");
      await fetchIt(local, url.replace("far", "gone"));
      await says(local, "#run-problem", /gone\.gguf: got status 404, expected the file/);
      cors = false;
      await fetchIt(local);
      await says(local, "#run-problem", /expected a server that allows pages of others/);
    } finally {
      await context.close();
      far.closeAllConnections();
      far.close();
    }
  });

  test("goes on from what was saved when its GPU is lost", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext()).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=run`);
      await page.locator("html[data-ready]").waitFor();
      await page.selectOption("#run-device", "webgpu");
      await page.click("#run-make");
      await says(page, "#run-about", /on the GPU/);
      // The worker's next device is remembered, so that it can be lost.
      await page.workers()[0]!.evaluate(() => {
        const { requestDevice } = GPUAdapter.prototype;
        GPUAdapter.prototype.requestDevice = async function (...given) {
          const device = await requestDevice.apply(this, given);
          Object.assign(globalThis, { seen: device });
          return device;
        };
      });
      await page.click("#run-make");
      await page.locator("#run-form fieldset:enabled").waitFor();
      await ask(page, "Who is there?", 6);
      await idle(page);
      const before = await page.locator("#run-text").textContent();
      await page.workers()[0]!.evaluate(() => (globalThis as unknown as { seen: GPUDevice }).seen.destroy());
      await ask(page, "And who else?", 6);
      await says(page, "#run-problem", /device was lost/);
      expect(await page.locator("#run-text").textContent()).toBe(before);
      await page.click("#run-restore");
      await says(page, "#run-about", /goes on from \d+ tokens that were saved/);
      await ask(page, "And who else?", 6);
      await idle(page);
      expect(await text(page, "run-problem")).toBe("");
      expect((await page.locator("#run-text").textContent())!.startsWith(`${before}\n\n> And who else?`)).toBe(true);
    } finally {
      await gpu.close();
    }
  });

  test("opens from a folder that is dropped, and from one at an address", async () => {
    const dir = join(folder, "dropped");
    await writeSampleFolder(dir, presetConfig("deepseek2", "tiny"), { seed: 2, type: "F32" });
    const page = await open("#tab=run");
    await page.setInputFiles("#run-folder", dir);
    const expected = await answer(page);
    await page.click("#run-make");
    await says(page, "#run-about", /answers/);
    // As a hand does: what is dropped is a folder of the disk.
    const hand = await page.context().newCDPSession(page);
    const data = { items: [], files: [dir], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"] as const)
      await hand.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
    await says(page, "#run-about", /^dropped: 2 layers/);
    expect(await answer(page)).toBe(expected);
    const headers = {
      "access-control-allow-origin": "*",
      "access-control-allow-headers": "range",
      "access-control-expose-headers": "content-range, etag",
      etag: '"1"',
    };
    const names = readdirSync(dir);
    const far = createServer((request, response) => {
      if (request.method === "OPTIONS") return void response.writeHead(204, headers).end();
      const name = names.find((one) => request.url === `/checkpoint/${one}`);
      if (!name) return void response.writeHead(404, headers).end();
      ranged(readFileSync(join(dir, name)), headers)(request, response);
    });
    await new Promise<void>((listens) => far.listen(0, "127.0.0.1", listens));
    const other = await browser.newContext();
    contexts.push(other);
    try {
      const away = await other.newPage();
      await away.goto(`${server.url}#tab=run`);
      await away.locator("html[data-ready]").waitFor();
      await away.fill("#run-address", `http://127.0.0.1:${(far.address() as AddressInfo).port}/checkpoint`);
      await away.click("#run-fetch button");
      await says(away, "#run-about", /2 layers/);
      expect(await answer(away)).toBe(expected);
    } finally {
      await other.close();
      far.closeAllConnections();
      far.close();
    }
  });

  test("says what to do where a GPU's memory ends, and goes on with a model that fits", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext()).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=run`);
      await page.locator("html[data-ready]").waitFor();
      await page.selectOption("#run-device", "webgpu");
      await page.click("#run-make");
      await says(page, "#run-about", /on the GPU/);
      // The next device has no room for what it is asked for, as drivers tell it: later, by an event.
      await page.workers()[0]!.evaluate(() => {
        const { createBuffer } = GPUDevice.prototype;
        GPUDevice.prototype.createBuffer = function (descriptor) {
          GPUDevice.prototype.createBuffer = createBuffer;
          const error = new GPUOutOfMemoryError("Out of memory");
          setTimeout(() => this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error })));
          return createBuffer.call(this, descriptor);
        };
      });
      await page.click("#run-make");
      await says(page, "#run-problem", /Out of memory.*use a smaller model, batch or context/);
      await page.click("#run-make");
      await says(page, "#run-about", /on the GPU/);
      await ask(page, "Who is there?", 3);
      await idle(page);
      expect(await text(page, "run-problem")).toBe("");
    } finally {
      await gpu.close();
    }
  });

  test.each(["wasm", "webgpu"])(
    "writes on after the page was frozen in the background, and in two tabs at once, on %s",
    async (device) => {
      const path = join(folder, "twice.gguf");
      await writeSampleGguf(path, presetConfig("deepseek2", "tiny"), { seed: 2, type: "F32" });
      const own = await openBrowser({ gpu: device === "webgpu" });
      try {
        const context = await own.newContext();
        const tab = async () => {
          const page = await context.newPage();
          page.setDefaultTimeout(0);
          await page.goto(`${server.url}#tab=run`);
          await page.locator("html[data-ready]").waitFor();
          await page.selectOption("#run-device", device);
          await page.setInputFiles("#run-file", path);
          await says(page, "#run-about", device === "webgpu" ? /on the GPU/ : /on one thread/);
          return page;
        };
        const page = await tab();
        const expected = await answer(page);
        const other = await tab();
        await page.click("#run-clear");
        const both = await Promise.all([answer(page), answer(other)]);
        expect(both).toEqual([expected, expected]);
        await page.click("#run-clear");
        const hand = await context.newCDPSession(page);
        await ask(page, "Who is there?", 12);
        await hand.send("Page.setWebLifecycleState", { state: "frozen" });
        await other.waitForTimeout(500);
        await hand.send("Page.setWebLifecycleState", { state: "active" });
        await idle(page);
        expect(await page.locator("#run-text").textContent()).toBe(expected);
      } finally {
        await own.close();
      }
    },
  );

  test("has its forms chosen by what the page measures, which it keeps", async () => {
    const page = await open("#tab=run");
    await page.click("#run-make");
    await says(page, "#run-about", "Forms are chosen by common figures");
    await page.click("#run-tune");
    await says(page, "#run-about", "Forms are chosen by what was measured");
    await answer(page);
    await page.reload();
    await page.locator("html[data-ready]").waitFor();
    await page.click("#run-make");
    await says(page, "#run-about", "Forms are chosen by what was measured");
  });

  test("has a GPU's forms chosen by what the page measures of that, which it keeps too", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext()).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=run`);
      for (const chosen of ["common figures", "what was measured"]) {
        await page.locator("html[data-ready]").waitFor();
        await page.selectOption("#run-device", "webgpu");
        await page.click("#run-make");
        await says(page, "#run-about", /on the GPU/);
        await says(page, "#run-about", `Forms are chosen by ${chosen}`);
        if (chosen === "what was measured") break;
        const start = performance.now();
        await page.click("#run-tune");
        await says(page, "#run-about", "Forms are chosen by what was measured");
        console.log(`the page measured its GPU in ${((performance.now() - start) / 1000).toFixed(1)} s`);
        await says(page, "#run-tuned", "Kept in this browser");
        await page.reload();
      }
      expect(await text(page, "run-problem")).toBe("");
      // The other device's are not taken for its own.
      await page.selectOption("#run-device", "wasm");
      await page.click("#run-make");
      await says(page, "#run-about", "Forms are chosen by common figures");
    } finally {
      await gpu.close();
    }
  });

  test("runs on a GPU by name, a software one here, and writes there what the processor writes", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext()).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=run`);
      await page.locator("html[data-ready]").waitFor();
      const written: (string | null)[] = [];
      for (const [device, about] of [
        ["webgpu", /on the GPU/],
        ["best", /on one thread/],
      ] as const) {
        await page.selectOption("#run-device", device);
        await page.click("#run-make");
        await says(page, "#run-about", about);
        await ask(page, "Once", 6);
        await idle(page);
        written.push(await page.locator("#run-text").textContent());
      }
      expect(written[0]!.length).toBeGreaterThan("> Once".length + 4);
      expect(written[0]).toBe(written[1]);
    } finally {
      await gpu.close();
    }
  });

  /** Watches the page's own thread from now on; `longest` is what took it longest. */
  const watchTasks = (page: Page) =>
    page.evaluate(() => {
      const seen = window as unknown as { longest: number };
      seen.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) seen.longest = Math.max(seen.longest, duration);
      }).observe({ type: "longtask" });
    });
  // Browsers tell of tasks from 50 ms on.
  const longest = (page: Page) => page.evaluate(() => (window as unknown as { longest: number }).longest || "below 50");

  test("variants learn side by side, and then write alike in each form", async () => {
    const page = await open("#tab=train");
    await page.locator("#train-form").waitFor();
    await watchTasks(page);
    await page.fill("#train-steps", "40");
    await page.click("#train-form button[type=submit]");
    await page.locator("#train-curves svg").waitFor();
    await page.locator("#train-told table").waitFor();
    expect((await text(page, "train-about")).match(/step 40 of 40, [\d.]+ nats/g)?.length).toBe(2);
    const rows = await page.$$eval("#train-told tbody tr", (rows) =>
      rows.map((row) => [...row.children].map((cell) => cell.textContent)),
    );
    expect(rows.map(([variant, form]) => `${variant} ${form}`)).toEqual([
      "MLA expanded",
      "MLA absorbed",
      "GQA2-128 grouped",
      "GQA2-128 shared",
    ]);
    for (const at of [0, 2]) expect(rows[at + 1]![3]).toBe(rows[at]![3]);
    // They write the same once more, whichever form each token runs in.
    await page.click("#train-voices button[type=submit]");
    for (const place of ["1", "0", "1"]) {
      await page.waitForTimeout(300);
      await page.check(`input[name=train-form][value="${place}"]`);
    }
    await page.locator("#train-voices:not([aria-busy])").waitFor();
    for (const at of [0, 1]) {
      const said = (await page.locator(`#train-said-${at}`).textContent())!;
      expect(said.startsWith(rows[2 * at]![3]!)).toBe(true);
      for (const form of [0, 1])
        expect(await page.locator(`#train-said-${at} .form-${form}`).count()).toBeGreaterThan(0);
    }
    expect(await text(page, "train-problem")).toBe("");
    console.log(`the page's longest task beside two variants that learn: ${await longest(page)} ms`);
    await page.fill("#train-variants", "MLA NONSENSE");
    await page.click("#train-form button[type=submit]");
    await says(page, "#train-problem", /NONSENSE/);
  });

  test("variants learn to recall, and from a text that is dropped", async () => {
    const page = await open("#tab=train");
    await page.locator("#train-form").waitFor();
    await page.fill("#train-variants", "MLA");
    await page.selectOption("#train-seeds", "1");
    await page.fill("#train-steps", "10");
    await page.selectOption("#train-data", "recall");
    await page.click("#train-form button[type=submit]");
    // Eight pairs are shown, and each is asked for once.
    await says(page, "#train-told td", /^(k\d+ v\d+ ){8}/);
    const answers = (await page.locator("#train-told tbody td").last().textContent())!;
    expect(answers.match(/k\d+ → v?k?\d*\.? ?[✓✗]/g)?.length).toBe(8);

    await drop(page, { name: "own.txt", content: "The gate is at the well. ".repeat(60) });
    await says(page, "#train-text", "own.txt");
    await page.click("#train-form button[type=submit]");
    await says(page, "#train-told caption", "What each writes");
    expect(await text(page, "train-problem")).toBe("");
    await drop(page, { name: "short.txt", content: "Too short." });
    await says(page, "#train-text", "short.txt");
    await page.click("#train-form button[type=submit]");
    await says(page, "#train-problem", /short\.txt: got 10 bytes of text, expected at least/);
  });

  test("a variant learns on a GPU as on the processor", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext()).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=train`);
      await page.locator("#train-form").waitFor();
      await page.fill("#train-variants", "MLA");
      await page.selectOption("#train-seeds", "1");
      await page.fill("#train-steps", "10");
      const losses: number[] = [];
      for (const device of ["webgpu", "wasm"]) {
        await page.selectOption("#train-device", device);
        await page.click("#train-form button[type=submit]");
        await page.locator("#train-told table").waitFor();
        const about = await text(page, "train-about");
        expect(about).toMatch(device === "webgpu" ? /^On the GPU/ : /^On one thread/);
        losses.push(Number(/step 10 of 10, ([\d.]+) nats/.exec(about)![1]));
      }
      // Shown to three digits; sums in another order differ by less after ten steps.
      expect(Math.abs(losses[0]! - losses[1]!)).toBeLessThan(0.002);
    } finally {
      await gpu.close();
    }
  });

  test("has threads where the page is isolated", async () => {
    const isolated = await serve(folder, "/", {
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    try {
      const page = await (await browser.newContext()).newPage();
      await page.goto(`${isolated.url}#tab=run`);
      await page.locator("html[data-ready]").waitFor();
      await page.click("#run-make");
      const threads = await page.evaluate(() => navigator.hardwareConcurrency);
      await says(page, "#run-about", threads === 1 ? "one thread" : `${threads} threads`);
      await ask(page, "Once", 4);
      await says(page, "#run-figures", /tokens\/s/);
      await page.context().close();
    } finally {
      await isolated.close();
    }
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the proof", () => {
  interface Point {
    readonly way: string;
    readonly cached: number;
    readonly bytes: number;
    readonly measured: number;
    readonly predicted: number;
  }

  /** What a trial of the smallest layer found, by its own numbers. */
  async function prove(page: Page, device: string) {
    await page.selectOption("#proof-layer", "tiny");
    await page.selectOption("#proof-device", device);
    await page.click("#proof-form button[type=submit]");
    await page.locator("#proof-form:not([aria-busy])").waitFor();
    expect(await text(page, "proof-problem")).toBe("");
    return JSON.parse((await page.locator("#proof-json").textContent())!) as {
      readonly device: string;
      readonly difference: { readonly relative: number; readonly tolerance: number };
      readonly decode: readonly Point[];
      readonly chunk: readonly Point[];
      readonly leads: { readonly decode: object; readonly chunk: object };
    };
  }

  test("measures both forms on the processor, keeps what it measured, and gives its numbers", async () => {
    const page = await open("#tab=proof");
    const { difference, decode, chunk, leads } = await prove(page, "wasm");
    expect(difference.relative).toBeGreaterThan(0);
    expect(difference.relative).toBeLessThan(difference.tolerance);
    const at = (way: string) => decode.find((point) => point.way === way && point.cached === 2048)!;
    // Latents of 64 + 8 numbers, or of 4 heads keys and values of 16 each beside one rotary key of 8.
    expect(at("absorbed").bytes).toBe(2049 * 4 * (64 + 8));
    expect(at("kept").bytes).toBe(2049 * 4 * (4 * (16 + 16) + 8));
    expect(at("unfolding").bytes).toBe(at("absorbed").bytes + at("kept").bytes);
    for (const { measured, predicted } of [...decode, ...chunk]) {
      expect(measured).toBeGreaterThan(0);
      expect(predicted).toBeGreaterThan(0);
    }
    expect(Object.keys(leads.decode)).toEqual(["measured", "predicted"]);
    await says(page, "#proof-found", "both forms gave the same numbers");
    expect(await page.locator("#proof-pictures svg").count()).toBe(3);
    await says(page, "#proof-machine caption", "Kept in this browser");
    expect(await page.evaluate(() => document.querySelectorAll("#panel-proof svg:not([aria-label])").length)).toBe(0);
    // What was measured is there when the page is opened anew.
    await page.reload();
    await page.locator("html[data-ready]").waitFor();
    await says(page, "#proof-machine caption", "Measured");
    // A browser that gives no clipboard to the page leaves the numbers to be taken by hand.
    await prove(page, "wasm");
    await page.click("#proof-copy");
    await page.locator("#proof-copied:not(:empty)").waitFor();
  });

  test("measures a GPU by name, a software one here, and says that it is one", async () => {
    const gpu = await openBrowser({ gpu: true });
    try {
      const page = await (await gpu.newContext({ viewport: { width: 360, height: 740 } })).newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${server.url}#tab=proof`);
      await page.locator("html[data-ready]").waitFor();
      const { difference, device } = await prove(page, "webgpu");
      expect(device).toMatch(/^the GPU/);
      expect(difference.relative).toBeLessThan(difference.tolerance);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    } finally {
      await gpu.close();
    }
  });
});

describe.skipIf(noBrowser !== undefined || !long)("the first answer", () => {
  test("stands before the page's script runs, and is the one that it then makes", async () => {
    /** What stands before the rest of the page is read, before its script runs, and after that; what comes later waits for ever. */
    const answers = async (hash: string, until: "headline" | "opening" | "script") => {
      const context = await browser.newContext();
      contexts.push(context);
      const page = await context.newPage();
      await page.addInitScript((until) => {
        if (until === "headline") PerformanceObserver.prototype.observe = () => {};
        if (until === "opening") globalThis.requestAnimationFrame = () => 0;
      }, until);
      await page.goto(`${server.url}${hash}`);
      if (until !== "headline") await page.locator(".cards").waitFor({ state: "attached" });
      if (until === "script") await page.locator("html[data-ready]").waitFor();
      return page.locator("[data-first]").allTextContents();
    };
    for (const hash of ["", "#model=gemma-3-27b", "#tab=engines&model=kimi-k2"]) {
      const made = await answers(hash, "script");
      expect(made[0], hash).toMatch(/tokens keep .*B of/);
      expect(made.length).toBeGreaterThan(5);
      // The headline is in the page, the numbers are there once it is unpacked.
      expect(await answers(hash, "headline"), hash).toEqual([made[0]]);
      expect(await answers(hash, "opening"), hash).toEqual(made);
    }
    // What the page was not built with is not told until it is known.
    for (const hash of ["#context=8k", "#model=no-such-model", "#model=__proto__"])
      for (const until of ["headline", "opening"] as const)
        expect((await answers(hash, until)).join(""), hash).toBe("");
  });

  test("is in the first frame that is drawn, that of a bare address and that of a link", async () => {
    for (const hash of ["", "#model=gemma-3-27b", "#tab=engines&model=kimi-k2"]) {
      const page = await open(hash);
      const drawn = await page.evaluate(async () => {
        const answer = await new Promise<{ renderTime: number }>((hand) =>
          new PerformanceObserver((list) => hand(list.getEntries()[0] as never)).observe({
            type: "element",
            buffered: true,
          }),
        );
        const paint = performance.getEntriesByName("first-contentful-paint")[0]!;
        return { answer: answer.renderTime, first: paint.startTime };
      });
      expect(drawn.answer, hash).toBe(drawn.first);
    }
  });

  test("is served by a command line with its reasons, or refused by name, and a link says which engine", async () => {
    const page = await open("#tab=engines&model=deepseek-v3&batch=64&context=32k&machines=8xh200");
    await says(page, "#serve-flags caption", /^vLLM .*, DeepseekV3ForCausalLM, on 8xh200 as/);
    expect(await text(page, "serve-command")).toMatch(
      /^vllm serve deepseek-ai\/DeepSeek-V3 \\\n {2}--data-parallel-size 8 /,
    );
    await page.selectOption("#serve", "sglang");
    await says(page, "#serve-command", "sglang.launch_server --model-path deepseek-ai/DeepSeek-V3");
    expect(new URL(page.url()).hash).toContain("serve=sglang");
    const flags = await page.locator("#serve-flags tbody th").allTextContents();
    for (const flag of flags) expect(await text(page, "serve-command")).toContain(flag);
    expect(flags).toContain("--context-length");
    // A browser that gives no clipboard to the page selects the command instead.
    await page.click("#serve-copy");
    await page.locator("#serve-copied:not(:empty)").waitFor();
    // Too much for the machine, and a form that no engine loads.
    await page.fill("#batch", "100000");
    await says(page, "#serve-problem", /--serve sglang: got .* expected/);
    expect(await page.locator("#serve-line").isVisible()).toBe(false);
    await page.evaluate(() => {
      location.hash = "tab=engines&kind=spec&serve=vllm";
    });
    await says(page, "#serve-problem", "--serve vllm: got a variant's name, expected a preset or a config.json");
    // Without a machine that was chosen, the smallest group with room.
    await page.evaluate(() => {
      location.hash = "tab=engines&model=llama-3.1-8b";
    });
    await says(page, "#serve-flags caption", /^vLLM .*, LlamaForCausalLM, on \S+ as tp1$/);
    expect(await text(page, "serve-problem")).toBe("");
  });

  test("tells what a card leaves to the processor beside it", async () => {
    const page = await open("#tab=machines&model=gpt-oss-120b&machines=rtx-4090%2Bryzen-9950x&offload=experts");
    await page.locator("#groups table").waitFor();
    expect(await text(page, "groups")).toMatch(/experts/);
    await page.fill("#offload", "some");
    await says(page, "#use-problem", /some/);
  });

  test("names a machine on which the model fits", async () => {
    const page = await open("#tab=machines&model=llama-3.1-8b");
    const cards = await page.locator(".cards dd:not(.soft)").allTextContents();
    expect(cards.at(-1)).toBe("rtx-5090");
    expect(await page.locator("#speed tbody th").first().innerText()).toMatch(/^rtx-5090/);
    expect(await page.locator("#speed").innerText()).not.toContain("too small");
  });
});

describe.skipIf(noBrowser !== undefined || !long)("everyone", () => {
  test("can name every control: each has a label, each table a caption, each picture words", async () => {
    const page = await open("#machines=h200");
    const nameless = await eachTab(page, () =>
      page.evaluate(() => {
        const named = (element: Element) =>
          element.getAttribute("aria-label") ||
          element.getAttribute("aria-labelledby") ||
          element.getAttribute("title") ||
          (element as HTMLInputElement).labels?.length ||
          element.textContent?.trim();
        const controls = [...document.querySelectorAll("input, select, textarea, button, a, summary")].filter(
          (element) => (element as HTMLInputElement).type !== "hidden" && !named(element),
        );
        const tables = [...document.querySelectorAll("table")].filter((table) => !table.caption?.textContent?.trim());
        const pictures = [...document.querySelectorAll("svg")].filter(
          (svg) => !svg.closest("[aria-hidden=true]") && !svg.parentElement?.closest("svg") && !named(svg),
        );
        return [...controls, ...tables, ...pictures].map((element) => element.outerHTML.slice(0, 120));
      }),
    );
    expect(nameless).toEqual(nothing([]));
  });

  test("can plan by the keyboard alone", async () => {
    const page = await open();
    const focused = () => page.evaluate(() => document.activeElement?.id ?? "");
    const reach = async (id: string) => {
      for (let presses = 0; presses < 200; presses++) {
        if ((await focused()) === id) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`Tab never reaches #${id}`);
    };
    await reach("model");
    await page.keyboard.press("Home");
    await says(page, "#headline", new RegExp(presets[0]!.name.replaceAll(".", "\\.")));
    await reach("context");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("64k");
    await page.keyboard.press("Tab");
    await says(page, "#headline", /65\s?536 tokens/);
  });

  test.each(["light", "dark"] as const)(
    "can read it in %s: text stands out from what is behind it by 4.5",
    async (colorScheme) => {
      const page = await open("#machines=h200", { colorScheme });
      const faint = await eachTab(page, () =>
        page.evaluate(() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
          /** Red, green, blue and opacity of any CSS colour, painted on nothing. */
          const parse = (colour: string) => {
            canvas.clearRect(0, 0, 1, 1);
            canvas.fillStyle = colour;
            canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
            return [r!, g!, b!, a! / 255] as const;
          };
          const light = (rgb: readonly number[]) => {
            const [r, g, b] = rgb
              .slice(0, 3)
              .map((x) => (x / 255 <= 0.04045 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
          };
          const behind = (element: Element | null): readonly number[] => {
            if (!element)
              return parse(getComputedStyle(document.documentElement).backgroundColor)[3]
                ? parse(getComputedStyle(document.documentElement).backgroundColor)
                : [255, 255, 255];
            const colour = parse(getComputedStyle(element).backgroundColor);
            return colour[3] > 0.99 ? colour : behind(element.parentElement);
          };
          const found = new Set<string>();
          for (const element of document.querySelectorAll<HTMLElement>(
            "p, li, th, td, label, legend, h1, h2, h3, a, button, caption, span, summary, output",
          )) {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent!.trim());
            if (!own || !element.checkVisibility() || element.closest("svg, [aria-hidden=true], :disabled")) continue;
            const [front, back] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
            const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
            if (ratio < 4.5)
              found.add(
                `${ratio.toFixed(2)} ${element.tagName}.${element.className}: ${element.textContent!.slice(0, 40)}`,
              );
          }
          return [...found];
        }),
      );
      expect(faint).toEqual(nothing([]));
    },
  );

  test("can hold it in a hand: nothing is wider than a phone", async () => {
    const page = await open("#machines=h200", { viewport: { width: 360, height: 740 } });
    const widths = await eachTab(page, () => page.evaluate(() => document.documentElement.scrollWidth));
    expect(widths).toEqual(nothing(360));
  });
});
