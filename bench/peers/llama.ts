/**
 * llama.cpp, through node-llama-cpp.
 *
 *   node llama.ts THREADS [plain|flash]     with flash attention, or without
 */
import { openLibrary } from "../../parity/llama.ts";
import { runs } from "./run.ts";
import { serve } from "./serve.ts";

const [threads = "2", flash = "plain"] = process.argv.slice(2);
const library = await openLibrary();
if ("missing" in library) throw new Error(library.missing);
const { version, open } = library;
await serve(
  { engine: "llama.cpp", version },
  runs((file, context) =>
    open(file, { context, threads: Number(threads), cache: "f16", flash: flash === "flash", batch: 512 }),
  ),
);
process.exit(0);
