import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { gpuVariables } from "./scripts/gpu.ts";

// The processes of tests inherit these.
Object.assign(process.env, gpuVariables());

/** What takes longest, so that it begins first and all workers end together. */
const longest = [
  ...["law/device", "law/variants", "law/op", "law/model", "law/plan", "cli", "run", "plancli", "device"],
  ...["fuzz", "given", "packed", "golden", "site", "heap", "place", "stay", "rewind", "make", "template"],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = longest.findIndex((name) => moduleId.endsWith(`test/${name}.test.ts`));
      return at < 0 ? longest.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

// Each file has its own process: a wasm device owns worker threads and V8 flags of its process.
export default defineConfig({
  // As the page's build has it.
  resolve: {
    alias: {
      "biform/web": fileURLToPath(new URL("src/web.ts", import.meta.url)),
      "biform/run": fileURLToPath(new URL("src/run.ts", import.meta.url)),
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // No test is about time: these end what hangs, on machines of any speed.
    testTimeout: 30 * 60_000,
    hookTimeout: 30 * 60_000,
  },
});
