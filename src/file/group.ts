import { readRows, type TensorReader } from "./safetensors.ts";

/** Most bytes that are kept unless said otherwise. */
const MOST = 2 ** 30;

/**
 * A reader that keeps the bytes of one group's tensors until one of another group is asked for, so that what several look at one after
 * the other is read once. `groupOf` tells a tensor's group; those of none, and what would be more than `most` bytes together, are read
 * whenever they are asked for. Errors: as the reader's.
 */
export function keepGroup(
  reader: TensorReader,
  groupOf: (name: string) => number | undefined,
  most = MOST,
): TensorReader {
  let [group, bytes] = [-1, 0];
  const kept = new Map<string, Promise<Uint8Array>>();
  /** The bytes of a tensor of the group at hand, where it has room for them. */
  function keep(name: string): Promise<Uint8Array> | undefined {
    const own = groupOf(name);
    if (own === undefined) return undefined;
    if (own !== group) {
      kept.clear();
      [group, bytes] = [own, 0];
    }
    const known = kept.get(name);
    if (known) return known;
    const { begin, end } = reader.entry(name);
    if (bytes + end - begin > most) return undefined;
    bytes += end - begin;
    const whole = new Uint8Array(end - begin);
    const read = reader.readBytes(name, 0, whole).then(() => whole);
    kept.set(name, read);
    return read;
  }
  const all: TensorReader = {
    ...reader,
    read: (name) => (keep(name) ? readRows(all, name, 0, reader.entry(name).shape[0]!) : reader.read(name)),
    async readBytes(name, offset, into) {
      const whole = await keep(name);
      if (whole && offset >= 0 && offset + into.length <= whole.length)
        into.set(whole.subarray(offset, offset + into.length));
      else await reader.readBytes(name, offset, into);
    },
  };
  return all;
}
