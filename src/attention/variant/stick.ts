import type { Variant } from "../define.ts";
import { gqa } from "./gqa.ts";
import { mla } from "./mla.ts";

/**
 * A variant whose weights come from stick-breaking: no softmax and no position; what all keys leave over goes to the token's own
 * value. Weights are a function of scores alone, so all forms stay one function.
 */
function breakSticks(name: string, base: Variant): Variant {
  return {
    ...base,
    name,
    source: `Tan et al., Stick-breaking Attention (arXiv 2410.17980); kexue.fm/archives/11111; ${base.source}`,
    merges: false,
    features: [...(base.features ?? []), "current"],
    rules: (z) => [
      ...base.rules(z),
      [z.r === 0, "r", "breaking from the newest key takes the place of position (r = 0)"],
    ],
    forms: Object.fromEntries(
      Object.entries(base.forms).map(([form, { run, ...rest }]) => [
        form,
        {
          ...rest,
          run: (p, parts, view, z, ...others) =>
            run(p, parts, { ...view, stick: { current: z.with?.current === true, remainder: true } }, z, ...others),
        } satisfies Variant["forms"][string],
      ]),
    ),
  };
}

/** Stick-breaking attention over grouped keys and values. */
export const stick = breakSticks("SBA", gqa);
/** Stick-breaking attention over MLA's latent. */
export const mlaStick = breakSticks("MLA-SBA", mla);
