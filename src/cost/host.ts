import { type Machine, roofline } from "./crossover.ts";
import type { Datasheet } from "./datasheet.ts";
import { type Dtype, dtypes } from "./type.ts";

/** A machine as planned for: what it holds and how fast it is with a type of weights. */
export interface Host {
  readonly name: string;
  /** Bytes of memory for weights and caches. */
  readonly memory?: number | undefined;
  readonly measured: boolean;
  /** New tokens that a prefill runs at a time; all at once unless given. */
  readonly chunk?: number | undefined;
  /** Rates where weights are of this type and caches of that (the weights' unless given): products are of the wider operand's. */
  rates(weights: Dtype, cache?: Dtype): Machine;
}

/** Tokens of a prefill that run at once: more unfold a cached prefix less often, fewer hold less memory (LOG.md). */
export const PREFILL_CHUNK = 1024;

/** A machine of the table to plan for: every kernel is as fast as its arithmetic or its memory allows, whichever is slower. */
export function hostOf({ name, memory, usable = 1, bandwidth: bytes, flops, overhead: op = 0 }: Datasheet): Host {
  const rateOf = (dtype: Dtype) => flops[dtype] ?? flops.float16;
  // Whole numbers in a cache become 16-bit floats before anything is multiplied with them.
  const attendAt = (cache: Dtype) => (dtypes[cache] <= 1 && cache !== "float8" ? flops.float16 : rateOf(cache));
  const known = new Map<string, Machine>();
  const rates = (weights: Dtype, cache = weights) => {
    const key = `${weights} ${cache}`;
    const machine = known.get(key) ?? roofline({ bytes, flops: rateOf(weights), attend: attendAt(cache), op });
    known.set(key, machine);
    return machine;
  };
  return { name, memory: memory * usable, measured: false, rates };
}

/** A machine that was measured; Biform computes in float32 whatever the type of the weights, and prefills in chunks. */
export function hostOfMeasured(name: string, machine: Machine, memory?: number): Host {
  return { name, memory, measured: true, chunk: PREFILL_CHUNK, rates: () => machine };
}
