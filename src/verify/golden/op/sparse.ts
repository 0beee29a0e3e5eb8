import { z } from "zod";
import { attend } from "../../../ops/attend/index.ts";
import { gatherRows } from "../../../ops/embed/index.ts";
import { select } from "../../../ops/select/index.ts";
import { scope, type Tensor } from "../../../tensor/tensor.ts";
import { readCaseConfig } from "../case.ts";
import { type OpFamily, rowsOf, scaleOf, sequenceOf, sizeKeys } from "./family.ts";

const schema = z.object({
  ...sizeKeys,
  topk: z.number().int().min(1),
  scale: z.unknown().optional(),
  index_scale: z.unknown().optional(),
  activation: z.literal("relu").optional(),
});

/**
 * Attention to the keys that an indexer selects: `q [b, t, h, e]`, `k [b, s, g, e]`, `v`, and the indexer's `q_idx [b, t, j, i]`,
 * `k_idx [b, s, i]`, `w_idx [b, t, j]`.
 */
export const sparseOp: OpFamily = {
  knows: (has) => ["q_idx", "k_idx", "w_idx"].every(has),
  async run(given, device, compare) {
    const config = readCaseConfig(given.config, schema);
    const inputs = ["q", "k", "v", "q_idx", "k_idx", "w_idx"].map((name) => given.input(name));
    const [batch = 1, t = 1, , e = 1] = inputs[0]!.shape;
    const s = inputs[1]!.shape[1]!;
    const scale = scaleOf(config.scale, e);
    const indexScale = scaleOf(config.index_scale, inputs[3]!.shape[3]!);
    /** Outputs of some queries over some keys, and the places chosen: ascending, then -1 up to topk. */
    const attended = async (list: readonly Tensor[], sequences: number) => {
      const [q, k, v, qi, ki, wi] = list as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      const count = Math.min(config.topk, k.shape[0]! / sequences);
      const { out, rows } = scope(device, () => {
        const found = select({ q: qi, k: ki, weights: wi }, { scale: indexScale, count, batch: sequences });
        const seen = (x: Tensor) => gatherRows(x, found.rows, { batch: sequences });
        const alone = { scale, batch: q.shape[0]!, causal: false, start: found.missing };
        return { out: attend(seen(v), alone, [q, seen(k)]), rows: found.rows };
      });
      const [numbers, places] = [Array.from(await out.read()), Array.from(await rows.read())];
      for (const one of [out, rows]) one.free();
      const chosen = Array.from({ length: q.shape[0]! }, (_, i) => {
        const own = places.slice(i * count, (i + 1) * count).filter((place) => place >= 0);
        return [...own, ...new Array<number>(config.topk - own.length).fill(-1)];
      });
      return { numbers, chosen: chosen.flat() };
    };
    const whole = inputs.map((x) => rowsOf(device, x));
    const { numbers, chosen } = await attended(whole, batch);
    for (const one of whole) one.free();
    compare("selected_sorted", "at once", chosen, "exactly");
    compare("out", "at once", numbers);
    const steps = { numbers: [] as number[], chosen: [] as number[] };
    for (let item = 0; item < batch; item++) {
      const own = inputs.map((x) => sequenceOf(device, x, item));
      const [q, k, v, qi, ki, wi] = own as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      for (let i = 0; i < t; i++) {
        const [now, past] = [(x: Tensor) => x.rows(i, i + 1), (x: Tensor) => x.rows(0, s - t + i + 1)];
        const one = await attended([now(q), past(k), past(v), now(qi), past(ki), now(wi)], 1);
        steps.numbers.push(...one.numbers);
        steps.chosen.push(...one.chosen);
      }
      for (const one of own) one.free();
    }
    compare("selected_sorted", "step by step", steps.chosen, "exactly");
    for (const name of ["out", "out_decode"]) compare(name, "step by step", steps.numbers);
  },
};
