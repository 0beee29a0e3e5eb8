import { z } from "zod";
import { accumulate } from "../../../ops/accumulate/index.ts";
import { attend } from "../../../ops/attend/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { tensor } from "../../../tensor/tensor.ts";
import { readCaseConfig } from "../case.ts";
import { numbersOf, type OpCase, type OpFamily, rowsOf, scaleOf, sequenceOf, sizeKeys } from "./family.ts";

const padding = z.union([z.number().int().min(0), z.array(z.number().int().min(0))]);
const schema = z.object({
  ...sizeKeys,
  scale: z.unknown().optional(),
  sm_scale: z.unknown().optional(),
  window_size: z.number().int().min(1).nullish(),
  left_padding: padding.nullish(),
  seq_start: padding.nullish(),
});

/**
 * Attention that forgets: `q [b, t, h, e]` stand at the last t of the s places of `k [b, s, g, e]` and `v`; `log_fgate [b, s, h]`.
 * Nobody sees the places before `left_padding` (one number, or one per sequence), which give zeros themselves.
 */
export const forgetOp: OpFamily = {
  knows: (has) => has("log_fgate"),
  async run(given, device, compare) {
    const config = readCaseConfig(given.config, schema);
    const [q, k, v, gates] = ["q", "k", "v", "log_fgate"].map((name) => given.input(name));
    const [batch = 1, t = 1, , e = 1] = q!.shape;
    const s = k!.shape[1]!;
    const scale = scaleOf(config.sm_scale ?? config.scale, e);
    const starts = startsOf(given, config.left_padding ?? config.seq_start ?? 0, batch, s);
    const window = config.window_size ?? undefined;
    const out = await numbersOf(device, () =>
      attend(
        rowsOf(device, v!),
        {
          scale,
          batch,
          window,
          start: starts.some((start) => start > 0) ? tensor(device, [batch], starts) : undefined,
          decay: accumulate(rowsOf(device, gates!), { batch }),
        },
        [rowsOf(device, q!), rowsOf(device, k!)],
      ),
    );
    compare("out", "at once", out);
    const steps: number[] = [];
    for (let item = 0; item < batch; item++) {
      const own = [q!, k!, v!, gates!].map((x) => sequenceOf(device, x, item));
      const [queries, keys, values, fading] = own;
      for (let i = 0; i < t; i++) {
        const seen = s - t + i + 1;
        const row = await numbersOf(device, () =>
          attend(
            values!.rows(0, seen),
            {
              scale,
              window,
              start: starts[item]! > 0 ? tensor(device, [1], [starts[item]!]) : undefined,
              decay: accumulate(fading!).rows(0, seen),
            },
            [queries!.rows(i, i + 1), keys!.rows(0, seen)],
          ),
        );
        steps.push(...Array.from(row));
      }
      for (const one of own) one.free();
    }
    compare("out", "step by step", steps);
    compare("out_decode", "step by step", steps);
  },
};

/** The first place that is seen, of each sequence. Throws FormatError for one that is outside. */
function startsOf(given: OpCase, said: number | readonly number[], batch: number, s: number): number[] {
  const name = ["seq_start", "left_padding"].find((one) => given.has(one));
  const mask = given.has("attention_mask") ? given.input("attention_mask") : undefined;
  const list = mask
    ? Array.from({ length: batch }, (_, b) => Array.from({ length: s }, (_, i) => mask.values[b * s + i]).indexOf(1))
    : name
      ? Array.from(given.input(name).values)
      : typeof said === "number"
        ? new Array<number>(batch).fill(said)
        : [...said];
  if (list.length !== batch || list.some((start) => !(start >= 0 && start < s)))
    throw new FormatError(`left_padding: got ${list}, expected ${batch} whole numbers below ${s}`);
  return list;
}
