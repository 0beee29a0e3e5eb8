import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { gpuVariables } from "./scripts/gpu.ts";
import { long } from "./test/extent.ts";

// The processes of tests inherit these, and their threads: modules as Node has read them once, as bin/start.js has it.
const cache = fileURLToPath(new URL("node_modules/.cache/biform", import.meta.url));
Object.assign(process.env, gpuVariables(), { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? cache });

/**
 * What has a process of its own: what sets V8's flags, counts a process's memory, or has threads that end before their time. All
 * others share two processes, which read the sources once.
 */
const apart = ["heap", "memory", "threads", "outage", "law/device"];

/** What takes longest of the others, so that it begins first and both processes end together. */
const longest =
  "fuzz law/variants golden isolation constrain device site law/together stay place make pages rust families block template caught " +
  "law/mutant rewind unread law/op readme";

const order = [...apart, ...longest.split(" ")];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = order.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at < 0 ? order.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

const patience = (long ? 600 : 30) * 60_000;

const alone = apart.map((name) => `test/${name}.test.ts`);
/** What opens a GPU shares processes with nothing else, since its driver stays in them. */
const gpu = ["test/**/*gpu*.test.ts"];

export default defineConfig({
  // As the page's build has it.
  resolve: {
    alias: {
      "biform/web": fileURLToPath(new URL("src/web.ts", import.meta.url)),
      "biform/run": fileURLToPath(new URL("src/run.ts", import.meta.url)),
    },
  },
  test: {
    setupFiles: ["test/setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // No test is about time: these end what hangs, on machines of any speed. Long ones try twenty times as many cases.
    testTimeout: patience,
    hookTimeout: patience,
    projects: [
      { extends: true, test: { name: "apart", include: alone } },
      { extends: true, test: { name: "gpu", include: gpu, isolate: false } },
      {
        extends: true,
        test: { name: "together", include: ["test/**/*.test.ts"], exclude: [...alone, ...gpu], isolate: false },
      },
    ],
  },
});
