import { z } from "zod";
import { scaleBy } from "../../../ops/add/index.ts";
import { attend } from "../../../ops/attend/index.ts";
import { einsum } from "../../../ops/einsum/index.ts";
import { attendFactored } from "../../../ops/factored/index.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Device, scope, type Tensor } from "../../../tensor/tensor.ts";
import { readCaseConfig } from "../case.ts";
import { numbersOf, type OpCase, type OpFamily, rowsOf, scaleOf, sizeKeys } from "./family.ts";

const factor = z.union([z.number(), z.literal("1/R")]).default(1);
const schema = z.object({
  ...sizeKeys,
  kv_rank: z.number().nullish(),
  scale: z.unknown().optional(),
  scale_q: factor,
  scale_k: factor,
  scale_v: factor,
});

/**
 * Attention over factored queries, keys and values: `aq [b, t, h, R]`, `bq [b, t, R, e]`, `ak [b, s, h, R]`, `bk [b, s, R, e]`, `av`
 * and `bv`; of rank 1 the rank's axis may be left out.
 */
export const factoredOp: OpFamily = {
  knows: (has) => ["ak", "bk", "av", "bv"].every(has),
  async run(given, device, compare) {
    const config = readCaseConfig(given.config, schema);
    const factors = scope(device, () => {
      const [ak, bk] = pair(given, device, "ak", "bk", config.scale_k);
      const [av, bv] = pair(given, device, "av", "bv", config.scale_v);
      if (!given.has("aq")) return { ak, bk, av, bv, q: rowsOf(device, given.input("q")) };
      const [aq, bq] = pair(given, device, "aq", "bq", config.scale_q);
      return { ak, bk, av, bv, q: einsum("t h r, t r e -> t h e", aq, bq) };
    });
    const { ak, bk, av, bv, q } = factors;
    const batch = given.input("ak").shape[0]!;
    const view = { scale: scaleOf(config.scale, bk.shape[2]!), batch };
    const built = (a: Tensor, b: Tensor) => einsum("s h r, s r e -> s h e", a, b);
    const out = await numbersOf(device, () => attend(built(av, bv), view, [q, built(ak, bk)]));
    const apart = await numbersOf(device, () => attendFactored({ q, ak, bk, av, bv }, view));
    compare("out", "materialised", out);
    compare("out", "factored", apart);
    for (const name of ["out_factorised", "out_factorized", "out_factored"]) compare(name, "factored", apart);
    for (const one of Object.values(factors)) one.free();
  },
};

/** Factors `[b s, h, R]`, times what the case multiplies with, and `[b s, R, e]`. */
function pair(given: OpCase, device: Device, a: string, b: string, by: number | "1/R"): [Tensor, Tensor] {
  const whole = (name: string, axis: number) => {
    const { shape, values } = given.input(name);
    if (shape.length === 4) return rowsOf(device, { shape, values });
    if (shape.length !== 3) throw new FormatError(`${name}: got [${shape}], expected three or four axes`);
    return rowsOf(device, { shape: shape.toSpliced(axis, 0, 1), values });
  };
  const [heads, dims] = [whole(a, 3), whole(b, 2)];
  return [scaleBy(heads, by === "1/R" ? 1 / heads.shape[2]! : by), dims];
}
