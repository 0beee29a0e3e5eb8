import { z } from "zod";
import { decoderKeys } from "./decoder.ts";
import { defineFamily } from "./family.ts";
import { groupedArchitecture, groupedModel, groupedTable } from "./grouped.ts";
import { divisors } from "./position.ts";
import { ropeKeys } from "./scaling.ts";
import { perHead } from "./source.ts";

/** The rows of `heads` heads whose rotary pairs are halves of a head here and neighbours in the file. */
function neighbours(heads: number, e: number) {
  const order = Array.from({ length: e }, (_, i) => (i < e / 2 ? 2 * i : 2 * i - e + 1));
  return { ...perHead(heads, e, 0, e), order };
}

/** Llama 2 and 3. GGUF files have rows of queries and keys in another order, and Llama 3's scaling in a table. */
export const llama = defineFamily({
  modelTypes: ["llama"],
  keys: {
    ...decoderKeys,
    ...ropeKeys,
    attention_bias: z.boolean().default(false),
    mlp_bias: z.boolean().default(false),
  },
  model: (config) => groupedModel(config),
  attention: ({ sizes }) =>
    groupedTable(sizes, { queries: neighbours(sizes.h, sizes.e), keys: neighbours(sizes.g, sizes.e) }),
  gguf: groupedArchitecture("llama", [divisors]),
});
