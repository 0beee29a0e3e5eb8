import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { noBrowser, openBrowser } from "./browser.ts";
import { long } from "./extent.ts";
import { type Scripted, serveScripted } from "./fixture/scripted.ts";

/** Everything that an answer can have, and words and lines that are too long for a phone. */
const answer = `# A heading

A paragraph with **strong**, *soft*, \`code\`, ~~old~~ and [a link](https://example.test/${"long".repeat(40)}).

${"unbreakable".repeat(20)}

> A quotation

1. one
   - inner
2. two

\`\`\`ts
const line = "${"x".repeat(200)}";
\`\`\`

| ${"column |".repeat(14)}
|${"---|".repeat(14)}
| ${"value |".repeat(14)}

---

The end.`;

const browsed = describe.skipIf(noBrowser !== undefined || !long);

browsed("the chat page's looks", () => {
  let browser: Browser;
  let api: Scripted;
  beforeAll(async () => {
    browser = await openBrowser();
    api = await serveScripted(async ({ messages }, { chunk, say, end, wait }) => {
      const delta = (keys: object) => chunk({ choices: [{ index: 0, delta: keys, finish_reason: null }] });
      if (messages.length === 1) await delta({ reasoning_content: "Hm." });
      for (const [part] of answer.matchAll(/[\s\S]{1,60}/g)) {
        await say(part);
        await wait(20);
      }
      await delta({ tool_calls: [{ index: 0, id: "a", function: { name: "find", arguments: '{"a":1}' } }] });
      await end();
    });
  });
  afterAll(async () => {
    await browser.close();
    await api.close();
  });

  const send = async (page: Page, text: string) => {
    await page.fill("#message", text);
    await page.press("#message", "Enter");
  };
  const ended = (page: Page) => page.locator("#send:not([hidden])").waitFor();

  /** A page with a conversation in which everything has happened: branches, a problem, reasoning, tools. */
  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(0);
    const page = await context.newPage();
    await page.goto(api.url);
    await page.locator("html[data-ready]").waitFor();
    await send(page, "a question that is somewhat longer than its place in the list of chats");
    await ended(page);
    await page.getByRole("button", { name: "Answer again" }).click();
    await ended(page);
    api.failure = { status: 400, body: { error: { message: "top_k: got -1, expected 1 or more" } } };
    await send(page, "another");
    await page.locator(".trouble .title").waitFor();
    api.failure = undefined;
    return page;
  }

  test("has a name for every control and every place that scrolls", async () => {
    const page = await open();
    await page.getByRole("button", { name: "Edit this message" }).first().click();
    await page.click("#open-settings");
    const nameless = await page.evaluate(() => {
      const nameOf = (element: Element) => {
        const labels = (element as HTMLInputElement).labels;
        const labelled = element.getAttribute("aria-label") ?? labels?.[0]?.textContent ?? "";
        return (labelled || (element.matches("button, a, summary") ? element.textContent : "")).trim();
      };
      const controls = document.querySelectorAll(
        "button, a, input, select, textarea, summary, [tabindex='0'], svg[role]",
      );
      return [...controls].filter((element) => !nameOf(element)).map((element) => element.outerHTML.slice(0, 100));
    });
    expect(nameless).toEqual([]);
    expect(await page.locator("#turns [tabindex='0']").count()).toBeGreaterThan(2);
  });

  test.each(["light", "dark"] as const)("has a contrast of 4.5 at least in %s", async (colorScheme) => {
    const page = await open({ colorScheme });
    await page.getByText("Reasoning").first().click();
    const low = () =>
      page.evaluate(() => {
        const rgb = (text: string) => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
          canvas.fillStyle = text;
          canvas.fillRect(0, 0, 1, 1);
          return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        const light = ([r = 0, g = 0, b = 0]: number[]) => {
          const linear = [r, g, b].map((c) =>
            c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
          );
          return 0.2126 * linear[0]! + 0.7152 * linear[1]! + 0.0722 * linear[2]!;
        };
        const behind = (element: Element | null): number[] => {
          if (!element) return [255, 255, 255];
          const colour = rgb(getComputedStyle(element).backgroundColor);
          return colour[3] === 255 ? colour : behind(element.parentElement);
        };
        const found: [string, number][] = [];
        for (const element of document.querySelectorAll<HTMLElement>("body *")) {
          const own = [...element.childNodes].some((node) => node instanceof Text && node.data.trim());
          // Who may not press a button is told so by its looks.
          if (!own || !element.checkVisibility() || element.matches(":disabled, [aria-disabled]")) continue;
          const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
          const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
          found.push([`${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`, contrast]);
        }
        return { all: found.length, low: found.filter(([, contrast]) => contrast < 4.5) };
      });
    const first = await low();
    expect(first.all).toBeGreaterThan(50);
    expect(first.low).toEqual([]);
    const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await paper();
    // The switch shows the other theme, which is as good, and is there again after a reload.
    await page.click("#open-settings");
    expect((await low()).low).toEqual([]);
    await page.getByRole("radio", { name: colorScheme === "light" ? "dark" : "light" }).click();
    await page.getByRole("button", { name: "Done" }).click();
    await page.reload();
    await page.locator("html[data-ready]").waitFor();
    expect(await paper()).not.toBe(before);
    expect((await low()).low).toEqual([]);
  });

  test.each([360, 820, 1081])("fits a width of %i", async (width) => {
    const page = await open({ viewport: { width, height: 700 }, hasTouch: true, isMobile: width === 360 });
    const wide = () =>
      page.evaluate(() => {
        const scrolled = [document.documentElement, document.body, document.getElementById("log")!];
        if (scrolled.some((box) => box.scrollWidth > box.clientWidth)) return ["the page scrolls"];
        const edge = document.documentElement.clientWidth;
        return [...document.querySelectorAll<HTMLElement>("#room *")]
          .filter((element) => element.checkVisibility() && !element.closest("pre, .scroll, .hidden"))
          .filter(
            (element) =>
              element.getBoundingClientRect().right > edge + 0.5 || element.getBoundingClientRect().left < -0.5,
          )
          .map((element) => element.outerHTML.slice(0, 80));
      });
    expect(await wide()).toEqual([]);
    await page.getByRole("button", { name: "Edit this message" }).last().click();
    expect(await wide()).toEqual([]);
    await page.keyboard.press("Escape");
    if (width > 820) return;
    // The list lies over the page, has the focus, and gives it back.
    await page.click("#open-chats");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("new-chat");
    await page.keyboard.press("Escape");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("open-chats");
    await page.click("#open-chats");
    await page.locator("#chat-list .title").click();
    expect(await page.locator("#chats").getAttribute("data-open")).toBeNull();
    await page.click("#open-settings");
    expect(await page.evaluate(() => document.getElementById("settings")!.scrollWidth <= innerWidth)).toBe(true);
  });

  test.each([360, 1280])("moves nothing while text streams, at a width of %i", async (width) => {
    const page = await open({ viewport: { width, height: 700 } });
    await page.keyboard.press("Control+k");
    await page.waitForTimeout(600);
    await page.evaluate(() => {
      const shifts: string[] = [];
      Object.assign(globalThis, { shifts });
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries() as unknown as { value: number; sources: { node?: Element }[] }[])
          if (entry.value > 0.001)
            shifts.push(
              `${entry.value}: ${entry.sources.map(({ node }) => `${node?.nodeName} ${node?.className}`).join()}`,
            );
      }).observe({ type: "layout-shift" });
    });
    await send(page, "hello");
    await ended(page);
    // The reader was at the end and still is.
    const left = await page.evaluate(() => {
      const log = document.getElementById("log")!;
      return log.scrollHeight - log.scrollTop - log.clientHeight;
    });
    expect(left).toBeLessThan(2);
    expect(await page.evaluate(() => (globalThis as unknown as { shifts: string[] }).shifts)).toEqual([]);
  });

  test("stays where its reader is who has scrolled up, and draws what stands once", async () => {
    const page = await open();
    await send(page, "more");
    await page.locator(".answer.writing h1").waitFor();
    await page.locator(".answer.writing").evaluate((element) => {
      Object.assign(globalThis, { first: element.querySelector("h1") });
      document.getElementById("log")!.scrollTop = 100;
    });
    await page.locator("#to-end:not([hidden])").waitFor();
    await ended(page);
    expect(await page.evaluate(() => document.getElementById("log")!.scrollTop)).toBe(100);
    // The heading is the element that it was from the beginning.
    const same = await page.evaluate(() =>
      [...document.querySelectorAll("h1")].includes((globalThis as unknown as { first: HTMLHeadingElement }).first),
    );
    expect(same).toBe(true);
    await page.click("#to-end");
    await page.locator("#to-end").waitFor({ state: "hidden" });
  });

  test("is heard in whole blocks, each once", async () => {
    const page = await open();
    await page.evaluate(() => {
      const heard: string[] = [];
      Object.assign(globalThis, { heard });
      new MutationObserver((records) => {
        for (const { addedNodes } of records) for (const node of addedNodes) heard.push(node.textContent ?? "");
      }).observe(document.getElementById("spoken")!, { childList: true });
    });
    await send(page, "aloud");
    await ended(page);
    const heard = await page.evaluate(() => (globalThis as unknown as { heard: string[] }).heard);
    expect(heard[0]).toBe("Waiting for the answer.");
    expect(heard.at(-1)).toBe("The answer is complete.");
    for (const text of ["A heading", "A quotation", "The end."])
      expect(
        heard.filter((said) => said === text),
        text,
      ).toHaveLength(1);
    expect(heard.length).toBeLessThan(16);
  });
});
