import { createRequire } from "node:module";

/** Versions that a result depends on. */
export function versions(): { biform: string; node: string; v8: string } {
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  return { biform: version, node: process.versions.node, v8: process.versions.v8 };
}
