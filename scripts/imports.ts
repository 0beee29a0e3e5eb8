// Which folder of src may import which, and which does: for the test that holds them to it, and for the picture in DESIGN.md.
import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** src, and all its files as paths under it. */
export const root = fileURLToPath(new URL("../src", import.meta.url));
export const files: readonly string[] = globSync("**/*.ts", { cwd: root }).toSorted();

/** Each folder may import those before it, and itself; "." are the entries of the package, which give names from anywhere. */
export const order =
  "draw < tensor < device < ops < grad < attention < model < cost < family < file, tokenizer < checkpoint < " +
  "generate, train < convert < heal < measure < verify < lab < cluster < torch < plan < batch < server < cli < .";

/** The folders of `order`, lowest first; those of one layer do not import each other. */
export const layers: readonly (readonly string[])[] = order.split(" < ").map((layer) => layer.split(", "));

/** Folders that import nothing of the package but themselves and these. */
export const apart: Readonly<Record<string, readonly string[]>> = { draw: [], data: ["tensor", "tokenizer"] };

/** The folder of src that a file is in, "." for src itself. */
export const folderOf = (file: string): string => (file.includes("/") ? file.split("/")[0]! : ".");

/** Whether a file of ops is the column of kernels that a device of this name brings. */
export const isColumn = (target: string, device: string): boolean => target === `ops/${basename(device)}`;

/** What a file imports from this package, as paths under src. */
function importsOf(file: string): string[] {
  const found = readFileSync(join(root, file), "utf8").matchAll(
    /(?:^|[;\n])\s*(?:import|export)\b[^;"']*["'](\.[^"']*)["']|import\(\s*["'](\.[^"']*)["']/g,
  );
  return [...found].map(([, fixed, lazy]) => relative(root, join(root, dirname(file), (fixed ?? lazy)!)));
}

/** Every import within src, as [file, target]. */
export const imports: readonly (readonly [file: string, target: string])[] = files.flatMap((file) =>
  importsOf(file).map((target) => [file, target] as const),
);
