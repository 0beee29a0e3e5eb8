import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { decodeSafetensors, encodeSafetensors, type TensorInMemory } from "../src/file/safetensors.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { DeviceError, FormatError, ShapeError } from "../src/tensor/error.ts";
import type { Device } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { LaterDevice } from "./fixture/later.ts";

const model = buildModel("[MLA,GQA2-128,GQA2-128-FoX]", { vocabulary: 40, width: 48, heads: 4, layers: 3 });
const prompt = Int32Array.from({ length: 120 }, (_, i) => (i * i + 3) % 40);
const next = Int32Array.of(7);

let folder: string;
let wasm: WasmDevice;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "biform-saved-"));
  wasm = await WasmDevice.open({ threads: 2, poison: true });
});
afterAll(async () => {
  wasm.close();
  await rm(folder, { recursive: true });
});

async function step(session: Session): Promise<number[]> {
  const logits = session.append(next, { logits: "last" });
  const numbers = Array.from(await logits.read());
  logits.free();
  return numbers;
}

describe.each(["f32", "bf16", "q8"] as const)("a saved session over a cache of %s", (cache) => {
  test.each(["wasm", "reference", "later"])("goes on bit for bit on %s, and holds the declared bytes", async (kind) => {
    const device: Device = { wasm, reference: new ReferenceDevice(), later: new LaterDevice() }[kind]!;
    const weights = initialWeights(model, device, 7);
    const session = new Session(model, weights, { cache });
    session.append(prompt).free();
    const path = join(folder, `${kind}.${cache}`);
    await session.save(path);
    const before = device.liveBytes;
    const loaded = await Session.load(path, model, weights, { cache });
    expect(device.liveBytes - before).toBe(loaded.bytes);
    expect(loaded.bytes).toBe(session.bytes);
    expect(loaded.tokens).toEqual(prompt);
    expect(await step(loaded)).toEqual(await step(session));
    await loaded.save(`${path}.again`);
    await session.save(path);
    expect(await readFile(`${path}.again`)).toEqual(await readFile(path));
    session.free();
    loaded.free();
    for (const t of weights.values()) t.free();
  });
});

describe("a file that is not what a session saved", () => {
  test("is refused with a FormatError, and nothing is held afterwards", async () => {
    const weights = initialWeights(model, wasm, 7);
    const session = new Session(model, weights, { cache: "q8" });
    session.append(prompt).free();
    const path = join(folder, "good");
    await session.save(path);
    session.free();
    const bytes = await readFile(path);
    const file = await decodeSafetensors(bytes);
    const tensors: TensorInMemory[] = [];
    for (const name of file.names) {
      const { shape, dtype } = file.entry(name);
      tensors.push({ name, shape, dtype: dtype as "F32", data: await file.read(name) });
    }
    const before = wasm.liveBytes;
    const refused = async (content: Uint8Array, message: RegExp, options = { cache: "q8" as "q8" | "f32" }) => {
      const bad = join(folder, "bad");
      await writeFile(bad, content);
      const error = await Session.load(bad, model, weights, options).catch((e) => e);
      expect(error).toBeInstanceOf(FormatError);
      expect(error.message).toMatch(message);
      expect(wasm.liveBytes).toBe(before);
    };
    const changed = (change: (t: TensorInMemory) => TensorInMemory, metadata = {}) =>
      encodeSafetensors(tensors.map(change), { ...file.metadata, ...metadata });
    const named = (name: string, change: Partial<TensorInMemory>) =>
      changed((t) => (t.name === name ? ({ ...t, ...change } as TensorInMemory) : t));
    const same = (t: TensorInMemory) => t;
    for (const length of [0, 7, 100, bytes.length - 1]) await refused(bytes.subarray(0, length), /./);
    await refused(bytes, /cache: got "?q8"?, expected "f32"/, { cache: "f32" });
    await refused(changed(same, { format: "other" }), /format: got/);
    await refused(changed(same, { model: "0" }), /model: got .* saved by another model/);
    await refused(changed(same, { length: "121" }), /length: got "?121"?, expected the 120 tokens/);
    await refused(named("layers.0.c", { name: "layers.9.c" }), /no tensor "?layers.0.c/);
    const extra: TensorInMemory = { name: "more", shape: [1], dtype: "F32", data: Float32Array.of(1) };
    await refused(encodeSafetensors([...tensors, extra], file.metadata), /got a tensor "?more/);
    const wide = tensors.find(({ name }) => name === "layers.1.k")!;
    await refused(named("layers.1.k", { shape: [wide.shape[0]!, wide.data.length / wide.shape[0]!] }), /layers.1.k/);
    await refused(named("layers.1.k", { dtype: "I16", data: Int16Array.from(wide.data) }), /got I16 .*, expected I8/);
    await refused(named("tokens", { data: Int32Array.from(prompt, () => 40) }), /tokens: element 0: got 40/);
    const other = initialWeights(model, wasm, 8);
    await expect(Session.load(path, model, other, { cache: "q8" })).rejects.toThrow(/with other weights/);
    await expect(Session.load(path, model, weights, { cache: "q8", context: 100 })).rejects.toThrow(ShapeError);
    for (const set of [weights, other]) for (const t of set.values()) t.free();
  });
});

describe("a session", () => {
  test("forks, rewinds and shares its prefix: 3 sessions hold little more than one", async () => {
    const rewindable = { ...model, layers: model.layers.slice(0, 2) };
    const weights = initialWeights(rewindable, wasm, 7);
    const before = wasm.liveBytes;
    const session = new Session(rewindable, weights, { cache: "bf16" });
    session.append(prompt).free();
    const one = wasm.liveBytes - before;
    const forks = [session.fork(), session.fork()];
    expect(wasm.liveBytes - before).toBe(one);
    expect(session.sharedBytes).toBe(one);
    const results = [];
    for (const each of [...forks, session]) results.push(await step(each));
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    // Of two pages the first is shared by all, and each wrote to a second of its own.
    expect(wasm.liveBytes - before).toBe(2 * one);
    session.rewind(50);
    expect(session.tokens).toEqual(prompt.slice(0, 50));
    session.append(prompt.subarray(50)).free();
    expect(await step(session)).toEqual(results[0]);
    session.rewind(0);
    expect(session.bytes).toBe(0);
    for (const each of [...forks, session]) each.free();
    expect(wasm.liveBytes).toBe(before);
    for (const t of weights.values()) t.free();
  });

  test("goes back into the past of a state by running it again, and refuses a length that it has not", async () => {
    const device = new ReferenceDevice();
    const weights = initialWeights(model, device, 7);
    const [session, short] = [new Session(model, weights), new Session(model, weights)];
    session.append(prompt).free();
    short.append(prompt.subarray(0, 5)).free();
    expect(() => session.rewind(121)).toThrow(/got a rewind to 121 tokens, expected 0 to 120/);
    expect(() => session.rewind(1.5)).toThrow(ShapeError);
    expect(session.length).toBe(120);
    session.rewind(5);
    expect(session.length).toBe(5);
    expect(await step(session)).toEqual(await step(short));
    expect(() => session.caches[2]!.rewind(3)).toThrow(/rewind to 3 of 6 tokens over FoX.*snapshot/);
    session.rewind(0);
    expect(session.length).toBe(0);
  });

  test("refuses a context that memory does not hold before it takes any", () => {
    const weights = initialWeights(model, wasm, 7);
    const before = wasm.liveBytes;
    expect(() => new Session(model, weights, { context: 1e8 })).toThrow(DeviceError);
    expect(() => new Session(model, weights, { context: 1e8 })).toThrow(
      /got a context of 100000000 tokens whose f32 cache takes \d+ MiB, expected at most the \d+ MiB that are free/,
    );
    expect(wasm.liveBytes).toBe(before);
    for (const t of weights.values()) t.free();
  });

  test("is as it was after a step that failed", async () => {
    const weights = initialWeights(model, wasm, 7);
    const session = new Session(model, weights, { context: 125 });
    session.append(prompt).free();
    const held = session.bytes;
    expect(() => session.append(prompt)).toThrow(/got 240 tokens, expected at most its capacity 125/);
    expect(() => session.append(Int32Array.of(40))).toThrow(/gather: got row 40/);
    expect(session.length).toBe(120);
    expect(session.bytes).toBe(held);
    const replay = new Session(model, weights);
    replay.append(prompt).free();
    expect(await step(session)).toEqual(await step(replay));
    for (const each of [session, replay]) each.free();
    for (const t of weights.values()) t.free();
  });
});
