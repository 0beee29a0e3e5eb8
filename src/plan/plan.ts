import type { Machine } from "../attention/crossover.ts";
import type { Blueprint } from "./blueprint.ts";
import type { Dtype } from "./schema.ts";

/** A machine as planned for: what it holds and how fast it is with a type of weights. */
export interface Host {
  readonly name: string;
  /** Bytes of memory for weights and caches. */
  readonly memory?: number;
  readonly measured: boolean;
  /** Rates where weights and activations are of this type. */
  rates(dtype: Dtype): Machine;
}

/** What a plan is asked for. */
export interface PlanSettings {
  /** Tokens per sequence. */
  readonly context: number;
  /** Sequences at a time. */
  readonly batch: number;
  /** New tokens of a sequence in one decoding step (more than one: speculative decoding). */
  readonly step: number;
  readonly weightType: Dtype;
  readonly cacheType: Dtype;
  readonly hosts: readonly Host[];
  /** As "tp8", "dp8", "cp4", "tp4,dp2". */
  readonly layouts: readonly string[];
}

export type { Blueprint };
