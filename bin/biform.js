#!/usr/bin/env node
// Finds a Node of at least version 24 and starts the command line with it; written so that older versions can read it.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

if (Number(process.versions.node.split(".")[0]) >= 24) {
  await import("./start.js");
} else {
  let node;
  try {
    node = join(dirname(createRequire(import.meta.url).resolve("node/package.json")), "bin", "node");
  } catch {}
  if (!node || !existsSync(node)) {
    console.error(
      `biform: got Node ${process.versions.node}, expected 24 or newer; install it, or run npm install node@24 here`,
    );
    process.exit(1);
  }
  const forward = () => {};
  process.on("SIGINT", forward);
  const start = fileURLToPath(new URL("start.js", import.meta.url));
  const child = spawnSync(node, [start, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exit(child.status ?? 1);
}
