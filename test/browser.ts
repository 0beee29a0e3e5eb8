import { type Browser, chromium } from "playwright-core";
import { advice, findBrowser } from "../scripts/browser.ts";

/** Why tests in a browser are skipped; undefined where there is one. */
export const noBrowser: string | undefined = findBrowser() ? undefined : advice;

/**
 * A headless Chromium with a fresh profile; `close()` it. Playwright makes the profile and deletes it. Nothing of the browser's
 * own goes to the network, so that a test sees the page's requests alone. `gpu`: it offers the software GPU that it brings.
 */
export async function openBrowser({ gpu = false } = {}): Promise<Browser> {
  const executablePath = findBrowser();
  if (!executablePath) throw new Error(advice);
  return chromium.launch({
    executablePath,
    headless: true,
    // Slow machines take longer to start it than anyone would wait; tests have limits of their own.
    timeout: 0,
    // Its sandbox cannot be had as root, as in a container.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      "--headless=new",
      ...(gpu ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] : ["--disable-gpu"]),
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
