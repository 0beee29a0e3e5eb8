import { DeviceError } from "../tensor/error.ts";

/** What a model's weights take of memory, and which of several memories each is to lie in. */
export interface Placement {
  readonly bytes: number;
  readonly memories: number;
  /** The memory, counted from 0, of a parameter. */
  of(name: string): number;
}

/**
 * Divides parameters among as few memories of `capacity` bytes as hold them, about equally full, so that each has room for its
 * layers' caches. A layer is never divided; embeddings lie before the first and the head behind the last.
 *
 * Errors: DeviceError where a layer is larger than a memory or the whole larger than the machine's `available` bytes.
 */
export function placeModel(
  sizes: ReadonlyMap<string, number>,
  { capacity, available }: { readonly capacity: number; readonly available: number },
): Placement {
  const groups = new Map<string, number>();
  for (const [name, size] of sizes) groups.set(groupOf(name), (groups.get(groupOf(name)) ?? 0) + size);
  const bytes = [...groups.values()].reduce((a, b) => a + b, 0);
  if (bytes > available)
    throw new DeviceError(
      `weights: got ${mebibytes(bytes)} MiB, expected at most the ${mebibytes(available)} MiB of memory that are free; ` +
        "use a smaller model, or one of a smaller format",
    );
  for (const [name, size] of groups)
    if (size > capacity)
      throw new DeviceError(
        `${name}: got ${mebibytes(size)} MiB, expected at most the ${mebibytes(capacity)} MiB that one device has for ` +
          "weights; use a model of a smaller format",
      );
  const { length: memories } = fill(groups, capacity);
  // The least share that needs no more memories than that.
  let share = bytes / memories;
  while (fill(groups, Math.min(share, capacity)).length > memories) share *= 1.02;
  const parts = fill(groups, Math.min(share, capacity));
  const memoryOf = new Map(parts.flatMap((part, i) => part.map((group) => [group, i] as const)));
  return { bytes, memories, of: (name) => memoryOf.get(groupOf(name))! };
}

/** What must lie together: a layer, or what comes before or after all of them. */
function groupOf(name: string): string {
  return /^layers\.\d+/.exec(name)?.[0] ?? (name === "norm" ? "head" : name);
}

/** Groups in order, a new memory where the next one would exceed `share`. */
function fill(groups: ReadonlyMap<string, number>, share: number): string[][] {
  const parts: string[][] = [];
  let full = 0;
  for (const [name, size] of groups) {
    if (parts.length === 0 || full + size > share) {
      parts.push([]);
      full = 0;
    }
    parts.at(-1)!.push(name);
    full += size;
  }
  return parts;
}

const mebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20);
