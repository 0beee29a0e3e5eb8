import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { noBrowser, openBrowser } from "./browser.ts";
import { long } from "./extent.ts";
import { figures, type Script, type Scripted, serveScripted } from "./fixture/scripted.ts";

if (noBrowser) console.warn(`the chat page's tests are skipped: ${noBrowser}`);

/** Answers with the number of the question, and what was asked. */
const echo: Script = async ({ messages }, { say, end }) => {
  await say(`answer ${messages.filter(({ role }) => role === "user").length}: `);
  await say(messages.at(-1)!.content);
  await end();
};

let browser: Browser;
let api: Scripted;
beforeAll(async () => {
  if (noBrowser) return;
  api = await serveScripted(echo);
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  await api?.close();
});

/** What went wrong in the pages of the running test: words on the console, exceptions, requests elsewhere. */
let wrong: string[] = [];
let contexts: BrowserContext[] = [];
beforeEach(() => {
  if (noBrowser) return;
  Object.assign(api, { script: echo, failure: undefined, key: undefined, gone: 0 });
  api.models = [{ id: "smol", object: "model", max_model_len: 8192 }];
  api.asked.length = 0;
});
afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  contexts = [];
  const found = wrong;
  wrong = [];
  expect(found).toEqual([]);
});

/** A page of its own, on a desk unless said otherwise, with everything it does written down. */
async function open(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  // A test that waits for ever is ended by its own limit.
  context.setDefaultTimeout(0);
  contexts.push(context);
  context.on("request", (request) => {
    if (!request.url().startsWith(api.url)) wrong.push(`request: ${request.url()}`);
  });
  const page = await context.newPage();
  // That a request failed is told by the browser itself; tests make them fail.
  page.on("console", (message) => {
    if (!/^Failed to load resource/.test(message.text())) wrong.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.stack}`));
  await page.goto(api.url);
  await page.locator("html[data-ready]").waitFor();
  return page;
}

const sent = (page: Page) => page.locator("#send:not([hidden])").waitFor();

/** Asks and waits for the end of the answer. */
async function ask(page: Page, text: string): Promise<void> {
  await page.fill("#message", text);
  await page.press("#message", "Enter");
  await page.locator(".question .body").filter({ hasText: text }).first().waitFor();
  await sent(page);
}

const answers = (page: Page) => page.locator(".answer .text").allInnerTexts();
const questions = (page: Page) => page.locator(".question > .body").allInnerTexts();
const button = (page: Page, name: string | RegExp) => page.getByRole("button", { name });

/** Markdown as models write it, and as somebody writes who means harm. */
const markdown = `# Head\n\nA **bold** word and \\(a_1 * b_1\\).\n\n- one\n- two\n\n\`\`\`js\nlet a = "<b>";\nlet c;\n\`\`\`\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n`;
const hostile = `<img src="https://elsewhere.test/a.png" onerror="document.title='run'">

<script>document.title = "run"</script>

![see](https://elsewhere.test/b.png) [click](javascript:document.title='run') [ok](https://elsewhere.test/c)

<iframe src="https://elsewhere.test/d"></iframe><form id="composer" action="https://elsewhere.test/"><input name="message"></form>

Text with <b onclick="document.title='run'">one</b>, <b>two</b> and <a href="https://elsewhere.test/e" id="log">all</a>.

<style>body{display:none}</style>`;

// One test drives the main way in the short command; the rest are for the long one.
test.skipIf(noBrowser !== undefined)(
  "a question is asked, and its answer streams, is drawn safely and has its figures",
  async () => {
    const parts = [...`${markdown}\n${hostile}`.matchAll(/[\s\S]{1,40}/g)].map(([part]) => part);
    let go: () => void = () => {};
    const goes = new Promise<void>((resolve) => {
      go = resolve;
    });
    api.script = async (_, { say, end, wait }) => {
      for (const [at, part] of parts.entries()) {
        if (at === 3) await goes;
        await say(part);
        await wait(2);
      }
      await end();
    };
    const page = await open();
    await page.fill("#message", "What is it?");
    await page.press("#message", "Enter");
    // It streams: the beginning is there while the rest is not written yet.
    await page.locator(".answer.writing h1").filter({ hasText: "Head" }).waitFor();
    expect(await page.locator(".answer table").count()).toBe(0);
    go();
    await sent(page);
    expect(api.asked).toEqual([
      {
        model: "smol",
        messages: [{ role: "user", content: "What is it?" }],
        stream: true,
        stream_options: { include_usage: true },
      },
    ]);
    const text = page.locator(".answer .text");
    expect(await text.locator("strong").innerText()).toBe("bold");
    expect(await text.locator(".formula").innerText()).toBe("\\(a_1 * b_1\\)");
    expect(await text.locator("li").allInnerTexts()).toEqual(["one", "two"]);
    expect(await text.locator(".code code").innerText()).toBe('let a = "<b>";\nlet c;\n');
    expect(await text.locator('td[align="right"]').innerText()).toBe("2");
    // What would do harm is text, or gone.
    expect(await page.title()).toBe("Biform chat");
    expect(await text.locator("img, script, iframe, form, input, style, [style], [id], [onerror]").count()).toBe(0);
    expect(await text.innerText()).toContain("<script>document.title");
    const links = await text.locator("a").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
    expect(links).toEqual(["https://elsewhere.test/b.png", null, "https://elsewhere.test/c"]);
    const note = await page.locator(".note").innerText();
    expect(note.replaceAll(/\s+/g, " ")).toContain("23.4 tokens/s");
    for (const words of ["512 of 530 tokens", "12 MiB", "absorbed 92\u202f%, expanded 8\u202f%", "after 310 ms"])
      expect(note).toContain(words);
    expect(await text.locator("b").allInnerTexts()).toEqual(["two"]);
  const width = await page
      .locator(".prefix span")
      .evaluate((bar) => bar.getBoundingClientRect().width / bar.parentElement!.clientWidth);
    expect(width).toBeCloseTo(512 / 530, 2);
  },
);
