import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { bucketStore } from "../src/cluster/bucket.ts";
import { Claim, readBeat } from "../src/cluster/claim.ts";
import { collect } from "../src/cluster/collect.ts";
import { type Data, describeFile } from "../src/cluster/data.ts";
import { drive, resolveKey, type Scene } from "../src/cluster/drive.ts";
import { type Engine, nothingHeld, taskLine } from "../src/cluster/engine.ts";
import { openEngine } from "../src/cluster/engines.ts";
import { describeExperiment, findRun, openExperiment, writeExperiment } from "../src/cluster/experiment.ts";
import { folderStore } from "../src/cluster/folder.ts";
import { read as readJob } from "../src/cluster/kubernetes.ts";
import { perform } from "../src/cluster/perform.ts";
import { endsOf } from "../src/cluster/ray.ts";
import { keepRecord, readRecord } from "../src/cluster/record.ts";
import { read } from "../src/cluster/slurm.ts";
import { recallSource } from "../src/data/recall.ts";
import { seeded } from "../src/data/source.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { compare } from "../src/lab/compare.ts";
import type { RunRecord } from "../src/lab/run.ts";
import type { CompareSettings } from "../src/lab/schedule.ts";
import { Shelf } from "../src/lab/shelf.ts";
import type { Device } from "../src/tensor/device.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { openBucket } from "./fixture/bucket.ts";

let scratch: string;
let device: Device;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "biform-cluster-"));
  device = await WasmDevice.open({ threads: 1 });
});
afterAll(async () => {
  device.close();
  await rm(scratch, { recursive: true, force: true });
});

const settings: CompareSettings = {
  variants: ["MHA", "MLA"],
  seeds: 2,
  model: { width: 32, heads: 2, layers: 1 },
  goal: { match: new Set(["parameters"]), length: 16, batch: 2, budget: { steps: 6 } },
  optimiser: optimiserDefaults,
  rates: [0.001, 0.02],
  warmup: 2,
  floor: 0.1,
  evaluations: 2,
  heldOutBatches: 1,
  contexts: [8],
};

const versions = { biform: "0" };

/** A file with the experiment of these settings, opened, and an empty store. */
async function layOut(name: string, given = settings) {
  const file = join(scratch, `${name}.json`);
  const data = { kind: "recall", seed: 3, pairs: 4 } as const;
  await writeExperiment(file, describeExperiment(given, 64, { versions, device: "wasm", data }));
  return { opened: await openExperiment(file), store: folderStore(join(scratch, `${name}.runs`)) };
}

type Laid = Awaited<ReturnType<typeof layOut>>;

function around(store: Laid["store"], signal = new AbortController().signal) {
  const told: string[] = [];
  const quick = { beat: 0.01, patience: 0.05 };
  const machine = { cpu: "none" };
  const watch = () => {};
  return {
    store,
    device,
    versions,
    machine,
    signal,
    every: 2,
    told,
    tell: (note: string) => told.push(note),
    watch,
    pulse: quick,
  };
}

const doRun = ({ opened, store }: Laid, key: string) => perform(opened, findRun(opened, key), around(store));

describe("an experiment", () => {
  test("done run by run in any order that rates allow gives what a comparison gives, bit for bit", async () => {
    const laid = await layOut("whole");
    const { runs } = laid.opened.experiment;
    expect(runs.map(({ key }) => key)).toEqual([
      "v0-MHA-s1-r0.001",
      "v0-MHA-s1-r0.02",
      "v1-MLA-s1-r0.001",
      "v1-MLA-s1-r0.02",
      "v0-MHA-s2",
      "v1-MLA-s2",
    ]);
    await expect(doRun(laid, "v1-MLA-s2")).rejects.toThrow(
      /v1-MLA-s2: got no result of v1-MLA-s1-r0.001, expected all rates/,
    );
    for (const key of ["3", "2", "v1-MLA-s2", "1", "0"]) expect(await doRun(laid, key)).toBe("done");
    const some = await collect(laid.opened, laid.store);
    expect(some.missing).toEqual(["v0-MHA-s2"]);
    expect(some.variants[1]!.versus).toBeDefined();
    expect(await doRun(laid, "4")).toBe("done");
    expect(await doRun(laid, "4")).toBe("was done");
    const local = await compare(settings, seeded(recallSource(3, { pairs: 4 })), device, {
      signal: new AbortController().signal,
      shelf: new Shelf<RunRecord>(join(scratch, "shelf"), settings),
      watch: () => {},
    });
    const deciding = ({ train, prefill, decode, memory, ...rest }: NonNullable<typeof local>[number]) => rest;
    const all = await collect(laid.opened, laid.store);
    expect(all.missing).toEqual([]);
    expect(all.places).toEqual([{ engine: "biform", machine: { cpu: "none" }, runs: 6 }]);
    expect(all.variants.map(deciding)).toEqual(local!.map(deciding));
    expect(all.equal.map(({ unit, place }) => [unit, place])).toEqual([
      ["FLOPs", undefined],
      ["seconds", { engine: "biform", cpu: "none" }],
    ]);
  });

  test("that was interrupted goes on from its checkpoint and ends the same", async () => {
    const one = { ...settings, seeds: 1, rates: [0.02], variants: ["MLA"] };
    const laid = await layOut("resumed", one);
    const stop = new AbortController();
    let steps = 0;
    const stopping = { ...around(laid.store, stop.signal), watch: () => ++steps === 4 && stop.abort() };
    expect(await perform(laid.opened, findRun(laid.opened, "0"), stopping as never)).toBe("interrupted");
    const began: number[] = [];
    const going = { ...around(laid.store), watch: ({ step }: { step: number }) => began.push(step) };
    expect(await perform(laid.opened, findRun(laid.opened, "0"), going as never)).toBe("done");
    expect(began[0]).toBe(3);
    const whole = await layOut("uninterrupted", one);
    await doRun(whole, "0");
    const losses = async ({ opened, store }: Laid) =>
      (await collect(opened, store)).variants.map(({ seeds }) => seeds.map(({ loss, training }) => [loss, training]));
    expect(await losses(laid)).toEqual(await losses(whole));
  });

  test("that is taken over while it sleeps leaves the new owner's checkpoint alone", async () => {
    const { goal } = settings;
    const long = {
      ...settings,
      seeds: 1,
      rates: [0.02],
      variants: ["MHA"],
      goal: { ...goal, budget: { steps: 5000 } },
    };
    const laid = await layOut("slept", long);
    const [run] = laid.opened.experiment.runs;
    const taken = around(laid.store);
    const watch = ({ step }: { step: number }) => {
      // Another claims it: whoever began it notices with its next beat.
      if (step === 10) void laid.store.create(`${run!.key}/claim-2.json`, "{}");
    };
    const { every: _, ...rest } = taken;
    await expect(perform(laid.opened, run!, { ...rest, every: 1e9, watch } as never)).rejects.toThrow(
      /got taken over by another process while this one slept/,
    );
    expect(await laid.store.list(`${run!.key}/checkpoint`)).toEqual([]);
    expect(await readRecord(laid.store, run!.key, laid.opened.id)).toBeUndefined();
  });

  test("is refused where another stands in its file, or its runs do not fit", async () => {
    const { opened } = await layOut("refused");
    const { experiment, file } = opened;
    await expect(writeExperiment(file, { ...experiment, warmup: 3 })).rejects.toThrow(/got another experiment/);
    await writeExperiment(file, { ...experiment, seeds: 9 });
    const cases: [object, RegExp][] = [
      [{ runs: [experiment.runs[0], experiment.runs[0]] }, /got v0-MHA-s1-r0.001 twice/],
      [{ runs: [{ ...experiment.runs[0], variant: "GQA" }] }, /got the variant GQA/],
      [{ runs: [{ ...experiment.runs[4] }] }, /v0-MHA-s2: got the best rate of MHA/],
      [{ runs: [{ ...experiment.runs[0], key: "../up" }] }, /runs\.0\.key/],
      [
        { variants: [{ ...experiment.variants[0], steps: 7 }, experiment.variants[1]] },
        /MHA: got \d+ parameters and 7 steps/,
      ],
      [{ versions: 3 }, /versions/],
    ];
    for (const [change, message] of cases) {
      await writeFile(file, JSON.stringify({ ...experiment, ...change }));
      await expect(openExperiment(file)).rejects.toThrow(message);
    }
  });

  test("over text is refused where the text is another", async () => {
    const text = join(scratch, "text.txt");
    await writeFile(text, "one text ".repeat(100));
    const file = join(scratch, "overtext.json");
    const data: Data = { kind: "text", seed: 1, files: [await describeFile(text, scratch)] };
    expect(data.files[0]!.path).toBe("text.txt");
    await writeExperiment(file, describeExperiment(settings, 256, { versions, device: "wasm", data }));
    expect((await openExperiment(file)).source(1).vocabulary).toBe(256);
    await writeFile(text, "two text ".repeat(100));
    await expect(openExperiment(file)).rejects.toThrow(/got other text \(900 bytes\)/);
  });

  test("whose records are torn or of another experiment loses none of the others", async () => {
    const laid = await layOut("torn", { ...settings, rates: [0.02] });
    for (const key of ["0", "1", "2"]) await doRun(laid, key);
    await laid.store.write("v1-MLA-s1/record.json", '{"experiment": "');
    const found = await collect(laid.opened, laid.store);
    expect(found.missing).toEqual(["v1-MLA-s1", "v1-MLA-s2"]);
    expect(found.damaged).toEqual([expect.stringMatching(/v1-MLA-s1\/record.json: got 16 bytes that are no JSON/)]);
    const other = await layOut("other", { ...settings, rates: [0.02], warmup: 1 });
    await expect(readRecord(laid.store, "v0-MHA-s1", other.opened.id)).rejects.toThrow(
      /got a run of another experiment/,
    );
    const record = (await readRecord(laid.store, "v0-MHA-s1", laid.opened.id))!;
    await keepRecord(laid.store, { ...record, key: "v1-MLA-s2", versions: { biform: "9" } });
    const newer = await collect(laid.opened, laid.store);
    expect(newer.missing).toEqual(found.missing);
    expect(newer.damaged[1]).toMatch(/v1-MLA-s2: got a run by biform 9, expected 0, which laid the experiment out/);
    const { steps, losses } = record.record.training;
    for (const [training, words] of [
      [{ steps, losses: losses.slice(1) }, /training: as many losses as steps/],
      [{ steps, losses: losses.with(0, "3" as never) }, /training.losses: expected a list of losses/],
      [{ steps: steps.with(0, 0.5), losses }, /training.steps: expected a list of steps/],
    ] as const) {
      await laid.store.write(
        "v1-MLA-s2/record.json",
        JSON.stringify({ ...record, record: { ...record.record, training } }),
      );
      expect((await collect(laid.opened, laid.store)).damaged[1]).toMatch(words);
    }
    const empty = folderStore(join(scratch, "nothing"));
    await expect(collect(laid.opened, empty)).rejects.toThrow(/got no finished run/);
  });

  test("whose runs were done by several machines and engines holds times beside each other only where they are of one", async () => {
    const laid = await layOut("places", { ...settings, rates: [0.02], seeds: 2 });
    const { runs } = laid.opened.experiment;
    for (const key of runs.map((run) => run.key)) await doRun(laid, key);
    const made = await Promise.all(runs.map(({ key }) => readRecord(laid.store, key, laid.opened.id)));
    /** All finished runs anew, each by a machine and an engine at a speed. */
    const asBy = async (where: readonly (readonly [engine: string, host: string, tokensPerSecond: number])[]) => {
      const store = folderStore(await mkdtemp(join(scratch, "places-")));
      for (const [i, run] of made.entries()) {
        const [engine, host, tokensPerSecond] = where[i]!;
        const machine = { cpu: "one", host, memoryBytes: 1e9 + i };
        await keepRecord(store, { ...run!, engine, machine, record: { ...run!.record, tokensPerSecond } });
      }
      return collect(laid.opened, store);
    };
    const times = ({ equal }: Awaited<ReturnType<typeof asBy>>) => equal.filter(({ unit }) => unit === "seconds");
    expect(runs.map(({ key }) => key)).toEqual(["v0-MHA-s1", "v1-MLA-s1", "v0-MHA-s2", "v1-MLA-s2"]);

    // Nodes of one kind are one machine: half the tokens a second, half the steps in the same time.
    const alike = times(
      await asBy([
        ["biform", "a", 20],
        ["biform", "b", 10],
        ["biform", "b", 20],
        ["biform", "a", 10],
      ]),
    );
    expect(alike).toHaveLength(1);
    expect(alike[0]).toMatchObject({ place: { engine: "biform", cpu: "one" }, amount: (6 * 32) / 20 });
    expect(alike[0]!.variants.map(({ steps }) => steps)).toEqual([6, 3]);
    const [first, second] = made.map((run) => run!.record.heldOut);
    expect(alike[0]!.variants[0]!.versus).toBeUndefined();
    const [a1, b1, a2, b2] = made.map((run) => run!.record.heldOut.losses);
    expect([first!.steps, second!.steps]).toEqual([
      [3, 6],
      [3, 6],
    ]);
    expect(alike[0]!.variants[1]!.versus!.mean).toBeCloseTo((b1![0]! - a1![1]! + b2![0]! - a2![1]!) / 2, 12);

    // A seed of each engine: two times, each over its own runs, and losses of all at equal FLOPs.
    const both = await asBy([
      ["biform", "a", 20],
      ["biform", "a", 10],
      ["torch", "a", 10],
      ["torch", "a", 40],
    ]);
    expect(times(both).map(({ place, variants }) => [place!.engine, variants.map(({ steps }) => steps)])).toEqual([
      ["biform", [6, 3]],
      ["torch", [1.5, 6]],
    ]);
    expect(times(both)[1]!.variants[0]!.loss.mean).toBeNull();
    expect(both.equal[0]).toMatchObject({ unit: "FLOPs" });
    expect(both.equal[0]!.variants.every(({ loss }) => loss.low !== null)).toBe(true);

    // A variant for each engine: no time of one says anything beside that of the other.
    const apart = await asBy([
      ["biform", "a", 20],
      ["torch", "a", 10],
      ["biform", "a", 20],
      ["torch", "a", 10],
    ]);
    expect(times(apart)).toEqual([]);
  });

  test("is not gone on with by another version", async () => {
    const { opened, store } = await layOut("version", { ...settings, rates: [0.02] });
    const other = { ...around(store), versions: { biform: "9" } };
    await expect(perform(opened, findRun(opened, "0"), other)).rejects.toThrow(
      /v0-MHA-s1: got biform 9 here, expected 0, which laid the experiment out/,
    );
    expect(await store.list("")).toEqual([]);
  });

  test("whose checkpoint is torn says which file it is, and keeps the run free", async () => {
    const laid = await layOut("tornpoint", { ...settings, seeds: 1, rates: [0.02], variants: ["MHA"] });
    const stop = new AbortController();
    let steps = 0;
    const stopping = { ...around(laid.store, stop.signal), watch: () => ++steps === 4 && stop.abort() };
    expect(await perform(laid.opened, findRun(laid.opened, "0"), stopping as never)).toBe("interrupted");
    const kept = join(laid.store.where, "v0-MHA-s1", "checkpoint");
    const weights = await readFile(join(kept, "model.safetensors"));
    await writeFile(join(kept, "model.safetensors"), weights.subarray(0, weights.length >> 1));
    await expect(doRun(laid, "0")).rejects.toThrow(/model\.safetensors: .*got/);
    await writeFile(join(kept, "model.safetensors"), weights);
    await writeFile(join(kept, "training.json"), '{"settings": {');
    await expect(doRun(laid, "0")).rejects.toThrow(/training\.json: /);
    await rm(kept, { recursive: true });
    expect(await doRun(laid, "0")).toBe("done");
  });
});

describe("a claim", () => {
  const quick = { beat: 0.01, patience: 0.1 };

  test("is refused while its owner's beats move, and free once it is released", async () => {
    const store = folderStore(join(scratch, "claims"));
    const told: string[] = [];
    // So patient that a machine that stands still for a while is no reason to take the run over.
    const take = () => Claim.take(store, "run", (note) => told.push(note), { ...quick, patience: 60 });
    const first = await take();
    first.stand(3, 9, 1.5);
    await expect(take()).rejects.toThrow(new RegExp(`process ${process.pid} on ${hostname()} is at work on`));
    expect(await readBeat(store, "run")).toMatchObject({ step: 3, steps: 9, loss: 1.5 });
    await first.release();
    await (await take()).release();
    expect(first.lost.aborted).toBe(false);
  });

  test("of the dead is taken over, and the owner who only slept learns of it", async () => {
    const store = folderStore(join(scratch, "dead"));
    const told: string[] = [];
    const take = (beat = quick.beat) => Claim.take(store, "run", (note) => told.push(note), { ...quick, beat });
    const space = await readlink("/proc/self/ns/pid").catch(() => null);
    // A process of this machine that is gone needs no waiting for; nobody has this number.
    await store.create("run/claim-1.json", JSON.stringify({ host: hostname(), space, pid: 2 ** 30 }));
    await (await take()).release();
    const over = expect.stringMatching(/taken over from process 1073741824/);
    expect(told).toEqual(space === null ? [expect.stringMatching(/waiting/), over] : [over]);
    const sleeper = await take(3600);
    const second = await take();
    expect(told.at(-1)).toMatch(/taken over from process/);
    sleeper.stand(1, 2, undefined);
    await sleeper.release();
    expect(sleeper.lost.aborted).toBe(true);
    await second.release();
  });

  test("is one process's where many want it at a time", async () => {
    const store = folderStore(join(scratch, "many"));
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () => Claim.take(store, "run", () => {}, { ...quick, patience: 60 })),
    );
    const got = tries.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(got).toHaveLength(1);
    for (const claim of got) await claim.release();
  });

  test("asks no clock that machines could set differently", async () => {
    const store = folderStore(join(scratch, "clocks"));
    const now = vi.spyOn(Date, "now").mockImplementation(() => {
      throw new Error("a clock was asked");
    });
    try {
      const claim = await Claim.take(store, "run", () => {}, quick);
      claim.stand(1, 2, 0.5);
      await claim.release();
      await (await Claim.take(store, "run", () => {}, quick)).release();
    } finally {
      now.mockRestore();
    }
    const written = await Promise.all((await store.list("run/")).map((name) => store.read(name)));
    expect(written.map((bytes) => new TextDecoder().decode(bytes)).join("")).not.toMatch(/20\d\d-\d\d|\d{13}/);
  });

  test("that is torn is nobody's once no beat comes", async () => {
    const store = folderStore(join(scratch, "tornclaim"));
    await store.write("run/claim-1.json", '{"host": "');
    await store.write("run/beat-1.json", "");
    const told: string[] = [];
    await (await Claim.take(store, "run", (note) => told.push(note), quick)).release();
    expect(told.at(-1)).toMatch(/taken over from a process that left no name, which gave no sign of life/);
  });
});

describe("an engine", () => {
  /** An engine that ends each run at the next look: done, lost or failed as `fate` says. */
  function fake(laid: Laid, fate: (key: string, time: number) => "done" | "lost" | "failed") {
    const submitted: string[][] = [];
    const times = new Map<string, number>();
    let open: string[] = [];
    const engine: Engine = {
      name: "fake",
      most: 3,
      lasting: true,
      async submit(list, keys) {
        expect(await resolveKey(laid.store, `list-${list}.0`)).toBe(keys[0]);
        submitted.push([...keys]);
        open.push(...keys);
        return String(list);
      },
      async look() {
        const failed = new Map<string, string>();
        for (const key of open) {
          const time = (times.get(key) ?? 0) + 1;
          times.set(key, time);
          const end = fate(key, time);
          if (end === "done") await finish(laid, key);
          if (end === "failed") failed.set(key, "it said no");
        }
        open = [];
        return { ...nothingHeld(), failed };
      },
      async cancel() {
        open = [];
      },
    };
    return { engine, submitted };
  }

  const finish = ({ opened, store }: Laid, key: string) => {
    const curve = { steps: [], losses: [] };
    const { seed } = findRun(opened, key);
    const record = {
      seed,
      rate: 0.02,
      loss: 1,
      training: curve,
      heldOut: curve,
      tokensPerSecond: 1,
      sample: null,
      speeds: null,
    };
    return keepRecord(store, {
      experiment: opened.id,
      key,
      engine: "fake",
      versions,
      machine: {},
      finished: "",
      record,
    });
  };

  function onlooker(signal = new AbortController().signal) {
    const scenes: Scene[] = [];
    return { signal, cancels: false, seconds: 0, scenes, watch: (scene: Scene) => scenes.push(scene), tell: () => {} };
  }

  test("gets runs once what they wait for is done, in lists of its size, and lost ones again", async () => {
    const laid = await layOut("driven");
    const { engine, submitted } = fake(laid, (key, time) =>
      key === "v1-MLA-s1-r0.02" && time === 1 ? "lost" : "done",
    );
    expect(await drive(laid.opened, laid.store, engine, onlooker())).toBe(true);
    expect(submitted).toEqual([
      ["v0-MHA-s1-r0.001", "v0-MHA-s1-r0.02", "v1-MLA-s1-r0.001"],
      ["v1-MLA-s1-r0.02"],
      ["v1-MLA-s1-r0.02", "v0-MHA-s2"],
      ["v1-MLA-s2"],
    ]);
    // All is done: nothing is handed over again.
    expect(await drive(laid.opened, laid.store, engine, onlooker())).toBe(true);
    expect(submitted).toHaveLength(4);
  });

  test("whose runs fail finishes the others, and then says which and why", async () => {
    const laid = await layOut("failing", { ...settings, rates: [0.02] });
    const { engine, submitted } = fake(laid, (key) =>
      key === "v1-MLA-s1" ? "failed" : key === "v0-MHA-s2" ? "lost" : "done",
    );
    await expect(drive(laid.opened, laid.store, engine, onlooker())).rejects.toThrow(
      /got 2 runs that failed \(v1-MLA-s1: it said no; v0-MHA-s2: the engine gave it up 3 times\)/,
    );
    expect(submitted.flat().filter((key) => key === "v1-MLA-s1")).toHaveLength(1);
    expect((await collect(laid.opened, laid.store)).missing).toEqual(["v1-MLA-s1", "v0-MHA-s2"]);
  });

  test("whose runs end well and leave nothing here is not asked again: their folder is not shared", async () => {
    const laid = await layOut("unshared", { ...settings, rates: [0.02], variants: ["MHA"] });
    const { engine, submitted } = fake(laid, () => "lost");
    const keys = laid.opened.experiment.runs.map(({ key }) => key);
    const elsewhere: Engine = {
      ...engine,
      look: async () => ({ ...nothingHeld(), ended: new Set(submitted.flat()) }),
    };
    await expect(drive(laid.opened, laid.store, elsewhere, { ...onlooker(), patience: 0.05 })).rejects.toThrow(
      /got 2 runs that failed \(v0-MHA-s1: fake says that it ended well, but its result is not in .*unshared\.runs: is that shared/,
    );
    expect(submitted.flat()).toEqual(keys);
    // One that is only seen late is no failure.
    const late: Engine = { ...elsewhere, lasting: false };
    const seen = drive(laid.opened, laid.store, late, { ...onlooker(), seconds: 0.02, patience: 60 });
    for (const key of keys) await finish(laid, key);
    expect(await seen).toBe(true);
  });

  test("whose task finds no list where it runs is told that its folder is not shared, and does nothing", async () => {
    const laid = await layOut("listless", { ...settings, rates: [0.02], variants: ["MHA"] });
    const { engine } = fake(laid, () => "done");
    expect(await drive(laid.opened, laid.store, engine, onlooker())).toBe(true);
    expect(await resolveKey(laid.store, "list-0.1")).toBe("v0-MHA-s2");
    const elsewhere = folderStore(join(scratch, "listless.elsewhere"));
    for (const [store, word] of [
      [elsewhere, "list-0.1"],
      [laid.store, "list-0.7"],
      [laid.store, "list-9.0"],
    ] as const)
      await expect(resolveKey(store, word)).rejects.toThrow(
        /got no lists\/\d\.json with place \d, expected the list that the runs were handed over with; is the folder shared/,
      );
    await laid.store.write("lists/0.json", '["v0-MHA-s1", ');
    await expect(resolveKey(laid.store, "list-0.0")).rejects.toThrow(/got no lists\/0\.json with place 0/);
    expect(await elsewhere.list("")).toEqual([]);
  });

  test("over a folder that cannot be one is told so, and nothing is handed over", async () => {
    const laid = await layOut("nofolder", { ...settings, rates: [0.02], variants: ["MHA"] });
    const file = join(scratch, "a-file");
    await writeFile(file, "");
    const store = folderStore(join(file, "runs"));
    const { engine, submitted } = fake(laid, () => "done");
    await expect(drive(laid.opened, store, engine, onlooker())).rejects.toThrow(
      /a-file.runs.*: got ENOTDIR, expected a folder to read and write; check its rights and its disk/,
    );
    expect(submitted).toEqual([]);
    await expect(doRun({ opened: laid.opened, store }, "0")).rejects.toThrow(/a-file/);
  });

  test("that refuses a partition is told in its own words, and nothing is thought handed over", async () => {
    const laid = await layOut("partition", { ...settings, rates: [0.02], variants: ["MHA"] });
    const bin = join(scratch, "bin");
    await mkdir(bin);
    const complaint =
      "sbatch: error: invalid partition specified: none\nsbatch: error: Batch job submission failed: Invalid partition name specified";
    await writeFile(join(bin, "sbatch"), `#!/bin/sh\necho "${complaint}" >&2\nexit 1\n`, { mode: 0o755 });
    const task = { biform: ["biform"], file: "e.json", where: laid.store.where, words: [] };
    const path = process.env.PATH;
    process.env.PATH = `${bin}:${path}`;
    try {
      const engine = openEngine("slurm", ["partition=none"], task);
      await expect(drive(laid.opened, laid.store, engine, onlooker())).rejects.toThrow(
        /sbatch: got .*Invalid partition name specified, expected it to do --parsable; nothing is lost/,
      );
    } finally {
      process.env.PATH = path;
    }
    expect(await laid.store.read("jobs.json")).toBeUndefined();
  });

  test("that holds runs gets none of them twice from whoever looks later", async () => {
    const laid = await layOut("attached", { ...settings, rates: [0.02] });
    const { engine, submitted } = fake(laid, () => "done");
    const stop = new AbortController();
    const all = laid.opened.experiment.runs.map(({ key }) => key);
    const holding: Engine = {
      ...engine,
      look: async () => ({ ...nothingHeld(), waiting: new Set(submitted.flat()) }),
    };
    const leaving = onlooker(stop.signal);
    const watch = () => stop.abort();
    expect(await drive(laid.opened, laid.store, holding, { ...leaving, watch })).toBe(false);
    expect(submitted.flat()).toEqual(all);
    expect(await drive(laid.opened, laid.store, engine, onlooker())).toBe(true);
    expect(submitted.flat()).toEqual(all);
    const other = { ...engine, name: "other" };
    await expect(drive(laid.opened, laid.store, other, onlooker())).rejects.toThrow(/handed to fake, expected other/);
    await laid.store.write("jobs.json", '{"engine": "fa');
    await expect(drive(laid.opened, laid.store, engine, onlooker())).rejects.toThrow(/jobs.json: got a damaged file/);
  });

  test("of processes starts a killed one anew and tells the last words of one that fails", async () => {
    const laid = await layOut("processes", { ...settings, rates: [0.02] });
    const script = join(scratch, "task.mjs");
    const mark = join(scratch, "killed");
    const records = join(laid.store.where, "ready");
    await writeFile(
      script,
      `import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
       const key = process.argv[5];
       if (key === "v0-MHA-s1" && !existsSync(${JSON.stringify(mark)})) {
         writeFileSync(${JSON.stringify(mark)}, "");
         process.kill(process.pid, "SIGKILL");
       }
       if (key === "v0-MHA-s2") { console.error("first\\nno room"); process.exit(1); }
       if (key === "v1-MLA-s2") { throw new RangeError("no memory"); }
       mkdirSync(process.argv[7] + "/" + key, { recursive: true });
       copyFileSync(${JSON.stringify(records)} + "/" + key + "/record.json", process.argv[7] + "/" + key + "/record.json");`,
    );
    for (const { key } of laid.opened.experiment.runs) await finish({ ...laid, store: folderStore(records) }, key);
    const task = { biform: [process.execPath, script], file: "e.json", where: laid.store.where, words: [] };
    const engine = openEngine("processes:2", [], task);
    await expect(drive(laid.opened, laid.store, engine, { ...onlooker(), seconds: 0.02 })).rejects.toThrow(
      /got 2 runs that failed \(v0-MHA-s2: it ended with 1: no room; v1-MLA-s2: it ended with 1: RangeError: no memory\)/,
    );
    expect((await collect(laid.opened, laid.store)).missing).toEqual(["v0-MHA-s2", "v1-MLA-s2"]);
    expect(await readFile(mark, "utf8")).toBe("");
  });
});

describe("a bucket", () => {
  let bucket: Awaited<ReturnType<typeof openBucket>>;
  beforeAll(async () => {
    bucket = await openBucket();
  });
  afterAll(() => bucket.close());

  test("keeps what a folder keeps", async () => {
    const stores = [bucketStore("s3://runs/some/where", bucket.env), folderStore(join(scratch, "as-folder"))];
    const seen = [];
    for (const store of stores) {
      const made = [await store.create("a/one.json", "1"), await store.create("a/one.json", "2")];
      for (const name of ["a/two&.json", "a/b c.json", "a/deep/three.json", "b/one.json"])
        await store.write(name, name);
      await store.write("b/one.json", "last");
      const text = async (name: string) => {
        const bytes = await store.read(name);
        return bytes && new TextDecoder().decode(bytes);
      };
      const lists = [await store.list("a/"), await store.list("a/t"), await store.list("none/")].map((names) =>
        names.filter((name) => /\.json$/.test(name)).toSorted(),
      );
      seen.push({ made, lists, texts: [await text("a/one.json"), await text("b/one.json"), await text("a/none")] });
    }
    expect(seen[0]!.made).toEqual([true, false]);
    expect(seen[0]!.lists[0]).toHaveLength(4);
    expect(seen[0]).toEqual(seen[1]);
  });

  test("has a run that goes on from its checkpoint on another machine, and leaves only the record", async () => {
    const one = { ...settings, seeds: 1, rates: [0.02], variants: ["MLA"] };
    const store = bucketStore("s3://runs/study", bucket.env);
    const laid = await layOut("bucket", one);
    const stop = new AbortController();
    let steps = 0;
    const watch = () => ++steps === 4 && stop.abort();
    const run = findRun(laid.opened, "0");
    expect(await perform(laid.opened, run, { ...around(store, stop.signal), watch } as never)).toBe("interrupted");
    const files = [...bucket.objects.keys()].filter((name) => name.includes("checkpoint/"));
    expect(files.map((name) => name.split("/").at(-1)).toSorted()).toEqual([
      "config.json",
      "model.safetensors",
      "optimiser.safetensors",
      "training.json",
    ]);
    // Another store is another machine: it has nothing but the bucket.
    const elsewhere = bucketStore("s3://runs/study", bucket.env);
    const began: number[] = [];
    const going = { ...around(elsewhere), watch: ({ step }: { step: number }) => began.push(step) };
    expect(await perform(laid.opened, run, going as never)).toBe("done");
    expect(began[0]).toBe(3);
    await doRun(laid, "0");
    const losses = async (from: typeof store) =>
      (await collect(laid.opened, from)).variants.map(({ seeds }) => seeds.map(({ loss }) => loss));
    expect(await losses(store)).toEqual(await losses(laid.store));
    expect(
      [...bucket.objects.keys()].filter((name) => name.startsWith("study/") && name.includes("checkpoint")),
    ).toEqual([]);
  });

  test("that is not there, or asked for wrongly, is told", async () => {
    const none = bucketStore("s3://none", bucket.env);
    await expect(none.read("x")).resolves.toBeUndefined();
    await expect(none.write("x", "")).rejects.toThrow(/s3:\/\/none: got 404 NoSuchBucket, expected it to PUT/);
    await expect(bucketStore("s3://runs", { ...bucket.env, AWS_ACCESS_KEY_ID: "whoever" }).list("")).rejects.toThrow(
      /got 403 AccessDenied/,
    );
    const skewed = createServer((_, response) =>
      response.writeHead(403).end("<Error><Code>RequestTimeTooSkewed</Code></Error>"),
    );
    await new Promise<void>((done) => skewed.listen(0, "127.0.0.1", done));
    const endpoint = `http://127.0.0.1:${(skewed.address() as AddressInfo).port}`;
    const late = bucketStore("s3://runs", { ...bucket.env, AWS_ENDPOINT_URL: endpoint }).read("x");
    await expect(late).rejects.toThrow(/got 403 RequestTimeTooSkewed, expected it to GET; set this machine's clock/);
    skewed.close();
    expect(() => bucketStore("s3://runs", {})).toThrow(/got no credentials, expected AWS_ACCESS_KEY_ID/);
    expect(() => bucketStore("s3://../up", bucket.env)).toThrow(/expected s3:\/\/BUCKET/);
    bucket.objects.set("torn/v/checkpoint.json", Buffer.from('{"id": "../..", "files": []}'));
    await expect(bucketStore("s3://runs/torn", bucket.env).openFolder("v/checkpoint")).rejects.toThrow(
      /got no list of a checkpoint's files/,
    );
  });
});

test("what Slurm says is read by its states", () => {
  const jobs = [{ id: "12", list: 0, keys: ["a", "b", "c", "d", "e", "f"] }];
  const lines = [
    ["12_0", "COMPLETED", "0:0"],
    ["12_1", "RUNNING", "0:0"],
    ["12_2", "FAILED", "1:0"],
    ["12_3", "CANCELLED by 1000", "0:0"],
    ["12_[4-5%2]", "PENDING", "0:0"],
    ["13_0", "RUNNING", "0:0"],
    ["12_99", "RUNNING", "0:0"],
    [""],
  ];
  const { waiting, running, ended, failed } = read(jobs, lines);
  expect([[...waiting], [...running], [...ended]]).toEqual([["e", "f"], ["b"], ["a"]]);
  expect([...failed]).toEqual([
    ["c", "Slurm says FAILED (exit 1:0); its words are in slurm-12-2.txt"],
    ["d", "Slurm says CANCELLED by 1000 (exit 0:0); its words are in slurm-12-3.txt"],
  ]);
  expect(
    read(jobs, [
      ["12_2", "FAILED", "130:0"],
      ["12_3", "NODE_FAIL", "0:0"],
    ]).failed.size,
  ).toBe(0);
});

test("words reach a shell as they are, and the place of a run by its variable", async () => {
  const words = ["a b", `it's "$x" \`y\``];
  const line = taskLine({ biform: ["printf", "%s|"], file: words[0]!, where: words[1]!, words: [] }, 3, "PLACE");
  const { stdout } = await promisify(execFile)("sh", ["-c", line], { env: { ...process.env, PLACE: "7" } });
  expect(stdout).toBe(["compare", "--run", words[0], "list-3.7", "--out", words[1], ""].join("|"));
});

test("what a Ray job's log says of its runs is read, and nothing else in it", () => {
  const log =
    'biform ["a", 0, ""]\nnoise biform ["b", 0, ""]\nbiform ["b", 1, "no memory"]\nbiform [1]\nbiform ["c", 130, "saved"]\n';
  expect([...endsOf(log)]).toEqual([
    ["a", { code: 0, said: "" }],
    ["b", { code: 1, said: "no memory" }],
    ["c", { code: 130, said: "saved" }],
  ]);
});

test("what Kubernetes says of an Indexed Job is read by its indices", () => {
  const job = { id: "biform-x", list: 0, keys: ["a", "b", "c", "d", "e", "f"] };
  const held = (state: string, pods = "") => {
    const sorting = nothingHeld();
    readJob(job, state, pods, sorting);
    const { waiting, running, ended, failed } = sorting;
    return [[...waiting], [...running], [...ended], [...failed.keys()]];
  };
  expect(held("0,2-3|4|", "1|Running\n5|Pending\n3|Succeeded\n")).toEqual([["f"], ["b"], ["a", "c", "d"], ["e"]]);
  expect(held("0-5||Complete")).toEqual([[], [], job.keys, []]);
  expect(held("0-2|3|Failed")).toEqual([[], [], ["a", "b", "c"], ["d"]]);
  expect(held("")).toEqual([[], [], [], []]);
});

test("engines refuse what they do not know", () => {
  const task = { biform: ["biform"], file: "e.json", where: "/runs", words: [] };
  const cases: [string, string[], RegExp][] = [
    ["pbs", [], /--on: got pbs, expected processes:N, slurm, ray/],
    ["processes:0", [], /expected processes:N with N of at least 1/],
    ["processes:2", ["partition=x"], /expected no options for processes/],
    ["slurm", ["array=0-9"], /got array, expected an option of sbatch other than/],
    ["ray", ["cpus=3"], /got cpus=3, expected num_cpus/],
    ["ray", ["resources=3"], /got resources=3, expected a JSON object/],
    ["ray:host:10001", [], /expected the address of its jobs/],
    ["kubernetes", [], /got no image/],
    ["kubernetes", ["image=x"], /got no claim, expected a volume that all pods see, or a bucket/],
    ["kubernetes", ["image=x", "claim=y", "color=z"], /got color, expected image/],
  ];
  for (const [word, options, message] of cases) expect(() => openEngine(word, options, task)).toThrow(message);
});

test("a Ray that wants a token gets the one that Ray's own tools would send, and says so where it is another", async () => {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    const known = request.headers.authorization === "Bearer right";
    response.writeHead(known ? 200 : 401).end(known ? '{"status": "PENDING"}' : "Unauthorized");
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const task = { biform: ["biform"], file: "e.json", where: "/runs", words: [] };
  const engine = openEngine(`ray:http://127.0.0.1:${(server.address() as AddressInfo).port}`, [], task);
  const look = () => engine.look([{ id: "1", list: 0, keys: ["a"] }]);
  const file = join(scratch, "ray-token");
  await writeFile(file, "right\n");
  try {
    // No home of this machine's user has a say.
    for (const name of ["RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"]) vi.stubEnv(name, undefined);
    vi.stubEnv("HOME", scratch);
    await expect(look()).rejects.toThrow(
      /got 401 \(Unauthorized\), expected Ray to know this user; set RAY_AUTH_TOKEN/,
    );
    vi.stubEnv("RAY_AUTH_TOKEN_PATH", file);
    expect((await look()).running).toEqual(new Set(["a"]));
    vi.stubEnv("RAY_AUTH_TOKEN", "wrong");
    await expect(look()).rejects.toThrow(/got 401/);
    vi.stubEnv("RAY_JOB_HEADERS", '{"Authorization": "Bearer right"}');
    expect((await look()).running.size).toBe(1);
    vi.stubEnv("RAY_JOB_HEADERS", undefined);
    vi.stubEnv("RAY_AUTH_MODE", "disabled");
    await expect(look()).rejects.toThrow(/got 401/);
    vi.stubEnv("RAY_AUTH_MODE", "token");
    vi.stubEnv("RAY_AUTH_TOKEN", undefined);
    vi.stubEnv("RAY_AUTH_TOKEN_PATH", join(scratch, "none"));
    await expect(look()).rejects.toThrow(/^RAY_AUTH_TOKEN_PATH: got .*none, which cannot be read/);
    expect(new Set(seen)).toEqual(new Set([undefined, "Bearer right", "Bearer wrong"]));
  } finally {
    vi.unstubAllEnvs();
    server.close();
  }
});

test("an engine that is not there is told with what to do", async () => {
  const task = { biform: ["biform"], file: "e.json", where: "/runs", words: [] };
  const jobs = [{ id: "1", list: 0, keys: ["a"] }];
  const path = process.env.PATH;
  process.env.PATH = scratch;
  try {
    await expect(openEngine("slurm", [], task).submit(0, ["a"])).rejects.toThrow(
      /sbatch: got no such program, expected to call it; load Slurm/,
    );
    const kubernetes = openEngine("kubernetes", ["image=x", "claim=y"], task);
    await expect(kubernetes.look(jobs)).rejects.toThrow(
      /kubectl: got no such program, expected to call it; install kubectl/,
    );
  } finally {
    process.env.PATH = path;
  }
  // Port 9 is discard's: nothing answers there.
  await expect(openEngine("ray:http://127.0.0.1:9", [], task).look(jobs)).rejects.toThrow(
    /expected Ray's jobs to answer; start Ray/,
  );
  vi.stubEnv("RAY_JOB_HEADERS", "Authorization: Bearer none");
  await expect(openEngine("ray:http://127.0.0.1:9", [], task).look(jobs)).rejects.toThrow(
    /^RAY_JOB_HEADERS: got no JSON object of texts, expected one/,
  );
  vi.unstubAllEnvs();
});
