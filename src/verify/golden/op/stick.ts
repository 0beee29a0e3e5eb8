import { z } from "zod";
import { attend } from "../../../ops/attend/index.ts";
import { tensor } from "../../../tensor/tensor.ts";
import { readCaseConfig } from "../case.ts";
import { numbersOf, type OpFamily, rowsOf, scaleOf, sequenceOf, sizeKeys } from "./family.ts";

const schema = z.object({ ...sizeKeys, scale: z.unknown().optional(), attend_current: z.boolean() });

/** Stick-breaking attention on `q [b, t, h, e]`, `k [b, t, g, e]` and `v`: weights, and what all of them leave over. */
export const stickOp: OpFamily = {
  knows: (_has, config) => "attend_current" in config,
  async run(given, device, compare) {
    const { attend_current: current, scale: said } = readCaseConfig(given.config, schema);
    const inputs = ["q", "k", "v"].map((name) => given.input(name));
    const [batch = 1, t = 1, , e = 1] = inputs[0]!.shape;
    const scale = scaleOf(said, e);
    const atOnce = ({ remainder = false, ones = false } = {}) =>
      numbersOf(device, () => {
        const [q, k, v] = inputs.map((x) => rowsOf(device, x));
        const values = ones ? tensor(device, [batch * t, 1], new Float64Array(batch * t).fill(1)) : v!;
        return attend(values, { scale, batch, stick: { current, remainder } }, [q!, k!]);
      });
    compare("out", "at once", await atOnce());
    compare("out_plus_remainder_v", "at once", await atOnce({ remainder: true }));
    // Values of one give the sum of the weights.
    compare(
      "remainder",
      "at once",
      Float64Array.from(await atOnce({ ones: true }), (sum) => 1 - sum),
    );
    for (const [remainder, names] of [
      [false, ["out", "out_decode"]],
      [true, ["out_plus_remainder_v", "out_decode_plus_remainder_v"]],
    ] as const) {
      const steps: number[] = [];
      for (let item = 0; item < batch; item++) {
        const [q, k, v] = inputs.map((x) => sequenceOf(device, x, item));
        for (let i = 0; i < t; i++) {
          const row = await numbersOf(device, () =>
            attend(v!.rows(0, i + 1), { scale, stick: { current, remainder } }, [q!.rows(i, i + 1), k!.rows(0, i + 1)]),
          );
          steps.push(...Array.from(row));
        }
        for (const one of [q, k, v]) one!.free();
      }
      for (const name of names) compare(name, "step by step", steps);
    }
  },
};
