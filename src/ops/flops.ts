import { DeviceError } from "../tensor/error.ts";

/** The innermost count that is running. Bodies are synchronous, so what is not counted here was called by somebody else. */
let counting: { flops: number } | undefined;

/**
 * Runs `body` and counts the arithmetic of the ops in it: two FLOPs per product that is added up, over contractions, pairs of
 * query and key, states and choices, and their gradients where they run. Norms, softmax and additions (of residuals and of
 * biases) are left out, as in what definitions declare. A count within a count adds to both.
 *
 * Errors: DeviceError for an asynchronous body, whose pauses others fill: count each of its synchronous parts.
 */
export function countFlops<T>(body: () => T): { readonly result: T; readonly flops: number } {
  const outer = counting;
  const own = { flops: 0 };
  counting = own;
  try {
    const result = body();
    if (result instanceof Promise) throw new DeviceError("internal: got an asynchronous body to count FLOPs of");
    return { result, flops: own.flops };
  } finally {
    counting = outer;
    if (outer) outer.flops += own.flops;
  }
}

/** Adds to the count that is running, if one is. For ops. */
export function addFlops(flops: number): void {
  if (counting) counting.flops += flops;
}
