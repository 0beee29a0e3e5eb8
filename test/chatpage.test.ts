import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { noBrowser, openBrowser } from "./browser.ts";
import { long } from "./extent.ts";
import { type Script, type Scripted, serveScripted } from "./fixture/scripted.ts";

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
        if (at === 2) await goes;
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

describe.skipIf(noBrowser !== undefined || !long)("the chat page", () => {
  test("stops an answer by the button and by Escape; what was written stays", async () => {
    api.script = async (_, { say, wait }) => {
      do await say("word ");
      while (await wait(10));
    };
    const page = await open();
    for (const [at, stop] of [() => page.click("#stop"), () => page.keyboard.press("Escape")].entries()) {
      await page.fill("#message", "go on");
      await page.keyboard.press("Enter");
      await page.locator(".answer").nth(at).locator(".text").filter({ hasText: "word word" }).waitFor();
      await stop();
      await sent(page);
      await expect.poll(() => api.gone).toBe(at + 1);
      expect(await page.locator(".answer .ending").nth(at).innerText()).toBe("Stopped.");
      expect(await page.evaluate(() => document.activeElement?.id)).toBe("message");
    }
    expect(api.asked[1]!.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user"]);
    expect(api.asked[1]!.messages[1]!.content).toMatch(/^(word )+$/);
  });

  test("edits and answers again on branches, and finds them back after a reload", async () => {
    const page = await open();
    await ask(page, "one");
    await ask(page, "two");
    // An edit of the first question is a branch with an answer of its own.
    await button(page, "Edit this message").first().click();
    await page.getByRole("textbox", { name: "Edit your message" }).fill("one, edited");
    await page.keyboard.press("Enter");
    await expect.poll(() => answers(page)).toEqual(["answer 1: one, edited"]);
    await sent(page);
    expect(api.asked.at(-1)!.messages).toEqual([{ role: "user", content: "one, edited" }]);
    expect(await page.locator(".branches:visible").allInnerTexts()).toEqual(["‹\n2/2\n›"]);
    await button(page, "Previous of 2 branches").click();
    expect(await questions(page)).toEqual(["one", "two"]);
    // The arrow that was pressed has the focus, also where it leads no further.
    expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe(
      "Previous of 2 branches",
    );
    // Another answer to the second question, whose prompt is the same.
    await button(page, "Answer again").last().click();
    await sent(page);
    expect(api.asked.at(-1)!.messages).toEqual(api.asked[1]!.messages);
    expect(await answers(page)).toEqual(["answer 1: one", "answer 2: two"]);
    expect(await page.locator(".branches:visible").allInnerTexts()).toEqual(["‹\n1/2\n›", "‹\n2/2\n›"]);
    await page.reload();
    await page.locator("html[data-ready]").waitFor();
    expect(await questions(page)).toEqual(["one", "two"]);
    await button(page, "Next of 2 branches").first().click();
    expect(await questions(page)).toEqual(["one, edited"]);
    expect(api.asked).toHaveLength(4);
  });

  test("works by keyboard alone", async () => {
    const page = await open();
    const focused = () => page.evaluate(() => document.activeElement?.id);
    expect(await focused()).toBe("message");
    await page.keyboard.type("a");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("b");
    await page.keyboard.press("Enter");
    await expect.poll(() => questions(page)).toEqual(["a\nb"]);
    await sent(page);
    // Up edits the last message, Escape leaves it as it was and gives the focus back.
    await page.keyboard.press("ArrowUp");
    await page.getByRole("textbox", { name: "Edit your message" }).waitFor();
    await page.keyboard.type("!");
    await page.keyboard.press("Escape");
    expect(await questions(page)).toEqual(["a\nb"]);
    expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe("Edit this message");
    await page.keyboard.press("/");
    expect(await focused()).toBe("message");
    await page.keyboard.type("a/b");
    expect(await page.inputValue("#message")).toBe("a/b");
    await page.fill("#message", "");
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("End");
    await page.keyboard.type("c");
    await page.keyboard.press("Enter");
    await expect.poll(() => answers(page)).toEqual(["answer 1: a\nbc"]);
    await sent(page);
    await page.keyboard.press("Control+k");
    expect(await questions(page)).toEqual([]);
    expect(await focused()).toBe("message");
    // The drawer opens and closes, and the focus is back where it was.
    await page.focus("#open-settings");
    await page.keyboard.press("Enter");
    await page.locator("#settings[open]").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("#settings:not([open])").waitFor({ state: "attached" });
    expect(await focused()).toBe("open-settings");
    // Every control of a conversation is reached by Tab.
    await page.keyboard.press("Control+k");
    await ask(page, "tab");
    const names = new Set<string>();
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      names.add(
        await page.evaluate(
          () => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "",
        ),
      );
    }
    for (const name of [
      "Edit this message",
      "Copy this answer",
      "Answer again",
      "Settings",
      "Export all",
      "Delete: tab",
    ])
      expect([...names], name).toContain(name);
  });

  test("shows reasoning folded, tools with their arguments, and why an answer ended", async () => {
    api.script = async (_, { chunk, end }) => {
      const delta = (keys: object, finish_reason: string | null = null) =>
        chunk({ choices: [{ index: 0, delta: keys, finish_reason }] });
      await delta({ reasoning_content: "Let me " });
      await delta({ reasoning_content: "think." });
      await delta({
        tool_calls: [{ index: 0, id: "c1", type: "function", function: { name: "weather", arguments: "" } }],
      });
      for (const part of ['{"city":', '"Ulm"}'])
        await delta({ tool_calls: [{ index: 0, function: { arguments: part } }] });
      await delta({ content: "Wait." }, "length");
      await end({});
    };
    const page = await open();
    await ask(page, "weather?");
    expect(await page.locator(".thoughts").isVisible()).toBe(false);
    await page.getByText("Reasoning").click();
    expect(await page.locator(".thoughts").innerText()).toBe("Let me think.");
    expect(await page.locator(".call").innerText()).toContain("Asks for the tool weather");
    expect(await page.locator(".call pre").innerText()).toBe('{\n  "city": "Ulm"\n}');
    api.script = echo;
    await ask(page, "and now?");
    expect(api.asked.at(-1)!.messages[1]).toEqual({
      role: "assistant",
      content: "Wait.",
      tool_calls: [{ id: "c1", type: "function", function: { name: "weather", arguments: '{"city":"Ulm"}' } }],
    });
  });

  test("tells errors in words, and what to do", async () => {
    const page = await open();
    const trouble = page.locator(".answer .trouble").last();
    const fail = (status: number, error: object, headers = {}) =>
      Object.assign(api, { failure: { status, body: { error }, headers } });
    fail(429, { message: "queue: got 64 requests, expected fewer", type: "rate_limit_error" }, { "retry-after": "3" });
    await ask(page, "hi");
    expect(await trouble.innerText()).toMatch(/too much to do[\s\S]*got 64 requests[\s\S]*in 3 s/);
    // What failed makes room for what is asked again.
    api.failure = undefined;
    await button(page, "Try again").click();
    await expect.poll(() => answers(page)).toEqual(["answer 1: hi"]);
    await sent(page);
    expect(await page.locator(".branches:visible").count()).toBe(0);
    fail(400, { message: "prompt: got 9000 tokens, expected at most 8192", code: "context_length_exceeded" });
    await ask(page, "longer");
    expect(await trouble.innerText()).toMatch(/does not fit[\s\S]*got 9000 tokens[\s\S]*new chat/);
    api.failure = undefined;
    api.script = async (_, { say, chunk }) => {
      await say("half");
      await chunk({ error: { message: "server: got an error of its own", type: "server_error" } });
    };
    await button(page, "Answer again").last().click();
    await trouble.filter({ hasText: "The server failed" }).waitFor();
    expect((await answers(page)).at(-1)).toBe("half");
    api.script = async (_, { say, breakOff }) => {
      await say("half");
      breakOff();
    };
    await button(page, "Try again").click();
    await trouble.filter({ hasText: "The answer broke off" }).waitFor();
    await page.route("**/v1/chat/completions", (route) => route.abort());
    await button(page, "Try again").click();
    await trouble.filter({ hasText: "The server does not answer" }).waitFor();
  });

  test("tells the place in the queue", async () => {
    let go: () => void = () => {};
    const goes = new Promise<void>((resolve) => {
      go = resolve;
    });
    api.script = async (_, { comment, wait, say }) => {
      await comment("queued at place 3");
      await goes;
      await comment("read 30 tokens, 20 of them cached");
      do await say("at last ");
      while (await wait(10));
    };
    const page = await open();
    await page.fill("#message", "hi");
    await page.keyboard.press("Enter");
    await page.getByText("Waiting: place 3 in the queue").waitFor();
    // What of the prompt was there already is told before the first token, so that a stopped answer has it too.
    go();
    await page.getByText("20 of 30 tokens").waitFor();
    await page.keyboard.press("Escape");
    await sent(page);
    expect(await page.locator(".note").innerText()).toContain("20 of 30 tokens");
  });

  test("asks for a key where the server wants one, and keeps it for the tab alone", async () => {
    api.key = "secret";
    const page = await open();
    const field = page.getByRole("textbox", { name: "API key" });
    await page.locator("#notice").getByText("wants an API key").waitFor();
    await page.locator("#notice input").fill("wrong");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator("#notice input").inputValue()).toBe("");
    await page.locator("#notice input").fill("secret");
    await page.keyboard.press("Enter");
    await page.locator("#notice:empty").waitFor({ state: "attached" });
    await ask(page, "hi");
    expect(await answers(page)).toEqual(["answer 1: hi"]);
    const stored = await page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage)]);
    expect(stored.map((text) => text.includes("secret"))).toEqual([false, true]);
    // A key that is no longer right is asked for beside the answer.
    api.key = "newer";
    await ask(page, "again");
    await button(page, "Enter the key").click();
    await field.fill("newer");
    await page.getByRole("button", { name: "Done" }).click();
    await button(page, "Answer again").last().click();
    await expect.poll(() => answers(page)).toEqual(["answer 1: hi", "answer 2: again"]);
  });

  test("sends what the drawer says, as numbers, and refuses what is wrong", async () => {
    const page = await open();
    await page.click("#open-settings");
    await page.fill("#system", "Be short.");
    const values = { temperature: "0.5", top_p: "0.9", min_p: "0.05", max_tokens: "40", seed: "7" };
    for (const [name, value] of Object.entries(values)) await page.fill(`#${name}`, value);
    await page.fill("#top_p", "1.5");
    expect(await page.locator("#top_p-problem").innerText()).toBe("A number from 0 to 1");
    await page.getByRole("button", { name: "Done" }).click();
    await ask(page, "hi");
    expect(api.asked[0]).toMatchObject({
      messages: [
        { role: "system", content: "Be short." },
        { role: "user", content: "hi" },
      ],
      ...{ temperature: 0.5, top_p: 0.9, min_p: 0.05, max_tokens: 40, seed: 7 },
    });
    await page.click("#open-settings");
    await page.click("#reset");
    await page.fill("#system", "");
    await page.getByRole("button", { name: "Done" }).click();
    await ask(page, "again");
    expect(Object.keys(api.asked[1]!).toSorted()).toEqual(["messages", "model", "stream", "stream_options"]);
    expect(api.asked[1]!.messages).toHaveLength(3);
  });

  test("keeps chats apart, answers one while another is shown, exports and deletes", async () => {
    let go: () => void = () => {};
    const goes = new Promise<void>((resolve) => {
      go = resolve;
    });
    api.script = async (asked, writer) => {
      await writer.say("slowly: ");
      await goes;
      await echo(asked, writer);
    };
    const page = await open();
    await page.fill("#message", "first");
    await page.keyboard.press("Enter");
    await page.getByText("slowly:").waitFor();
    await button(page, /^New chat/).click();
    expect(await questions(page)).toEqual([]);
    await page.locator("#chat-list .busy").waitFor();
    api.script = echo;
    await ask(page, "second");
    go();
    await page.locator("#chat-list .busy").waitFor({ state: "detached" });
    expect(await answers(page)).toEqual(["answer 1: second"]);
    await button(page, "first").click();
    expect(await answers(page)).toEqual(["slowly: answer 1: first"]);
    const [download] = await Promise.all([page.waitForEvent("download"), button(page, "Export: first").click()]);
    expect(download.suggestedFilename()).toMatch(/^first-\d{4}-\d\d-\d\d\.json$/);
    const { conversations } = JSON.parse(readFileSync(await download.path(), "utf8"));
    expect(conversations).toHaveLength(1);
    expect(conversations[0].turns.map(({ text }: { text: string }) => text)).toEqual([
      "first",
      "slowly: answer 1: first",
    ]);
    await button(page, "Delete: first").click();
    expect(await page.locator("#chat-list .title").allInnerTexts()).toEqual(["second"]);
    expect(await questions(page)).toEqual([]);
    await button(page, "Undo").click();
    expect(await questions(page)).toEqual(["first"]);
    await button(page, "Delete: first").click();
    await button(page, "second").click();
    await page.reload();
    expect(await page.locator("#chat-list .title").allInnerTexts()).toEqual(["second"]);
  });

  test("lets the oldest chats go where the list is full, and says so", async () => {
    const page = await open();
    await ask(page, "the oldest");
    await page.evaluate(() => {
      const key = Object.keys(localStorage).find((name) => name.startsWith("biform.chat."))!;
      const chat = JSON.parse(localStorage.getItem(key)!);
      for (let i = 1; i < 4; i++) {
        const id = `filler${i}`;
        chat.turns[1].text = "x".repeat(1_100_000);
        localStorage.setItem(`biform.chat.${id}`, JSON.stringify({ ...chat, id, changed: chat.changed + i }));
      }
    });
    await button(page, /^New chat/).click();
    api.script = async (_, { say, end }) => {
      await say("y".repeat(800_000));
      await end();
    };
    await ask(page, "the newest");
    expect(await page.locator("#chat-note").innerText()).toContain("The oldest 2 chats had to go");
    expect(await page.locator("#chat-list .title").allInnerTexts()).toEqual(["the newest", "the oldest", "the oldest"]);
  });
});
