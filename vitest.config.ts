import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Each file has its own process: a wasm device owns worker threads and V8 flags of its process.
export default defineConfig({
  // As the page's build has it.
  resolve: { alias: { "biform/web": fileURLToPath(new URL("src/web.ts", import.meta.url)) } },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
