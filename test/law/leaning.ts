import { dataOf } from "../../src/device/float.ts";
import type { ReferenceDevice } from "../../src/device/reference.ts";
import type { SelectCall, Selected } from "../../src/ops/select/index.ts";
import { unit } from "./rounding.ts";

/** Roundings that a score may be away by, of the size of what is added up in it: norms before it carry their own into it. */
const ROUNDINGS = 64;

/**
 * Makes an indexer's choices on a device lean towards later keys, or towards earlier ones where `way` is -1, by as much as rounding may
 * move scores. Of keys whose scores float32 cannot tell apart the two ways choose different ones, and so show what hangs on it: small
 * moves of the inputs alone turn such a tie in every other run.
 */
export function leanChoices(device: ReferenceDevice, way: 1 | -1): void {
  const kernel = device.kernel.bind(device);
  Object.assign(device, {
    kernel: (operation: Parameters<typeof kernel>[0]) =>
      operation.name === "select"
        ? (call: SelectCall, selected: Selected) => choose(call, selected, way)
        : kernel(operation),
  });
}

/** As the reference chooses, by scores that lean. */
function choose(call: SelectCall, { rows, missing }: Selected, way: number): void {
  const { batch, t, s, count, causal } = call;
  const [to, lacking] = [dataOf(rows).fill(-1), dataOf(missing)];
  for (let row = 0; row < batch * t; row++) {
    const visible = causal ? Math.max(0, Math.min(s, (row % t) + s - t + 1)) : s;
    const scored = Array.from({ length: visible }, (_, key) => scoreOf(call, row, Math.floor(row / t) * s + key));
    const lean = way * ROUNDINGS * unit * Math.max(0, ...scored.map(({ size }) => size));
    const leaning = scored.map(({ score }, key) => score + lean * key);
    const ranked = leaning.map((_, key) => key).sort((a, b) => leaning[b]! - leaning[a]! || a - b);
    const chosen = ranked.slice(0, count).sort((a, b) => a - b);
    to.set(chosen, (row + 1) * count - chosen.length);
    lacking[row] = count - chosen.length;
  }
}

/** A key's score, and the sum of the sizes of all that is added up in it. */
function scoreOf({ q, k, weights, heads, width, scale }: SelectCall, row: number, key: number) {
  const [x, y, w] = [dataOf(q), dataOf(k), dataOf(weights)];
  let [score, size] = [0, 0];
  for (let j = 0; j < heads; j++) {
    let [dot, whole] = [0, 0];
    for (let i = 0; i < width; i++) {
      const product = x[(row * heads + j) * width + i]! * y[key * width + i]!;
      dot += product;
      whole += Math.abs(product);
    }
    score += w[row * heads + j]! * Math.max(0, scale * dot);
    size += Math.abs(w[row * heads + j]! * scale) * whole;
  }
  return { score, size };
}
