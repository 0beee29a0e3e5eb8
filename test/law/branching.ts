import { Cache } from "../../src/attention/cache.ts";
import type { Variant } from "../../src/attention/define.ts";
import type { CacheType } from "../../src/tensor/page.ts";
import { Random } from "../../src/tensor/random.ts";
import { type Device, scope } from "../../src/tensor/tensor.ts";
import { unequal, type Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { inChunks, onto, operand, partsOf, subjectOf } from "./subject.ts";

/**
 * Law: a fork is a replay. A sequence is forked between two chunks, the fork goes on with other tokens first, and the original then
 * gives bit for bit what it gives alone; so does the fork once it is rewound, or, over a state, the original from its beginning.
 * Whatever is held is declared, and all of it is given back.
 */
export function branches(variant: Variant, drawn: Case, device: Device, type: CacheType): Promise<Violation> {
  const subject = subjectOf(variant, drawn, 1);
  const cut = drawn.seed % drawn.chunks.length;
  const head = { ...drawn, chunks: drawn.chunks.slice(0, cut) };
  const tail = { ...drawn, chunks: drawn.chunks.slice(cut) };
  return scope(device, async () => {
    const p = partsOf(
      subject.parameters,
      subject.parameters.map((parameter) => onto(device, parameter)),
    );
    const x = onto(device, subject.x);
    const others = onto(device, operand("others", subject.x.shape, new Random(drawn.seed + 3)));
    const before = device.liveBytes;
    const run = (part: Case, cache: Cache, from = x) => scope(device, () => inChunks(subject, part, cache, p, from));
    const alone = new Cache(device, subject.attention, tokensOf(drawn), type);
    const expected = [...(await run(head, alone)), ...(await run(tail, alone))];
    const rest = expected.slice(tokensOf(head) * drawn.sizes.d);
    alone.free();
    const cache = new Cache(device, subject.attention, tokensOf(drawn), type);
    await run(head, cache);
    const fork = cache.fork();
    if (fork.sharedBytes !== cache.sharedBytes)
      return `${variant.name}: a fork shares ${fork.sharedBytes} bytes, its origin ${cache.sharedBytes}`;
    await run(tail, fork, others);
    const original = unequal(`${variant.name} ${type}: after a fork`, rest, await run(tail, cache));
    if (original) return original;
    const held = device.liveBytes - before;
    if (held !== cache.bytes + fork.bytes - fork.sharedBytes)
      return `${variant.name}: ${held} bytes are held, expected ${cache.bytes} + ${fork.bytes} - ${fork.sharedBytes}`;
    const stateless = Object.keys(fork.state).length === 0;
    fork.rewind(stateless ? tokensOf(head) : 0);
    if (!stateless) await run(head, fork);
    const again = unequal(`${variant.name} ${type}: rewound`, rest, await run(tail, fork));
    if (again) return again;
    cache.free();
    const survivor = fork.fork();
    fork.free();
    survivor.free();
    return device.liveBytes === before
      ? undefined
      : `${variant.name}: ${device.liveBytes - before} bytes are held after all was freed`;
  });
}
