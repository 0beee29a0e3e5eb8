import { defineConfig } from "vitest/config";
import config from "../vitest.config.ts";

// Without its projects: each would take in all of this, and llama.cpp writes its log to whoever opened it first in a process.
const { projects: _, ...test } = config.test!;

export default defineConfig({ ...config, test: { ...test, include: ["parity/**/*.test.ts"] } });
