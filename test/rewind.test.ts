import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { stateValues } from "../src/attention/define.ts";
import { loadModel } from "../src/checkpoint/load.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { decodeSafetensors, encodeSafetensors, type TensorInMemory } from "../src/file/safetensors.ts";
import { Session } from "../src/generate/session.ts";
import { keepShared } from "../src/generate/text.ts";
import type { Model } from "../src/model/model.ts";
import { DeviceError, FormatError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { long } from "./extent.ts";
import { kimi, ling, saveCheckpoint } from "./fixture/checkpoint.ts";
import { randomHybrid } from "./fixture/hybrid.ts";
import { LaterDevice } from "./fixture/later.ts";
import type { Json } from "./fixture/plain.ts";

// Sessions over states and latents at once: forks, rewinds, files, and what they cost.

let dir = "";
let wasm: WasmDevice;
beforeAll(async () => {
  wasm = await WasmDevice.open({ threads: 2, poison: true });
});
afterAll(() => wasm.close());
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "biform-rewind-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const text = Int32Array.from({ length: 240 }, (_, i) => (i * i + 3 * i + 1) % 40);

async function loaded(config: Json, device: Device) {
  await saveCheckpoint(dir, config, randomHybrid(config, 5));
  return loadModel(dir, device);
}

async function run(session: Session, ids: Int32Array): Promise<number[]> {
  const logits = session.append(ids, { logits: "last" });
  const numbers = Array.from(await logits.read());
  logits.free();
  return numbers;
}

/** Runs the text up to `end`: a prompt, then token by token. */
async function write(session: Session, end: number): Promise<void> {
  await run(session, text.subarray(0, Math.min(end, 20)));
  for (let at = 20; at < end; at++) await run(session, text.subarray(at, at + 1));
}

const states = (model: Model) =>
  model.layers.reduce((sum, { attention }) => sum + stateValues(attention.variant, attention.sizes), 0);

describe.each([
  ["Kimi Linear", kimi],
  ["Ling 3", ling],
])("a session of %s", (_name, config) => {
  test.each(["wasm", "reference", "later"])("forks, goes back, is saved and goes on bit for bit: %s", async (kind) => {
    const device: Device = { wasm, reference: new ReferenceDevice(), later: new LaterDevice() }[kind]!;
    const { model, weights } = await loaded(config, device);
    const before = device.liveBytes;
    const options = { snapshots: 8 };
    const short = new Session(model, weights, options);
    await write(short, 33);
    const expected = await run(short, text.subarray(100, 104));
    const session = new Session(model, weights, options);
    await write(session, 60);
    const fork = session.fork();
    const path = join(dir, "session");
    await session.save(path);
    const resumed = await Session.load(path, model, weights, options);
    const again = join(dir, "again");
    await resumed.save(again);
    expect(await readFile(again)).toEqual(await readFile(path));
    const next = await run(session, text.subarray(60, 61));
    for (const each of [fork, resumed]) expect(await run(each, text.subarray(60, 61))).toEqual(next);
    // The newest token once more, as a resumed conversation without a prompt does.
    resumed.rewind(60);
    expect(await run(resumed, text.subarray(60, 61))).toEqual(next);
    for (const each of [session, fork, resumed]) {
      each.rewind(33);
      expect(await run(each, text.subarray(100, 104))).toEqual(expected);
      expect(each.tokens).toEqual(Int32Array.from([...text.subarray(0, 33), ...text.subarray(100, 104)]));
    }
    for (const each of [short, session, fork, resumed]) each.free();
    expect(device.liveBytes).toBe(before);
    for (const t of weights.values()) t.free();
  });
});

test("going back by k tokens runs at most k or a spacing again, and holds a few states", async () => {
  const device = new ReferenceDevice();
  const { model, weights } = await loaded({ ...kimi, num_hidden_layers: 3 }, device);
  const spacing = 4;
  const whole = new Session(model, weights, { snapshots: spacing });
  const length = long ? text.length : text.length / 2;
  await write(whole, length);
  expect(whole.snapshotBytes / 8 / states(model)).toBeLessThan(1.5 * Math.log2(length / spacing) + 3);
  const ran = ({ forms }: Session) =>
    [forms.prefill, forms.decode].reduce((sum, each) => sum + Object.values(each).reduce((a, b) => a + b, 0), 0) / 3;
  // Before the prompt's end there is one piece more: nobody has states within it.
  for (let back = 1; back <= length - 20; back += long ? 1 : 5) {
    const session = whole.fork();
    const before = ran(session);
    session.rewind(length - back);
    expect(session.length).toBe(length - back);
    expect(ran(session) - before).toBeLessThanOrEqual(Math.max(back, spacing));
    session.free();
  }
  // Without snapshots everything is run again.
  const none = new Session(model, weights, { snapshots: 0 });
  await write(none, 40);
  expect([none.snapshotBytes, none.reachable(39), none.reachable(40)]).toEqual([0, 0, 40]);
  const before = ran(none);
  none.rewind(39);
  expect(ran(none) - before).toBe(39);
});

test("forks hold snapshots once, and what is shared with a new text is kept as far as one reaches", async () => {
  const device = new ReferenceDevice();
  const { model, weights } = await loaded(ling, device);
  const empty = device.liveBytes;
  const session = new Session(model, weights, { snapshots: 8 });
  await write(session, 40);
  const before = device.liveBytes;
  const fork = session.fork();
  expect(fork.snapshotBytes).toBe(session.snapshotBytes);
  expect(session.snapshotBytes).toBeGreaterThan(0);
  expect(device.liveBytes - before).toBe(8 * states(model));
  const other = Int32Array.from([...text.subarray(0, 37), 1, 2, 3]);
  const reached = session.reachable(37);
  expect(reached).toBeGreaterThan(20);
  expect([...keepShared(session, other)]).toEqual([...other.subarray(reached)]);
  expect(session.length).toBe(reached);
  session.free();
  await run(fork, text.subarray(40, 44));
  fork.free();
  expect(device.liveBytes).toBe(empty);
});

/** A device whose memory ends: at so many bytes, or once at one allocation to come. */
class Tight extends ReferenceDevice {
  limit = Number.POSITIVE_INFINITY;
  countdown = Number.POSITIVE_INFINITY;

  override allocate(elements: number) {
    if (--this.countdown === 0 || this.liveBytes + 8 * elements > this.limit)
      throw new DeviceError(`memory: got ${elements} numbers, expected fewer; use a smaller context`);
    return super.allocate(elements);
  }
}

test("snapshots make way for pages where memory ends", async () => {
  const device = new Tight();
  const { model, weights } = await loaded(kimi, device);
  const session = new Session(model, weights, { snapshots: 1 });
  await write(session, 96);
  const kept = session.snapshotBytes;
  device.limit = device.liveBytes + 4000;
  const logits = await run(session, text.subarray(96, 97));
  device.limit = Number.POSITIVE_INFINITY;
  expect(session.snapshotBytes).toBeLessThan(kept / 4);
  const plain = new Session(model, weights, { snapshots: 0 });
  await write(plain, 96);
  expect(logits).toEqual(await run(plain, text.subarray(96, 97)));
});

test("a step that fails midway, wherever memory ends, leaves the session as it was", async () => {
  const device = new Tight();
  const { model, weights } = await loaded(ling, device);
  const session = new Session(model, weights, { snapshots: 8 });
  await write(session, 30);
  const expected = await run(session.fork(), text.subarray(30, 32));
  let failed = 0;
  for (let at = 1; ; at += 5) {
    const fork = session.fork();
    device.countdown = at;
    let error: unknown;
    try {
      await run(fork, text.subarray(30, 32));
    } catch (caught) {
      error = caught;
    }
    const ended = device.countdown > 0;
    device.countdown = Number.POSITIVE_INFINITY;
    if (ended) break;
    failed++;
    // A snapshot that finds no room is left out, and nothing fails.
    if (error) {
      expect(error).toBeInstanceOf(DeviceError);
      expect(fork.length).toBe(30);
      expect(await run(fork, text.subarray(30, 32))).toEqual(expected);
    }
    fork.free();
  }
  expect(failed).toBeGreaterThan(20);
});

test("a file whose past is wrong is refused by its name", async () => {
  const device = new ReferenceDevice();
  const { model, weights } = await loaded(kimi, device);
  const session = new Session(model, weights, { snapshots: 8 });
  await write(session, 30);
  const path = join(dir, "session");
  await session.save(path);
  const file = await decodeSafetensors(await readFile(path));
  const tensors: TensorInMemory[] = [];
  for (const name of file.names) {
    const { shape, dtype } = file.entry(name);
    tensors.push({ name, shape, dtype: dtype as "F64", data: await file.read(name) });
  }
  const before = device.liveBytes;
  const refused = async (message: RegExp, metadata: object, ends?: readonly number[]) => {
    const changed = tensors.map((t) =>
      ends && t.name === "ends" ? { ...t, shape: [ends.length], data: Int32Array.from(ends) } : t,
    );
    await writeFile(join(dir, "bad"), encodeSafetensors(changed, { ...file.metadata, ...metadata }));
    const error = await Session.load(join(dir, "bad"), model, weights).catch((caught) => caught);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toMatch(message);
    expect(device.liveBytes).toBe(before);
  };
  for (const length of ["0", "30", "1e9", "x", ""])
    await refused(/snapshot: got .*, expected a number from 1 to 29/, { snapshot: length });
  await refused(/ends: got 19, expected numbers that rise/, {}, [20, 19, 30]);
  await refused(/ends: got .*, expected numbers that rise to the 30/, {}, [20, 29]);
  await refused(/ends: got .*, expected numbers that rise to the 30/, {}, []);
  await refused(
    /ends: got \[31\]/,
    {},
    Array.from({ length: 31 }, (_, i) => i),
  );
});
