import { setFlagsFromString } from "node:v8";
import fc from "fast-check";
import { long } from "./extent.ts";

// Kernels are tested as V8 optimises them, from their first call on: whoever runs a model runs these. Unoptimised code, which a
// short test would see alone, has been right where optimised code was not (LOG.md, 2026-12-01).
setFlagsFromString("--no-liftoff");

// A run that fails here fails everywhere: other seeds are for exploring (SEED=7 npm test).
// What has no number of its own tries half of what fast-check would, and all of it in the long tests.
fc.configureGlobal({ seed: Number(process.env.SEED ?? 10907), numRuns: long ? 100 : 50 });
