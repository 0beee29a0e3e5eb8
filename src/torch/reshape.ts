import { DeviceError } from "../tensor/error.ts";
import type { Words } from "./letters.ts";
import type { Value } from "./value.ts";

/** The same numbers under other axes: those that differ are joined, then cut. */
export function reshaped(x: Value, shape: readonly number[], words: Words): Value {
  const [from, to] = x.tokens ? [x.shape.slice(1), shape.slice(1)] : [x.shape, shape];
  if (x.tokens && x.shape[0] !== shape[0])
    throw new DeviceError(`torch: got [${x.shape}] as [${shape}], which joins tokens, expected them apart`);
  let first = 0;
  while (first < from.length && from[first] === to[first]) first++;
  let last = 0;
  while (last < Math.min(from.length, to.length) - first && from.at(-1 - last) === to.at(-1 - last)) last++;
  const [joined, cut] = [from.slice(first, from.length - last), to.slice(first, to.length - last)];
  const at = -1 - last;
  const flat = joined.length > 1 ? `.flatten(${at - joined.length + 1}, ${at})` : "";
  const split =
    cut.length > 1 ? `.unflatten(${at}, (${[...cut.slice(0, -1).map((n) => words.whole(n)), -1].join(", ")}))` : "";
  return {
    shape,
    axes: [...x.axes.slice(0, first), ...cut.map((n) => words.letter(n)), ...x.axes.slice(x.axes.length - last)],
    tokens: x.tokens,
    args: [x],
    write: ([text]) => `${x.loose ? `(${text})` : text}${flat}${split}`,
    kind: "wrap",
  };
}
