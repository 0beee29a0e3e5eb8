import { accumulate } from "../../ops/accumulate/index.ts";
import { keepLast } from "../../ops/sequence.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { At, Sizes, Variant } from "../define.ts";
import { gateFactor, latentProducts, mla, readyLatent } from "./mla.ts";

/** A gate per query head. */
export const gateParams = { wF: "d h", bF: "h" } as const;
export const gateFlops = (z: Sizes) => 2 * z.d * z.h;

/** The product that log forget gates are made by: log sigmoid(x wF + bF), `[t, h]`. */
export const logGates = (p: Readonly<Record<"wF" | "bF", Tensor>>) =>
  ["t d, d h -> t h", p.wF, p.bF, { by: "logSigmoid" }] as const;

/** Running sums of log forget gates, going on from `total` and moving it. */
export function sumGates(gates: Tensor, at: At, total: Tensor | undefined): Tensor {
  const sums = accumulate(gates, { batch: at.batch, start: total });
  if (total) keepLast(sums, total, at.batch);
  return sums;
}

/**
 * A variant whose position is a forget gate: each key fades by the gates of the tokens after it. The gate is added to scores, so
 * whatever up-projections stand on either side of attention stay there, and all its forms stay one function.
 */
function withForgetGate(name: string, base: Variant, project: Variant["project"]): Variant {
  return {
    ...base,
    name,
    source: `Lin et al., FoX (arXiv 2503.02130); kexue.fm/archives/11111; ${base.source}`,
    rules: (z) => [...base.rules(z), [z.r === 0, "r", "the gate takes the place of rotary position (r = 0)"]],
    params: (z) => ({ ...base.params(z), ...gateParams }),
    cache: (z) => ({ ...base.cache(z), f: "h" }),
    ...(base.unfolded && { unfolded: (z) => ({ ...base.unfolded?.(z), f: "h" }) }),
    ...(base.unfold && { unfold: (p, cached, z) => ({ ...base.unfold?.(p, cached, z), f: cached.f! }) }),
    exact: [...(base.exact ?? []), "f"],
    state: (z) => ({ ...base.state?.(z), total: "h" }),
    project,
    forms: Object.fromEntries(
      Object.entries(base.forms).map(([form, { cost, run, ...rest }]) => [
        form,
        {
          ...rest,
          cost: (z) => {
            const { token, cached, pair } = cost(z);
            return { token: token + gateFlops(z), cached, pair: pair + 2 * z.h };
          },
          run: (p, parts, view, ...others) => run(p, parts, { ...view, decay: parts.f! }, ...others),
        } satisfies Variant["forms"][string],
      ]),
    ),
  };
}

/** MLA with forget gates in the place of rotary position. */
export const mlaFox = withForgetGate("MLA-FoX", mla, (given, x, at, z, state) => {
  const p = given as Parameters<typeof latentProducts>[0] &
    Parameters<typeof gateFactor>[0] &
    Parameters<typeof logGates>[0];
  const [queries, c, kr, gate, gates] = latentProducts(p, x, z, gateFactor(p), logGates(p));
  const f = sumGates(gates, at, state?.total);
  return { ...readyLatent(p, [queries, c, kr], at, z), f, ...(gate && { gate }) };
});
