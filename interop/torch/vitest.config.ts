import { defineConfig } from "vitest/config";
import config from "../../vitest.config.ts";

// Not the projects of the suite, whose files these would be beside.
const { projects: _, ...test } = config.test!;

export default defineConfig({
  ...config,
  test: { ...test, include: ["interop/torch/*.test.ts"], fileParallelism: false, reporters: ["verbose"] },
});
