// Puts `biform` beside the other commands of node_modules, so that `npx biform` works in a checkout after `npm ci`.
import { existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "node_modules", ".bin");
if (existsSync(join(root, "node_modules"))) {
  mkdirSync(bin, { recursive: true });
  rmSync(join(bin, "biform"), { force: true });
  symlinkSync("../../bin/biform.js", join(bin, "biform"));
}
