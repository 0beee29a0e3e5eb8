import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { recoverFolder, writeAtomic, writeFolder } from "../src/file/atomic.ts";
import { DeviceError, FormatError } from "../src/tensor/error.ts";
import { mounts } from "./fixture/mount.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-atomic-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const text = (...path: string[]) => readFileSync(join(dir, ...path), "utf8");
const module = JSON.stringify(new URL("../src/file/atomic.ts", import.meta.url).href);

/** Runs code in a child under a shell's `prefix` (a limit, a mount); what it prints comes back. */
function child(prefix: string, code: string, command = ["sh"]): string {
  const script = `${prefix}\nexec "$0" --input-type=module -e "$1"`;
  const [file, ...rest] = command;
  const { stdout, stderr } = spawnSync(file!, [...rest, "-c", script, process.execPath, code], {
    cwd: dir,
    encoding: "utf8",
  });
  return stdout + stderr;
}

describe("one file", () => {
  test("new content replaces the old, and nothing else is left in the folder", async () => {
    const path = join(dir, "a");
    await writeAtomic(path, ["one ", new TextEncoder().encode("two")]);
    expect(text("a")).toBe("one two");
    await writeAtomic(path, []);
    expect(text("a")).toBe("");
    expect(readdirSync(dir)).toEqual(["a"]);
  });

  test("while it is being written the old content stands", async () => {
    const path = join(dir, "a");
    await writeAtomic(path, ["old"]);
    const seen: string[] = [];
    await writeAtomic(
      path,
      (async function* () {
        yield "new";
        seen.push(text("a"));
        yield "er";
        seen.push(text("a"));
      })(),
    );
    expect(seen).toEqual(["old", "old"]);
    expect(text("a")).toBe("newer");
  });

  test("an error of what is being written passes through, and the old file stays", async () => {
    const path = join(dir, "a");
    await writeAtomic(path, ["old"]);
    const chunks = (function* () {
      yield "half";
      throw new RangeError("from the source");
    })();
    await expect(writeAtomic(path, chunks)).rejects.toThrow(new RangeError("from the source"));
    expect(text("a")).toBe("old");
    expect(readdirSync(dir)).toEqual(["a"]);
  });

  test("a link is followed, not replaced", async () => {
    await writeFile(join(dir, "real"), "old");
    await symlink("real", join(dir, "link"));
    await writeAtomic(join(dir, "link"), ["new"]);
    expect(text("real")).toBe("new");
    expect(readdirSync(dir)).toEqual(["link", "real"]);
  });

  test("a missing folder, a folder and a file as a folder each say so", async () => {
    await writeFile(join(dir, "file"), "");
    await expect(writeAtomic(join(dir, "none", "a"), ["x"])).rejects.toThrow(/ENOENT.*the folder does not exist/);
    await expect(writeAtomic(join(dir, "none", "a"), ["x"])).rejects.toBeInstanceOf(DeviceError);
    await expect(writeAtomic(dir, ["x"])).rejects.toThrow(/got a folder, expected a file/);
    await expect(writeAtomic(join(dir, "file", "a"), ["x"])).rejects.toThrow(DeviceError);
  });

  test("leftovers of killed processes are removed after an hour, other files never", async () => {
    const old = new Date(Date.now() - 2 * 3_600_000);
    for (const name of [".a.0123456789ab.tmp", ".a.notes.tmp", ".b.0123456789ab.tmp", ".a.ba9876543210.tmp"])
      await writeFile(join(dir, name), "");
    for (const name of [".a.0123456789ab.tmp", ".a.notes.tmp", ".b.0123456789ab.tmp"])
      await utimes(join(dir, name), old, old);
    await writeAtomic(join(dir, "a"), ["x"]);
    expect(readdirSync(dir)).toEqual([".a.ba9876543210.tmp", ".a.notes.tmp", ".b.0123456789ab.tmp", "a"]);
  });
});

describe.skipIf(process.platform === "win32")("a disk that is full or closed", () => {
  test.skipIf(!existsSync("/dev/full"))(
    "a full device gives a DeviceError, and the device is not replaced by a file",
    async () => {
      const error = await writeAtomic("/dev/full", ["x"]).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(DeviceError);
      expect((error as Error).message).toMatch(/^\/dev\/full: got ENOSPC after 0 bytes, .*free some space/);
      expect(statSync("/dev/full").isCharacterDevice()).toBe(true);
    },
  );

  const save = (target: string) => `
    import { writeAtomic, writeFolder } from ${module};
    const big = function* () { for (let i = 0; i < 16; i++) yield new Uint8Array(65536); };
    try {
      await ${target};
      console.log("written");
    } catch (error) { console.log(error.name + ": " + error.message); }`;
  const file = save('writeAtomic("a", big())');
  const folder = save(
    'writeFolder("run", [{ name: "config.json", chunks: ["new"] }, { name: "model", chunks: big() }])',
  );

  test("beyond the process's file size limit the old file stays and the error says what to do", async () => {
    await writeFile(join(dir, "a"), "old");
    // In blocks of 512 bytes.
    expect(child("ulimit -f 300", file)).toMatch(/^DeviceError: a: got EFBIG after \d+ bytes, .*ulimit -f/);
    expect(text("a")).toBe("old");
    expect(readdirSync(dir)).toEqual(["a"]);
    expect(child("", file)).toBe("written\n");
  });

  test("beyond the limit the old folder stays whole", async () => {
    await writeFolder(join(dir, "run"), [
      { name: "config.json", chunks: ["old"] },
      { name: "model", chunks: ["old"] },
    ]);
    expect(child("ulimit -f 300", folder)).toMatch(/^DeviceError: run\/model: got EFBIG/);
    expect([text("run", "config.json"), text("run", "model")]).toEqual(["old", "old"]);
    expect(readdirSync(dir)).toEqual(["run"]);
    expect(child("", folder)).toBe("written\n");
    expect(text("run", "config.json")).toBe("new");
  });

  const mount =
    "mkdir m && mount -t tmpfs -o size=400k none m && cd m && printf old > a && mkdir run && printf old > run/model";
  const sandbox = ["unshare", "-rm", "sh"];
  const report = (code: string) =>
    `${code}
     const fs = await import("node:fs");
     console.log(fs.readFileSync("a", "utf8"), fs.readFileSync("run/model", "utf8"), fs.readdirSync(".").join());`;

  // Where an unprivileged mount is allowed (most Linux), a disk of 400 kB is filled for real.
  test.skipIf(!mounts)("on a disk that fills up the old file stays and no temporary remains", () => {
    const output = child(mount, report(file), sandbox);
    expect(output).toMatch(/^DeviceError: a: got ENOSPC after \d+ bytes, .*the disk is full/);
    expect(output).toMatch(/\nold old a,run\n$/);
  });

  test.skipIf(!mounts)("on a disk that fills up the old folder stays and no temporary remains", () => {
    const output = child(mount, report(folder), sandbox);
    expect(output).toMatch(/^DeviceError: run\/model: got ENOSPC after \d+ bytes/);
    expect(output).toMatch(/\nold old a,run\n$/);
  });

  test.skipIf(!mounts)("on a read-only disk the error says so", () => {
    const output = child(`${mount} && mount -o remount,ro .`, report(file), sandbox);
    expect(output).toMatch(/^DeviceError: a: got EROFS .*read-only/);
  });

  test("a process killed while writing leaves the old file as it was", async () => {
    await writeFile(join(dir, "a"), "old");
    child(
      "",
      `import { writeAtomic } from ${module};
      await writeAtomic("a", (function* () { yield "new"; process.kill(process.pid, "SIGKILL"); yield "er"; })());`,
    );
    expect(text("a")).toBe("old");
  });
});

describe("a whole folder", () => {
  const files = (content: string) => [
    { name: "config.json", chunks: [content] },
    { name: "model", chunks: [content] },
  ];
  const state = () => [text("run", "config.json"), text("run", "model")];

  test("the old folder stands until the new one is whole", async () => {
    const path = join(dir, "deeper", "run");
    await writeFolder(path, files("old"));
    let seen = "";
    const slow = (async function* () {
      yield "new";
      seen = text("deeper", "run", "model") + text("deeper", "run", "config.json");
    })();
    await writeFolder(path, [...files("new").slice(0, 1), { name: "model", chunks: slow }]);
    expect(seen).toBe("oldold");
    expect(text("deeper", "run", "model")).toBe("new");
    expect(readdirSync(join(dir, "deeper"))).toEqual(["run"]);
  });

  test("files the new version lacks are gone, if `replaces` says they are ours", async () => {
    const path = join(dir, "run");
    await writeFolder(path, [...files("old"), { name: "shard-2", chunks: ["x"] }]);
    await writeFolder(path, files("new"), (name) => name.startsWith("shard-"));
    expect(readdirSync(path)).toEqual(["config.json", "model"]);
  });

  test("a folder with somebody's own files in it is refused and untouched", async () => {
    await mkdir(join(dir, "run"));
    await writeFile(join(dir, "run", "thesis.tex"), "years of work");
    const error = await writeFolder(join(dir, "run"), files("new")).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(/also holds thesis\.tex.*choose a new or empty folder/);
    expect(readdirSync(join(dir, "run"))).toEqual(["thesis.tex"]);
    expect(readdirSync(dir)).toEqual(["run"]);
  });

  test("names with a path in them, or twice, are refused before anything is written", async () => {
    for (const name of ["../a", "a/b", "a\\b", "..", ".", "", "a\0"])
      await expect(writeFolder(join(dir, "run"), [{ name, chunks: ["x"] }])).rejects.toThrow(FormatError);
    await expect(writeFolder(join(dir, "run"), [...files("a"), ...files("b")])).rejects.toThrow(/twice/);
    expect(readdirSync(dir)).toEqual([]);
  });

  test("a file in the folder's place is refused", async () => {
    await writeFile(join(dir, "run"), "old");
    await expect(writeFolder(join(dir, "run"), files("new"))).rejects.toThrow(/got a file, expected a folder/);
    expect(text("run")).toBe("old");
  });

  test("a crash between any two steps of the swap leaves a state that recovery makes whole", async () => {
    const path = join(dir, "run");
    const [next, previous] = [join(dir, ".run.next"), join(dir, ".run.previous")];
    // Each state as a kill at that point leaves it, and the content that must be found afterwards.
    const crashes: { name: string; make: () => Promise<void>; found: string }[] = [
      { name: "next is whole, the old still in place", make: async () => {}, found: "old" },
      { name: "the old has been moved away", make: () => rename(path, previous), found: "new" },
      {
        name: "the new is in place, the old not yet removed",
        make: async () => {
          await rename(path, previous);
          await rename(next, path);
        },
        found: "new",
      },
      {
        name: "the new one was lost",
        make: async () => {
          await rename(path, previous);
          await rm(next, { recursive: true });
        },
        found: "old",
      },
    ];
    for (const { name, make, found } of crashes) {
      await writeFolder(path, files("old"));
      await writeFolder(next, files("new"));
      await make();
      await recoverFolder(path);
      expect(state(), name).toEqual([found, found]);
      await writeFolder(path, files("newest"));
      expect(state(), name).toEqual(["newest", "newest"]);
      expect(readdirSync(dir), name).toEqual(["run"]);
    }
  });

  test("recovery of a folder that never was does nothing", async () => {
    await recoverFolder(join(dir, "run"));
    expect(readdirSync(dir)).toEqual([]);
  });
});
