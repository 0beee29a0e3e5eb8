import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { WasmDevice } from "../src/device/wasm.ts";
import { Session, type SessionOptions } from "../src/generate/session.ts";
import { appendTogether, type Entry, EntryError } from "../src/generate/together.ts";
import { buildModel } from "../src/model/build.ts";
import type { Model } from "../src/model/model.ts";
import type { Weights } from "../src/model/transformer.ts";
import { copyTo } from "../src/ops/move/index.ts";
import { DeviceError, ShapeError } from "../src/tensor/error.ts";
import { PAGE } from "../src/tensor/page.ts";
import { Random } from "../src/tensor/random.ts";
import type { Device, Numbers } from "../src/tensor/tensor.ts";
import { initialWeights } from "../src/train/initial.ts";
import { LaterDevice } from "./fixture/later.ts";

const vocabulary = 61;
const build = (attention: string) => buildModel(attention, { vocabulary, width: 48, heads: 4, layers: 2 });
/** Latents, grouped keys and values, a state: of each pair the first layer may be one, the second another. */
const pairs = ["[MLA,GQA2-128]", "[KDA,MLA]", "[MLA-FoX,GDN]", "[MLA-DSA16,TPA]"];
const draw = (n: number, seed: number) => {
  const random = new Random(seed);
  return Int32Array.from({ length: n }, () => random.integer(vocabulary));
};
/** Prompts of eight requests. */
const lengths = [1, 300, 17, 96, 2, 97, 130, 45];
const prompts = lengths.map((n, i) => draw(n, i + 1));
const best = (logits: Numbers) => logits.indexOf(Math.max(...logits));

async function stepped(entries: readonly Entry[], form?: string): Promise<Numbers> {
  const tensor = appendTogether(entries, { form });
  const logits = await tensor.read();
  tensor.free();
  return logits;
}

/** Greedy text of one session after a prompt. */
async function alone(session: Session, prompt: Int32Array, count: number): Promise<number[]> {
  const ids: number[] = [];
  let next = prompt;
  while (ids.length < count) {
    ids.push(best(await stepped([{ session, ids: next }])));
    next = Int32Array.of(ids.at(-1)!);
  }
  return ids;
}

/** The same of all prompts at once: prompts in chunks beside what others write, joining at every other step. */
async function atOnce(open: () => Session, count: number, chunk = 31): Promise<number[][]> {
  const texts: number[][] = prompts.map(() => []);
  const [sessions, left] = [prompts.map(open), prompts.map((ids) => ids)];
  for (let time = 0; texts.some((ids) => ids.length < count); time++) {
    const active = sessions.map((_, i) => i).filter((i) => texts[i]!.length < count && 2 * i <= time);
    const entries = active.map((i): Entry => {
      const ids = left[i]!.length ? left[i]!.subarray(0, chunk) : Int32Array.of(texts[i]!.at(-1)!);
      left[i] = left[i]!.subarray(ids.length);
      return { session: sessions[i]!, ids, logits: left[i]!.length ? "none" : "last" };
    });
    const logits = await stepped(entries);
    const wanted = active.filter((_, k) => entries[k]!.logits === "last");
    for (const [row, i] of wanted.entries())
      texts[i]!.push(best(logits.subarray(row * vocabulary, (row + 1) * vocabulary)));
  }
  for (const session of sessions) session.free();
  return texts;
}

describe.each(pairs)("%s", (attention) => {
  const model = build(attention);
  let device: WasmDevice;
  let weights: Weights;
  beforeAll(async () => {
    device = await WasmDevice.open({ threads: 2, poison: true });
    weights = initialWeights(model, device, 5);
  });
  afterAll(() => device.close());

  test("greedy text of a batch of eight is each one's alone, token for token in float32", async () => {
    const open = () => new Session(model, weights, { snapshots: 32 });
    const expected: number[][] = [];
    for (const prompt of prompts) {
      const session = open();
      expected.push(await alone(session, prompt, 24));
      session.free();
    }
    const before = device.liveBytes;
    expect(await atOnce(open, 24)).toEqual(expected);
    expect(device.liveBytes).toBe(before);
    // Not all of it is one token again and again, which anything would write.
    expect(new Set(expected.flat()).size).toBeGreaterThan(8);
  });
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

/** Three sessions that stand just before the end of a page, or in the middle of one. */
async function three(model: Model, weights: Weights, options: SessionOptions = {}): Promise<Session[]> {
  const sessions = [PAGE, 5, 2 * PAGE].map(() => new Session(model, weights, options));
  for (const [i, n] of [PAGE, 5, 2 * PAGE].entries()) await stepped([{ session: sessions[i]!, ids: draw(n, i) }]);
  return sessions;
}

const entriesOf = (sessions: readonly Session[]): Entry[] =>
  sessions.map((session, i) => ({ session, ids: draw(i === 1 ? 9 : 1, 20 + i) }));

test.each(pairs)(
  "%s: a step that fails midway, wherever memory ends, leaves all sessions as they were",
  async (attention) => {
    const device = new Tight();
    const model = build(attention);
    const weights = initialWeights(model, device, 5);
    const sessions = await three(model, weights, { snapshots: 16 });
    const expected = await stepped(entriesOf(sessions.map((session) => session.fork())));
    let failed = 0;
    for (let at = 1; ; at += 3) {
      const forks = sessions.map((session) => session.fork());
      const bytes = forks.map((fork) => fork.bytes);
      device.countdown = at;
      const error = await stepped(entriesOf(forks)).then(
        () => undefined,
        (caught: unknown) => caught,
      );
      const ended = device.countdown > 0;
      device.countdown = Number.POSITIVE_INFINITY;
      if (ended) break;
      // A snapshot that finds no room is left out, and nothing fails.
      if (error) {
        failed++;
        expect(error).toBeInstanceOf(DeviceError);
        expect(forks.map(({ length }) => length)).toEqual([PAGE, 5, 2 * PAGE]);
        expect(forks.map((fork) => fork.bytes)).toEqual(bytes);
        expect(await stepped(entriesOf(forks))).toEqual(expected);
      }
      for (const fork of forks) fork.free();
    }
    expect(failed).toBeGreaterThan(10);
  },
);

test("who gets no pages is told, and the others give theirs back", async () => {
  const device = new Tight();
  const model = build("[MLA,GQA2-128]");
  const weights = initialWeights(model, device, 5);
  const sessions = await three(model, weights);
  const before = device.liveBytes;
  // Room for the pages of the first session, that begins one, and not for those of the third.
  device.limit = before + sessions[0]!.bytes * 1.5;
  let error: unknown;
  try {
    appendTogether(entriesOf(sessions));
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(EntryError);
  expect((error as EntryError).entry).toBe(2);
  expect((error as Error).message).toMatch(/^session 3 of 3: memory: got/);
  expect(device.liveBytes).toBe(before);
  device.limit = Number.POSITIVE_INFINITY;
  expect((await stepped(entriesOf(sessions))).length).toBe(3 * vocabulary);
});

test("where a device tells later that memory has ended, reading rejects and all sessions of the step are lost", async () => {
  const model = build("[MLA,GQA2-128]");
  const probe = new LaterDevice();
  initialWeights(model, probe, 5);
  const device = new LaterDevice({ capacity: probe.liveBytes + 60_000 });
  const weights = initialWeights(model, device, 5);
  const sessions = [1, 2].map(() => new Session(model, weights));
  await expect(stepped(sessions.map((session) => ({ session, ids: draw(200, 1) })))).rejects.toThrow(
    /memory has ended/,
  );
  for (const session of sessions) expect(() => session.append(Int32Array.of(1))).toThrow(/after its device had failed/);
});

test("a model over several memories steps as one over one memory", async () => {
  const model = build("[KDA,MLA]");
  const [one, other] = [new ReferenceDevice(), new ReferenceDevice()];
  const weights = initialWeights(model, one, 5);
  const spread = new Map([...weights].map(([name, t]) => [name, name.startsWith("layers.1") ? copyTo(t, other) : t]));
  const [here, there] = [await three(model, weights), await three(model, spread)];
  expect(await stepped(entriesOf(there))).toEqual(await stepped(entriesOf(here)));
});

test("a session that stepped with others is forked, taken back and goes on by itself", async () => {
  const device: Device = new ReferenceDevice();
  const model = build("[KDA,MLA]");
  const weights = initialWeights(model, device, 5);
  const sessions = await three(model, weights, { snapshots: 4 });
  await stepped(entriesOf(sessions));
  const [, second] = sessions;
  const fork = second!.fork();
  second!.rewind(7);
  const ids = draw(9, 21);
  const expected = await stepped([{ session: second!, ids: ids.subarray(2), logits: "all" }]);
  fork.rewind(7);
  const again = await stepped([
    { session: fork, ids: ids.subarray(2), logits: "all" },
    { session: sessions[0]!, ids: Int32Array.of(3), logits: "none" },
  ]);
  expect(again.length).toBe(expected.length);
  for (const [i, x] of again.entries()) expect(x).toBeCloseTo(expected[i]!, 10);
  expect([...fork.tokens]).toEqual([...draw(5, 1), ...ids]);
});

test("sessions that cannot share a step are refused", () => {
  const device = new ReferenceDevice();
  const model = build("[MLA,GQA2-128]");
  const weights = initialWeights(model, device, 5);
  const ids = Int32Array.of(1);
  const one = new Session(model, weights, { context: 4 });
  const refusal = (...entries: Entry[]) => {
    try {
      appendTogether(entries).free();
    } catch (error) {
      expect(error).toBeInstanceOf(ShapeError);
      return (error as Error).message;
    }
    return "none";
  };
  const other = new Session(model, initialWeights(model, device, 6));
  const narrow = new Session(model, weights, { cache: "q8" });
  const long = new Session(model, weights);
  expect(refusal()).toMatch(/got none to step together/);
  expect(refusal({ session: one, ids }, { session: one, ids })).toMatch(/got one twice/);
  expect(refusal({ session: one, ids }, { session: other, ids })).toMatch(/^session 2 of 2: got another model/);
  expect(refusal({ session: one, ids }, { session: narrow, ids })).toMatch(/^session 2 of 2: got a cache of q8/);
  expect(refusal({ session: long, ids }, { session: one, ids: new Int32Array(0) })).toMatch(
    /^session 2 of 2: got no tokens/,
  );
  expect(refusal({ session: long, ids }, { session: one, ids: draw(5, 1) })).toMatch(
    /^session 2 of 2: cache: got 5 tokens, expected at most its capacity 4/,
  );
  expect(refusal({ session: long, ids }, { session: one, ids: Int32Array.of(vocabulary) })).toMatch(/got row 61/);
  expect([one.length, long.length, one.bytes, long.bytes]).toEqual([0, 0, 0, 0]);
  expect(refusal({ session: long, ids }, { session: one, ids })).toBe("none");
});
