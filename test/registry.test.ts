import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkNames, placeOf, placesIn } from "../src/server/places.ts";
import { type Place, Registry } from "../src/server/registry.ts";
import { scripted, servedBy } from "./fixture/served.ts";

const place = (name: string, bytes: number): Place => ({ name, path: `/models/${name}`, bytes, created: 1 });

/** A machine of so many bytes, and what is in it. */
function machine(size: number, ...places: Place[]) {
  const held = new Map<string, number>();
  const free = () => size - [...held.values()].reduce((sum, bytes) => sum + bytes, 0);
  const opened: string[] = [];
  const registry = new Registry(
    places,
    async ({ name, bytes }) => {
      opened.push(name);
      held.set(name, bytes);
      return servedBy(scripted(), { name, close: async () => void held.delete(name) });
    },
    free,
  );
  return { registry, held, opened };
}

describe("models by name", () => {
  test("are loaded when they are first asked for, once for all who ask", async () => {
    const { registry, opened } = machine(100, place("a", 10), place("b", 10));
    expect(registry.loaded).toEqual([]);
    const leases = await Promise.all([registry.lease("a"), registry.lease("a")]);
    expect(opened).toEqual(["a"]);
    expect(leases[0]!.served).toBe(leases[1]!.served);
  });

  test("make room for others when idle, the longest unused first, and are loaded anew", async () => {
    const { registry, held, opened } = machine(100, place("a", 40), place("b", 40), place("c", 40));
    for (const name of ["a", "b", "a"]) (await registry.lease(name)).release();
    (await registry.lease("c")).release();
    expect([...held.keys()]).toEqual(["a", "c"]);
    (await registry.lease("b")).release();
    expect(opened).toEqual(["a", "b", "c", "b"]);
  });

  test("stay while they are used: what finds no room is refused with the numbers", async () => {
    const mebibyte = 2 ** 20;
    const { registry, held } = machine(100 * mebibyte, place("a", 60 * mebibyte), place("b", 60 * mebibyte));
    const lease = await registry.lease("a");
    await expect(registry.lease("b")).rejects.toMatchObject({
      status: 503,
      code: "out_of_memory",
      message: expect.stringMatching(/66 MiB.*40 MiB/),
    });
    expect([...held.keys()]).toEqual(["a"]);
    lease.release();
    lease.release();
    (await registry.lease("b")).release();
    expect([...held.keys()]).toEqual(["b"]);
  });

  test("have what the caches of others may still take for themselves, until those are idle and go", async () => {
    const caches: Record<string, { cacheBytes: number; cacheLimit: number }> = {};
    const told: Record<string, number> = {};
    let free = 100;
    const registry = new Registry(
      [place("a", 10), place("b", 10), place("c", 10), place("d", 40)],
      async ({ name, bytes }, left) => {
        told[name] = left;
        free -= bytes;
        caches[name] = { cacheBytes: 0, cacheLimit: (left - bytes) / 2 };
        const engine = { ...scripted(), figures: { healthy: true, ...caches[name] } };
        const close = async () => {
          free += bytes + engine.figures.cacheBytes;
        };
        return servedBy(engine, { name, close });
      },
      () => free,
    );
    const a = await registry.lease("a");
    // Of the 90 that are free 45 are for the caches of the first.
    const b = await registry.lease("b");
    expect(told).toEqual({ a: 100, b: 45 });
    // What a cache has taken counts once.
    const { figures } = a.served.engine as unknown as { figures: { cacheBytes: number } };
    [figures.cacheBytes, free] = [20, free - 20];
    (await registry.lease("c")).release();
    expect(told.c).toBe(100 - 10 - 45 - 10 - 17.5);
    const refused = registry.lease("d");
    await expect(refused).rejects.toMatchObject({ status: 503, message: expect.stringContaining("caches may still") });
    expect(registry.loaded.map(({ name }) => name)).toEqual(["a", "b"]);
    a.release();
    b.release();
    (await registry.lease("d")).release();
    expect(told.d).toBe(100 - 10 - 17.5);
  });

  test("that fail to load fail again for who asks next, and stop nobody else", async () => {
    let fails = true;
    const registry = new Registry([place("a", 1), place("b", 1)], async ({ name }) => {
      if (name === "a" && fails) throw new Error("damaged");
      return servedBy(scripted(), { name });
    });
    const [a, b] = await Promise.allSettled([registry.lease("a"), registry.lease("b")]);
    expect([a.status, b.status]).toEqual(["rejected", "fulfilled"]);
    fails = false;
    expect((await registry.lease("a")).served.name).toBe("a");
  });

  test("need no name where there is one, and one where there are several", async () => {
    expect((await machine(9, place("a", 1)).registry.lease(undefined)).served.name).toBe("a");
    const { registry } = machine(9, place("a", 1), place("b", 1));
    await expect(registry.lease(undefined)).rejects.toMatchObject({ status: 400, param: "model" });
    await expect(registry.lease("c")).rejects.toMatchObject({ status: 404, message: expect.stringContaining("a, b") });
  });

  test("end once what runs has ended", async () => {
    const order: string[] = [];
    const engine = { ...scripted(), drain: async () => void order.push("drained") };
    const served = servedBy(engine, { close: async () => void order.push("closed") });
    const registry = new Registry([place("a", 1), place("b", 1)], async () => served);
    await registry.lease("a");
    await registry.close({ drain: true });
    expect(order).toEqual(["drained", "closed"]);
  });
});

describe("models on disk", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "biform-places-"));
    await writeFile(join(folder, "one.gguf"), "12345");
    await writeFile(join(folder, "notes.txt"), "no model");
    await mkdir(join(folder, "two"));
    await writeFile(join(folder, "two", "config.json"), "{}");
    await writeFile(join(folder, "two", "a.safetensors"), "123");
    await writeFile(join(folder, "two", "b.safetensors"), "4567");
    await mkdir(join(folder, "empty"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test("are GGUF files and folders with weights, by their names and bytes", async () => {
    const found = await placesIn(folder);
    expect(found.map(({ name, bytes }) => [name, bytes])).toEqual([
      ["one", 5],
      ["two", 7],
    ]);
    expect(found[0]!.created).toBeCloseTo(Date.now() / 1000, -2);
    expect((await placeOf(join(folder, "two"))).name).toBe("two");
    expect((await placeOf(folder)).name).toBe(basename(folder));
  });

  test("that are not there, or none of which is, are said", async () => {
    await expect(placeOf(join(folder, "three"))).rejects.toThrow(/three: got ENOENT, expected a model/);
    await expect(placesIn(join(folder, "empty"))).rejects.toThrow(/got no model/);
    await expect(placesIn(join(folder, "three"))).rejects.toThrow(/got ENOENT/);
  });

  test("have names that differ", () => {
    expect(() => checkNames([place("a", 1), { ...place("a", 1), path: "/other/a.gguf" }])).toThrow(
      /other\/a.gguf: got the name a/,
    );
  });
});
