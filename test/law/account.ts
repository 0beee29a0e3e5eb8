import { Cache, declaredBytes } from "../../src/attention/cache.ts";
import { costFlops, formNames, parameterCount, type Variant } from "../../src/attention/define.ts";
import { runAttention } from "../../src/attention/layer.ts";
import { visiblePairs } from "../../src/ops/attend/index.ts";
import { countFlops } from "../../src/ops/flops.ts";
import { positionsOf } from "../../src/ops/rope/index.ts";
import { type CacheType, pageTokens } from "../../src/tensor/page.ts";
import { type Device, tensor } from "../../src/tensor/tensor.ts";
import { openScope } from "../fixture/scope.ts";
import type { Violation } from "./check.ts";
import { type Case, tokensOf } from "./geometry.ts";
import { inChunks, onto, partsOf, subjectOf } from "./subject.ts";

/** Makes the cache that a law is about. */
export type MakeCache = (...args: ConstructorParameters<typeof Cache>) => Cache;
const makeCache: MakeCache = (...args) => new Cache(...args);

/**
 * Law: the declared cache is the memory taken, when it is made and after it has been filled, and all of it goes when it is freed;
 * the declared parameters are the numbers allocated, and a pass reads every one of them and no other.
 */
export function declaredIsHeld(
  variant: Variant,
  drawn: Case,
  device: Device,
  make = makeCache,
  type: CacheType = "f32",
): Promise<Violation> {
  const subject = subjectOf(variant, drawn, 1);
  const capacity = tokensOf(drawn);
  const declared = declaredBytes(subject.attention, pageTokens(capacity), type, device.elementBytes);
  return openScope(device, async () => {
    const start = device.liveBytes;
    const tensors = subject.parameters.map(({ shape, values }) => tensor(device, shape, values));
    const held = (device.liveBytes - start) / device.elementBytes;
    if (held !== parameterCount(variant, drawn.sizes))
      return `${variant.name}: parameters hold ${held} numbers, expected ${parameterCount(variant, drawn.sizes)}`;
    const x = onto(device, subject.x);
    const before = device.liveBytes;
    const cache = make(device, subject.attention, capacity, type);
    cache.reserve(capacity);
    const taken = device.liveBytes - before;
    if (taken !== declared || cache.bytes !== declared)
      return `${variant.name}: the cache takes ${taken} bytes and says ${cache.bytes}, expected ${declared}`;
    const read = new Set<string>();
    const p = new Proxy(partsOf(subject.parameters, tensors), {
      get: (parts, name: string) => {
        if (parts[name]) read.add(name);
        return parts[name];
      },
    });
    await openScope(device, () => inChunks(subject, drawn, cache, p, x));
    const unread = subject.parameters.filter(({ name }) => !read.has(name)).map(({ name }) => name);
    if (unread.length > 0) return `${variant.name}: no form reads the declared parameters ${unread}`;
    if (cache.bytes !== declared) return `${variant.name}: the cache grew to ${cache.bytes} bytes from ${declared}`;
    const filled = device.liveBytes;
    cache.free();
    const freed = filled - device.liveBytes;
    return freed === declared
      ? undefined
      : `${variant.name}: a freed cache gave back ${freed} bytes, expected ${declared}`;
  });
}

/**
 * Law: declared FLOPs are those counted. The last chunk over the cache of those before costs exactly token x new + cached x all +
 * pair x visible pairs.
 */
export function declaredIsCounted(variant: Variant, drawn: Case, device: Device): Promise<Violation> {
  const subject = subjectOf(variant, drawn, 1);
  const s = tokensOf(drawn);
  const t = drawn.chunks.at(-1)!.tokens;
  return openScope(device, async () => {
    const tensors = subject.parameters.map((parameter) => onto(device, parameter));
    const p = partsOf(subject.parameters, tensors);
    const x = onto(device, subject.x);
    for (const form of formNames(variant, drawn.sizes)) {
      const cache = new Cache(device, subject.attention, s);
      await inChunks(subject, { ...drawn, chunks: drawn.chunks.slice(0, -1) }, cache, p, x);
      const { flops: found } = countFlops(() =>
        runAttention(subject.attention, p, x.rows(s - t, s), { positions: positionsOf(s - t, t), form, cache }),
      );
      cache.free();
      const cost = variant.forms[form]!.cost(drawn.sizes);
      const pairs = visiblePairs({ t, s, causal: true, window: drawn.window });
      const declared = costFlops(cost, drawn.sizes, { t, s, pairs });
      if (found !== declared)
        return `${variant.name} ${form}: counted ${found} FLOPs for ${t} new of ${s} tokens, declared ${declared}`;
    }
    return undefined;
  });
}
