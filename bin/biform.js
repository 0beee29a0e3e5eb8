#!/usr/bin/env node
// Finds a Node of at least version 24 and runs the command line with it; written so that older versions can read it.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = join(root, "src", "cli", "main.ts");
// A checkout runs its sources as they are; the published package has only what was built.
const main = existsSync(source) ? source : join(root, "dist", "cli", "main.js");

if (Number(process.versions.node.split(".")[0]) >= 24) {
  await import(main);
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
  const child = spawnSync(node, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exit(child.status ?? 1);
}
