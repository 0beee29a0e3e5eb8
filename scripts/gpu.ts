/** Finds a driver for the tests that need a GPU: the machine's own, else the software one that comes with Chromium. */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { findBrowser } from "./browser.ts";

/** What to do where tests find no adapter. */
export const advice =
  "gpu: got no adapter, expected one that Vulkan, Metal or D3D12 knows; install a driver, or Chromium, whose software GPU does";

/** Folders in which Vulkan looks for drivers. */
const drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];

/**
 * Variables with which a new process finds a Vulkan driver; none where it finds one by itself, or where there is none. They must be
 * set before a process starts, since its loader reads them.
 */
export function gpuVariables(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  if (process.platform !== "linux" || env.VK_ICD_FILENAMES || env.VK_DRIVER_FILES) return {};
  if (drivers.some((folder) => existsSync(folder) && readdirSync(folder).length)) return {};
  const browser = findBrowser(env);
  const folders = browser ? [dirname(realpathSync(browser)), "/usr/lib/chromium"] : [];
  const folder = folders.find((f) => existsSync(join(f, "vk_swiftshader_icd.json")));
  if (!folder) return {};
  return {
    VK_ICD_FILENAMES: join(folder, "vk_swiftshader_icd.json"),
    LD_LIBRARY_PATH: [folder, env.LD_LIBRARY_PATH].filter(Boolean).join(":"),
    XDG_RUNTIME_DIR: env.XDG_RUNTIME_DIR ?? "/tmp",
  };
}
