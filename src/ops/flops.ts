import { attended } from "./attend/index.ts";
import { updated } from "./delta/index.ts";
import { counted } from "./einsum/index.ts";
import { factored } from "./factored/index.ts";
import { selected } from "./select/index.ts";

/**
 * Arithmetic of all ops that count theirs, so far: contractions, whose gradients are contractions and counted too; what weighs
 * pairs or updates states, whose gradient is twice its forward pass and not counted; and choices, which have none.
 */
export function countedFlops(): { readonly contracted: number; readonly weighed: number; readonly chosen: number } {
  return {
    contracted: counted.flops,
    weighed: attended.flops + updated.flops + factored.flops,
    chosen: selected.flops,
  };
}
