/**
 * Finds a Chromium or Chrome for the page's tests. Run by itself, it installs Debian's where there is none and it may: as root,
 * with apt-get. Elsewhere it says what to install; the tests that need a browser are then skipped, with the same words.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "google-chrome-beta", "chrome"];

/** Where installers put it that change no PATH. */
const places = [
  "/usr/bin/chromium",
  "/opt/google/chrome/chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  ...["PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"].map((name) =>
    join(process.env[name] ?? "/", "Google", "Chrome", "Application", "chrome.exe"),
  ),
];

/** What to do where `findBrowser` finds none. */
export const advice =
  "browser: got none, expected Chromium or Google Chrome; install it (Debian: apt-get install chromium; " +
  "elsewhere google.com/chrome), or name its program in BIFORM_BROWSER";

/** Path of a Chromium or Chrome; undefined where there is none. Throws where BIFORM_BROWSER names no program. */
export function findBrowser(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = env.BIFORM_BROWSER;
  if (named) {
    if (!runs(named))
      throw new Error(`BIFORM_BROWSER: got ${named}, expected a program; name Chromium's or Chrome's, or unset it`);
    return named;
  }
  const folders = (env.PATH ?? "").split(delimiter).filter(Boolean);
  return [...names.flatMap((name) => folders.map((folder) => join(folder, name))), ...places].find(runs);
}

function runs(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Debian's package, where this process may install it; whether that went well shows in `findBrowser`. */
function install(): void {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || !findProgram("apt-get")) return;
  console.log("browser: none here; installing Debian's chromium, about 100 MB to fetch");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", "chromium"]]) {
    console.log(`browser: apt-get ${args.join(" ")}`);
    const { status } = spawnSync("apt-get", ["-q", ...args], { stdio: "inherit", env });
    if (status !== 0) {
      console.log(`browser: apt-get ${args[0]} failed (${status})`);
      return;
    }
  }
}

function findProgram(name: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && runs(join(folder, name)));
}

if (import.meta.main)
  try {
    if (!findBrowser()) install();
    const found = findBrowser();
    console.log(found ? `browser: ${found}` : advice);
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  }
