import { cacheBytes, Session } from "../../src/generate/session.ts";
import { Random } from "../../src/tensor/random.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { differ, unequal, type Violation } from "./check.ts";
import { type ModelCase, named, weightsOf } from "./model.ts";
import { onto } from "./subject.ts";

/** The tokens of a sequence one by one give the logits that they give at once; the caches take what is declared. */
export function sessionContinues(drawn: ModelCase, device: Device): Promise<Violation> {
  const { model, tokens, form } = drawn;
  const random = new Random(drawn.seed + 2);
  const ids = Int32Array.from({ length: tokens }, () => random.integer(model.vocabulary));
  const options = form ? { form } : {};
  return openScope(device, async () => {
    const inputs = weightsOf(drawn);
    const weights = named(
      inputs,
      inputs.map((input) => onto(device, input)),
    );
    const whole = new Session(model, weights, { context: tokens });
    const expected = await whole.append(ids, options).read();
    const before = device.liveBytes;
    const session = new Session(model, weights, { context: tokens });
    const stepped: number[] = [];
    for (const id of ids) {
      const logits = session.append(Int32Array.of(id), options);
      stepped.push(...(await logits.read()));
      logits.free();
      const taken = device.liveBytes - before;
      const declared = cacheBytes(model, session.length, "f32", device.elementBytes);
      if (taken !== declared || session.bytes !== declared) return `caches take ${taken} bytes, expected ${declared}`;
    }
    if (session.length !== tokens) return `the session counts ${session.length} tokens, expected ${tokens}`;
    return differ("logits step by step", expected, stepped, 1e-9);
  });
}

/**
 * Law: a rewind is a replay. A session runs pieces of a text, some of it in a form that was asked for, is forked, goes on with other
 * tokens and is taken back to any length; bit for bit it then gives, and so does its fork taken back, what a session gives
 * that ran the same pieces and no more. All that was held is given back.
 */
export function rewindReplays(drawn: ModelCase, device: Device): Promise<Violation> {
  const { model, seed, form } = drawn;
  const random = new Random(seed + 4);
  const pieces = Array.from({ length: 2 + random.integer(5) }, () =>
    Int32Array.from({ length: 1 + random.integer(3) }, () => random.integer(model.vocabulary)),
  );
  const other = Int32Array.of(random.integer(model.vocabulary), random.integer(model.vocabulary));
  const length = pieces.reduce((sum, { length }) => sum + length, 0);
  const back = random.integer(length + 1);
  const snapshots = random.integer(4);
  return openScope(device, async () => {
    const inputs = weightsOf(drawn);
    const weights = named(
      inputs,
      inputs.map((input) => onto(device, input)),
    );
    const before = device.liveBytes;
    const open = () => new Session(model, weights, { context: 64, snapshots });
    const run = async (session: Session, ids: Int32Array, i: number) => {
      const logits = session.append(ids, i % 2 && form ? { form } : {});
      const numbers = await logits.read();
      logits.free();
      return numbers;
    };
    /** The text as far as `end`, piece by piece. */
    const runAll = async (session: Session, end: number) => {
      let at = 0;
      for (const [i, piece] of pieces.entries()) {
        if (at < end) await run(session, piece.subarray(0, Math.min(piece.length, end - at)), i);
        at += piece.length;
      }
    };
    const plain = open();
    await runAll(plain, back);
    const expected = await run(plain, other, 0);
    plain.free();
    const session = open();
    await runAll(session, length);
    const fork = session.fork();
    await run(session, other, 1);
    const held = [session, fork];
    for (const [i, each] of held.entries()) {
      const reachable = each.reachable(back);
      each.rewind(back);
      if (each.length !== back || reachable > back) return `went back to ${each.length}, expected ${back}`;
      const violation = unequal(`${i ? "a fork" : "a session"} taken back`, expected, await run(each, other, 0));
      if (violation) return violation;
    }
    for (const each of held) each.free();
    return device.liveBytes === before ? undefined : `${device.liveBytes - before} bytes are held after all was freed`;
  });
}
