import fc from "fast-check";
import { long } from "./extent.ts";

// A run that fails here fails everywhere: other seeds are for exploring (SEED=7 npm test).
// What has no number of its own tries half of what fast-check would, and all of it in the long tests.
fc.configureGlobal({ seed: Number(process.env.SEED ?? 10907), numRuns: long ? 100 : 50 });
