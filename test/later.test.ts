import { expect, test } from "vitest";
import { storySource } from "../src/data/story.ts";
import { ReferenceDevice } from "../src/device/reference.ts";
import { generate, idsOf } from "../src/generate/generate.ts";
import { Session } from "../src/generate/session.ts";
import { buildModel } from "../src/model/build.ts";
import { add, combine, scaleBy, update } from "../src/ops/add/index.ts";
import { gather } from "../src/ops/embed/index.ts";
import { kernel } from "../src/ops/op.ts";
import { DeviceError } from "../src/tensor/error.ts";
import { type Device, Scope, scope, Tensor, tensor } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { optimiserDefaults } from "../src/train/optimiser.ts";
import { type TrainSettings, train } from "../src/train/train.ts";
import { LaterDevice } from "./fixture/later.ts";

const model = buildModel("[MLA,GQA2-128,KDA]", { vocabulary: 40, width: 32, heads: 4, layers: 3 });
const prompt = Int32Array.from({ length: 110 }, (_, i) => (i * i + 3) % 40);

test("nothing runs before something is awaited, and then not in the order of the calls", async () => {
  const device = new LaterDevice();
  const x = tensor(device, [3], [1, 2, 3]);
  const [two, three] = [scaleBy(x, 2), scaleBy(x, 3)];
  const sum = add(two, three);
  expect(device.ran).toBe(0);
  expect(await sum.read()).toEqual(Float64Array.of(5, 10, 15));
  expect(device.overtaken).toBeGreaterThan(0);
});

test("arrays of the host may change once a call has returned, and tensors may be freed", async () => {
  const device = new LaterDevice();
  const [numbers, ids] = [[1, 2, 3], Int32Array.of(2, 0)];
  const table = tensor(device, [3, 1], numbers);
  const rows = gather(table, ids);
  numbers.fill(9);
  ids.fill(1);
  table.free();
  expect(await rows.read()).toEqual(Float64Array.of(3, 1));
});

test("a block that is read and written in one launch is refused, but where the op updates in place", async () => {
  const device = new LaterDevice();
  const x = tensor(device, [2, 2], [1, 2, 3, 4]);
  expect(() => combine(1, x.rows(0, 1), 0, undefined, x.rows(1, 2))).toThrow(DeviceError);
  update(x, 2);
  expect(await x.read()).toEqual(Float64Array.of(2, 4, 6, 8));
});

test("a kernel that a device lacks is an error that names both", () => {
  const device: Device = Object.assign(new ReferenceDevice(), { kernel: () => undefined });
  const launch = kernel("rope", { writes: [4] });
  expect(() => launch(device)).toThrow(/^rope: got a reference device, .* expected one that has; use another device$/);
});

test("scopes that take turns on one device each keep and free their own", async () => {
  const device = new LaterDevice();
  const turns: (() => void)[] = [];
  const turn = () => new Promise<void>((resolve) => turns.push(resolve));
  const body = async (factor: number) => {
    const own = new Scope(device);
    const x = own.run(() => tensor(device, [2], [factor, 2 * factor]));
    await turn();
    const y = own.run(() => scope(device, () => add(scaleBy(x, 2), x)));
    await turn();
    own.end(y);
    return { x, y };
  };
  const both = Promise.all([body(1), body(10)]);
  for (let left = 4; left > 0; left--) {
    await Promise.resolve();
    turns.splice(left % 2 ? 0 : turns.length - 1, 1)[0]!();
  }
  const [one, ten] = await both;
  expect([one.x.freed, ten.x.freed, one.y.freed, ten.y.freed]).toEqual([true, true, false, false]);
  expect(await one.y.read()).toEqual(Float64Array.of(3, 6));
  expect(await ten.y.read()).toEqual(Float64Array.of(30, 60));
  one.y.free();
  ten.y.free();
  expect(device.liveBytes).toBe(0);
  expect(device.owner).toBeUndefined();
  expect(() => scope(device, async () => new Tensor(device, [1]))).toThrow(/asynchronous body/);
});

test("text, from a fork too, is the reference's token for token", async () => {
  const write = async (device: Device) => {
    const session = new Session(model, initialWeights(model, device, 5));
    session.append(prompt).free();
    const fork = session.fork();
    const options = { maxTokens: 12, temperature: 0.9, seed: 3 };
    return [
      await idsOf(generate(session, Int32Array.of(7), options)),
      await idsOf(generate(fork, Int32Array.of(8), options)),
    ];
  };
  expect(await write(new LaterDevice())).toEqual(await write(new ReferenceDevice()));
});

test.each(["adamw", "muon"] as const)("training by %s gives the reference's losses bit for bit", async (kind) => {
  const source = storySource(1);
  const settings: TrainSettings = {
    pattern: "[MLA,GQA2-(192+64)-S2]",
    model: { vocabulary: 256, width: 16, heads: 2, layers: 2 },
    optimiser: { ...optimiserDefaults, kind },
    rate: 0.01,
    warmup: 2,
    floor: 0.1,
    steps: 6,
    batch: 2,
    length: 17,
    seed: 3,
    evaluateEvery: 3,
    heldOutBatches: 1,
    source: source.name,
  };
  const [later, exact] = [
    await train(settings, source, new LaterDevice()),
    await train(settings, source, new ReferenceDevice()),
  ];
  expect(later.training.losses).toEqual(exact.training.losses);
  expect(later.heldOut).toEqual(exact.heldOut);
});

test("memory that turns out to have ended fails what is awaited, with the device's own words", async () => {
  const device = new LaterDevice({ capacity: 400_000 });
  const session = new Session(model, initialWeights(model, device, 5));
  const logits = session.append(prompt);
  await expect(logits.read()).rejects.toThrow(/memory has ended/);
  await expect(device.fence()).rejects.toThrow(DeviceError);
  // What is cached was never computed: no further token may build on it.
  expect(() => session.append(prompt)).toThrow(
    /^session: got tokens after its device had failed \(later: memory has ended/,
  );
  expect(() => session.fork().append(prompt)).toThrow(/had failed/);
});
