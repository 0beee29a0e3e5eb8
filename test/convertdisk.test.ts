import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presetConfig } from "../src/checkpoint/preset.ts";
import { writeSampleFolder } from "../src/checkpoint/sample.ts";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import { writeConversion } from "../src/convert/write.ts";
import { mounts } from "./fixture/mount.ts";

// What ends a conversion midway, and what is left on the disk.

let dir = "";
const path = (name: string) => join(dir, name);
const prose = "the price of a latent is what it leaves out of keys and values; the rest is order. ".repeat(20);
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-disk-"));
  const config = {
    ...presetConfig("llama", "tiny"),
    ...{ hidden_size: 64, intermediate_size: 96, head_dim: 16, num_attention_heads: 4, num_key_value_heads: 2 },
  };
  await writeSampleFolder(path("llama"), config, { seed: 3, type: "F32" });
  await writeSampleFolder(path("deep"), { ...config, num_hidden_layers: 12 }, { seed: 3, type: "F32" });
  await writeFile(path("text.txt"), prose.repeat(10));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const sources = ["deep", "llama", "text.txt"];
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
/** `biform convert` of the sample to `out`, in a shell after `prefix`: a limit, a mount. */
function convert(prefix: string, out: string, command = ["sh"]) {
  const [file, ...rest] = command;
  const script = `${prefix}\nexec "$0" "$1" convert ${path("llama")} --to MLA --out ${out}`;
  const { stdout, stderr, status } = spawnSync(file!, [...rest, "-c", script, process.execPath, main], {
    cwd: dir,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { stdout, stderr, status };
}

describe.skipIf(process.platform === "win32")("a disk that is full", () => {
  test("leaves no checkpoint, keeps finished layers, and the same command goes on from them to the same bytes", async () => {
    // Layers are smaller than the limit, in blocks of 512 bytes, and the weights as a whole are not.
    const { stderr, status } = convert("ulimit -f 800", path("out"));
    expect(status).toBe(1);
    expect(stderr).toMatch(/out\/model\.safetensors: got EFBIG after \d+ bytes, expected to write it; .*ulimit -f/);
    expect(stderr).not.toMatch(/\n +at /);
    expect((await readdir(dir)).sort()).toEqual([".out.layers", ".out.look", ...sources].sort());
    const again = convert("", path("out"));
    expect(again.status).toBe(0);
    expect(again.stdout).toMatch(/2 layers were finished by an earlier run/);
    convert("", path("whole"));
    for (const name of ["model.safetensors", "config.json", "README.md"])
      expect(await readFile(join(path("out"), name))).toEqual(await readFile(join(path("whole"), name)));
    expect((await readdir(dir)).sort()).toEqual([...sources, "out", "whole"].sort());
  });

  test.skipIf(!mounts)("is told by its name while layers are made, too", () => {
    const mount = "mkdir m && mount -t tmpfs -o size=100k none m";
    const { stderr, status } = convert(mount, "m/out", ["unshare", "-rm", "sh"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/layer-00\d\.safetensors: got ENOSPC after \d+ bytes, .*the disk is full/);
    expect(stderr).not.toMatch(/\n +at /);
  });

  test("a folder that may not be written is told", () => {
    const { stderr, status } = convert("", path("llama/config.json/out"));
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /llama\/config\.json: got \w+ after 0 bytes, .*(a file of that name is there|a part of the path is a file)/,
    );
    expect(stderr).not.toMatch(/\n +at /);
  });
});

describe("an interruption", () => {
  const options = {
    wanted: { method: "biform", c: 12, r: 8, selection: "high", balance: 1, context: 64 },
    ...{ text: prose, tokens: 128, length: 32, threads: 1 },
  } as const satisfies ConvertOptions;

  test.each(["looking at text", "choosing what stays turned", "pricing"])(
    "while %s is heard between two layers, and what is seen of the text serves the second run",
    async (at) => {
      const [stop, out] = [new AbortController(), path(at.replaceAll(" ", "-"))];
      const heard: string[] = [];
      const watch = (what: string, done: number) => {
        heard.push(`${what} ${done}`);
        if (what === at && done === 1) stop.abort();
      };
      const first = await Conversion.open(path("llama"), { ...options, look: out, watch, signal: stop.signal });
      await expect(writeConversion(first, out, { signal: stop.signal })).rejects.toThrow(/aborted/);
      expect(heard.at(-1)).toBe(`${at} 1`);
      const seen: string[] = [];
      const second = await Conversion.open(path("llama"), { ...options, look: out, watch: (what) => seen.push(what) });
      await writeConversion(second, out);
      expect(seen.includes("looking at text")).toBe(at === "looking at text");
      await second.close(true);
      expect((await readdir(dir)).filter((name) => name.startsWith("."))).toEqual([]);
      const alone = await Conversion.open(path("llama"), options);
      await writeConversion(alone, `${out}-alone`);
      for (const name of ["model.safetensors", "README.md"])
        expect(await readFile(join(out, name))).toEqual(await readFile(join(`${out}-alone`, name)));
    },
  );

  test.skipIf(process.platform === "win32").each(["SIGINT", "SIGKILL"] as const)(
    "by %s leaves nothing half-written, and the same command goes on to the same bytes",
    async (signal) => {
      const out = path(signal);
      const words = ["convert", path("deep"), "--to", "MLA:c12:r8", "--method", "transmla", "--text", path("text.txt")];
      const begin = (to: string) => {
        const sizes = ["--tokens", "2048", "--length", "128", "--threads", "1"];
        return spawn(process.execPath, [main, ...words, ...sizes, "--out", to], { stdio: ["ignore", "pipe", "pipe"] });
      };
      const said = async ({ stdout, stderr }: ReturnType<typeof begin>) => {
        const [out, err] = await Promise.all([text(stdout!), text(stderr!)]);
        return out + err;
      };
      const first = begin(out);
      const words1 = said(first);
      // The first finished layer is on the disk, and others are to come.
      while (!existsSync(join(dir, `.${signal}.layers`, "layer-000.safetensors")) && first.exitCode === null)
        await setTimeout(5);
      first.kill(signal);
      const [code, by] = await once(first, "exit");
      expect([code, by]).toEqual(signal === "SIGINT" ? [130, null] : [null, "SIGKILL"]);
      if (signal === "SIGINT")
        expect(await words1).toContain("interrupted; the same command goes on from the layers that are finished\n");
      expect(existsSync(out)).toBe(false);
      expect(await said(begin(out))).toMatch(/^[1-9]\d* layers were finished by an earlier run$/m);
      await said(begin(`${out}-whole`));
      for (const name of ["model.safetensors", "config.json", "README.md"])
        expect(await readFile(join(out, name))).toEqual(await readFile(join(`${out}-whole`, name)));
      expect((await readdir(dir)).filter((name) => name.includes(`.${signal}`))).toEqual([]);
    },
  );

  test("leaves nothing of a dry run behind", async () => {
    const before = (await readdir(tmpdir())).filter((name) => /^\.biform-.*\.look$/.test(name));
    const conversion = await Conversion.open(path("llama"), options);
    const { layers } = await conversion.price(undefined, true);
    const during = (await readdir(tmpdir())).filter((name) => /^\.biform-.*\.look$/.test(name));
    await conversion.close();
    const after = (await readdir(tmpdir())).filter((name) => /^\.biform-.*\.look$/.test(name));
    // What is priced alone is what a conversion is priced at.
    const making = await Conversion.open(path("llama"), options);
    for (const [i, { whole, lost }] of (await making.price()).layers.entries()) {
      expect(layers[i]!.whole / whole).toBeCloseTo(1, 9);
      lost.forEach((share, rank) => {
        expect(Math.abs(layers[i]!.lost[rank]! - share)).toBeLessThan(1e-9);
      });
    }
    await making.close();
    const own = during.filter((name) => !before.includes(name));
    expect(own.length).toBeGreaterThan(0);
    expect(after.filter((name) => own.includes(name)).length).toBeLessThan(own.length);
  });
});
