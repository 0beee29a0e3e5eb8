import type { Costed } from "../../attention/define.ts";
import { gqa } from "../../attention/variant/gqa.ts";

const { grouped } = gqa.forms;

/** Grouped-query attention without some of its parameters, whose matrices have so many numbers less. */
function without(
  name: string,
  missing: readonly string[],
  less: (z: Parameters<Costed["rules"]>[0]) => number,
): Costed {
  return {
    ...gqa,
    name,
    source: "transformers, gemma3n and gemma4",
    params: (z) => Object.fromEntries(Object.entries(gqa.params(z)).filter(([key]) => !missing.includes(key))),
    forms: {
      grouped: {
        ...grouped!,
        cost(z) {
          const cost = grouped!.cost(z);
          return { ...cost, token: cost.token - 2 * less(z) };
        },
      },
    },
  };
}

/** Values are keys before their norm and rotation: one projection makes both, and both are cached (Gemma 4). */
export const twofold = without("GQA-KV", ["wV", "bV"], (z) => z.d * z.g * z.v);

/** Heads that read the keys and values of another layer, and have queries and outputs of their own alone. */
export const borrowing = without("GQA-borrowing", ["wK", "bK", "gKH", "wV", "bV"], (z) => z.d * z.g * (z.e + z.v));

/** Heads that read the keys and values of another model, which are counted there. */
export const borrowingOutside: Costed = { ...borrowing, name: "GQA-outside", cache: () => ({}) };
