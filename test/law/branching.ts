import { Cache } from "../../src/attention/cache.ts";
import type { Variant } from "../../src/attention/define.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import { Random } from "../../src/tensor/random.ts";
import type { Device } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import { unequal, type Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { inChunks, onto, operand, partsOf, subjectOf } from "./subject.ts";

/**
 * Law: a fork is a replay. A sequence is forked twice between two chunks; one fork goes on with other tokens and is then taken back,
 * over a state by a snapshot. Bit for bit, the original, the other fork and the one taken back give what the sequence
 * gives alone. Whatever is held is declared, shared pages once, and all of it is given back.
 */
export function branches(variant: Variant, drawn: Case, device: Device, type: CacheType): Promise<Violation> {
  const probe = { ...drawn, chunks: [{ tokens: 1, form: 0 }] };
  const subject = subjectOf(variant, { ...drawn, chunks: [...drawn.chunks, ...probe.chunks] }, 1);
  const cut = drawn.seed % drawn.chunks.length;
  const head = { ...drawn, chunks: drawn.chunks.slice(0, cut) };
  const tail = { ...drawn, chunks: drawn.chunks.slice(cut) };
  return openScope(device, async () => {
    const p = partsOf(
      subject.parameters,
      subject.parameters.map((parameter) => onto(device, parameter)),
    );
    const x = onto(device, subject.x);
    const others = onto(device, operand("others", subject.x.shape, new Random(drawn.seed + 3)));
    const before = device.liveBytes;
    const run = (part: Case, cache: Cache, from = x) =>
      openScope(device, () => inChunks(subject, part, cache, p, from));
    const make = () => new Cache(device, subject.attention, tokensOf(drawn) + 1, type);
    const alone = make();
    await run(head, alone);
    const expected = [await run(tail, alone), await run(probe, alone)] as const;
    alone.free();

    const cache = make();
    await run(head, cache);
    const [fork, twin] = [cache.fork(), cache.fork()];
    const held = device.liveBytes - before;
    const declared = [cache, fork, twin].reduce((sum, each) => sum + each.bytes - each.sharedBytes, cache.sharedBytes);
    if (held !== declared) return `${variant.name} ${type}: forks hold ${held} bytes, expected ${declared}`;
    const snapshot = fork.snapshot();
    const goesOn = async (what: string, each: Cache) =>
      unequal(`${variant.name} ${type}: ${what}`, expected[0], await run(tail, each));
    const ends = async (what: string, each: Cache) =>
      unequal(`${variant.name} ${type}: ${what}, one token more`, expected[1], await run(probe, each));
    const original = await goesOn("the original", cache);
    // What the fork writes now must not reach what the original has written since.
    await run(tail, fork, others);
    const end = await ends("the original", cache);
    const twins = await goesOn("a fork", twin);
    fork.rewind(tokensOf(head), snapshot);
    for (const t of Object.values(snapshot)) t.free();
    const back = await goesOn("a fork that went back", fork);
    for (const violation of [
      original,
      twins,
      back,
      end,
      await ends("a fork", twin),
      await ends("a fork that went back", fork),
    ])
      if (violation) return violation;
    for (const each of [cache, twin, fork]) each.free();
    return device.liveBytes === before
      ? undefined
      : `${variant.name}: ${device.liveBytes - before} bytes are held after all was freed`;
  });
}
