import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

test.each(["package-lock.json", "bench/package-lock.json", "parity/package-lock.json", "interop/package-lock.json"])(
  "%s names packages and hashes, and no registry",
  (path) => {
    const { packages } = JSON.parse(read(path)) as {
      packages: Record<string, { integrity?: string; resolved?: string; link?: true; hasInstallScript?: true }>;
    };
    const entries = Object.entries(packages).filter(([name, { link }]) => name.includes("node_modules/") && !link);
    expect(entries.length).toBeGreaterThan(10);
    expect(entries.filter(([, entry]) => entry.resolved)).toEqual([]);
    expect(entries.filter(([, entry]) => !entry.integrity)).toEqual([]);
  },
);

test("no package runs a script when Biform is installed", () => {
  const packages = Object.entries<{ hasInstallScript?: true }>(JSON.parse(read("package-lock.json")).packages);
  const scripted = packages.filter(([name, entry]) => name !== "" && entry.hasInstallScript).map(([name]) => name);
  // Its script clears a mark that macOS puts on files that were fetched by a browser; npm fetches them without one.
  expect(scripted).toEqual(["node_modules/webgpu"]);
  expect(JSON.parse(read("package.json")).allowScripts).toEqual({ webgpu: false });
});

test("other engines are installed apart from Biform", () => {
  const own = JSON.stringify(Object.keys(JSON.parse(read("package-lock.json")).packages));
  expect(own).not.toMatch(/llama|tensorflow|jax|onnx|transformers/);
  expect(JSON.parse(read("package.json")).overrides).toBeUndefined();
});
