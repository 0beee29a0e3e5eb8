import type { CacheType } from "../tensor/page.ts";

const pools = new WeakMap<object, Partial<Record<CacheType, object>>>();

/** Where pages of all caches of one layer and type lie, so that a kernel finds those of several sequences. */
export function poolOf(layer: object, type: CacheType): object {
  const own = pools.get(layer) ?? {};
  pools.set(layer, own);
  own[type] ??= {};
  return own[type];
}
