import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "vitest";
import { noBrowser, openBrowser } from "./browser.ts";
import { long } from "./extent.ts";

const program = join(import.meta.dirname, "../bin/biform.js");

/** `biform serve` of a model of random weights on a free port, ended with the test. */
async function serveModel(folder: string): Promise<{ url: string; end: () => Promise<void> }> {
  const file = join(folder, "tiny.gguf");
  execFileSync(process.execPath, [program, "make-model", file], { stdio: "ignore" });
  const args = [program, "serve", file, "--port", "0", "--json", "--threads", "1"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  const exited = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const { url } = JSON.parse(line) as { url: string };
    return {
      url,
      async end() {
        child.kill("SIGINT");
        await exited;
      },
    };
  }
  throw new Error(`serve: got no line, expected one that says it listens; exit ${child.exitCode}`);
}

test.skipIf(noBrowser !== undefined || !long)("the chat page talks with a model that biform serves", async () => {
  const folder = mkdtempSync(join(tmpdir(), "biform-chat-"));
  const browser = await openBrowser();
  let server: Awaited<ReturnType<typeof serveModel>> | undefined;
  try {
    server = await serveModel(folder);
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(0);
    const wrong: string[] = [];
    page.on("console", (message) => wrong.push(message.text()));
    page.on("pageerror", (error) => wrong.push(`${error.stack}`));
    await page.goto(server.url);
    await page.locator("html[data-ready]").waitFor();
    expect(await page.locator("#greeting").innerText()).toBe("Ask tiny");
    await page.click("#open-settings");
    await page.fill("#max_tokens", "24");
    await page.fill("#seed", "1");
    await page.getByRole("button", { name: "Done" }).click();
    const ask = async (text: string) => {
      await page.fill("#message", text);
      await page.press("#message", "Enter");
      await page.locator(".question .body").filter({ hasText: text.trim() }).waitFor();
      await page.locator("#send:not([hidden])").waitFor();
    };
    // Longer than a page of the cache, which is what prompts share.
    await ask("hello there ".repeat(50));
    await ask("and again");
    const notes = (await page.locator(".note").allInnerTexts()).map((note) => note.replaceAll(/\s+/g, " "));
    console.log(`notes of two answers: ${notes.join("; ")}`);
    expect(notes).toHaveLength(2);
    for (const note of notes)
      expect(note).toMatch(
        /tokens\/s .*prefix reused \d+ of \d+ tokens .*written \d+ tokens .*cache [\d.]+ [KM]iB .*(absorbed|expanded)/,
      );
    // The second prompt is the first one, its answer and more; what both begin with was in the cache.
    const [, before] = /reused \d+ of (\d+)/.exec(notes[0]!)!.map(Number);
    const [, cached, prompt] = /reused (\d+) of (\d+)/.exec(notes[1]!)!.map(Number);
    expect(prompt).toBeGreaterThan(before! + 24);
    expect(cached).toBeGreaterThan(96);
    expect(cached).toBeLessThan(prompt!);
    // More than the context holds is refused in words.
    await page.fill("#message", "word ".repeat(2000));
    await page.press("#message", "Enter");
    await page.locator(".trouble .title").filter({ hasText: "does not fit the model's context" }).waitFor();
    expect(wrong.filter((text) => !/^Failed to load resource/.test(text))).toEqual([]);
  } finally {
    await browser.close();
    await server?.end();
    rmSync(folder, { recursive: true, force: true });
  }
});
