import type { Blueprint } from "../../cost/blueprint.ts";
import type { LayerRows } from "./layer.ts";
import type { Part } from "./part.ts";
import type { CacheType } from "./type.ts";

/** How an engine is started. */
export interface EngineSettings {
  /** Types of cached keys and values; indexers' keys are of the first. */
  readonly keyType: CacheType;
  readonly valueType: CacheType;
  /** Sequences at a time: llama.cpp's slots, -np. */
  readonly sequences: number;
  /** One buffer for all sequences: llama.cpp's --kv-unified. */
  readonly unified: boolean;
  /** Tokens of a physical batch, for which a window has room beside itself: llama.cpp's -ub. */
  readonly batchTokens: number;
  /** All tokens in layers with a window: llama.cpp's --swa-full. */
  readonly wholeWindows: boolean;
  /** Ranks that share out heads, and ranks that share out tokens (vLLM's decode context parallelism). What follows is of one rank. */
  readonly tensor: number;
  readonly context: number;
  /** Tokens that a draft proposes per step, whose convolution inputs vLLM's states have room for. */
  readonly drafts: number;
  /** Whether prompts' prefixes are kept: vLLM then holds two states per sequence. */
  readonly prefixes: boolean;
}

/** What engines do unless told otherwise. */
export const usual: EngineSettings = {
  keyType: "float16",
  valueType: "float16",
  sequences: 1,
  unified: false,
  batchTokens: 512,
  wholeWindows: false,
  tensor: 1,
  context: 1,
  drafts: 0,
  prefixes: true,
};

/** An engine in some versions: which models it is known for, what rows it keeps of them, and what it allocates for these. */
export interface Engine {
  readonly engine: string;
  readonly version: string;
  /** What it keeps, in a few words. */
  readonly keeps: string;
  readonly source: string;
  readonly covers: (blueprint: Blueprint) => boolean;
  readonly rows: (blueprint: Blueprint) => LayerRows[];
  /** What is allocated, on one rank; undefined where the engine cannot do what is asked (a type that it does not have). */
  readonly parts: (rows: readonly LayerRows[], settings: EngineSettings, architecture: string) => Part[] | undefined;
  /** The least that it takes for computing beside that, where something is known of it. */
  readonly compute?: (blueprint: Blueprint, settings: EngineSettings) => number;
}

/** What all engines but llama.cpp's kin do with a rank's share of heads: what cannot be split is on every rank. */
export function shareRows(rows: readonly LayerRows[], tensor: number): readonly LayerRows[] {
  if (tensor === 1) return rows;
  return rows.map(({ keys, values, heads, memory, tail, ...rest }) => {
    const share = Math.max(1, Math.floor(heads / tensor)) / heads;
    return { ...rest, heads, keys: keys * share, values: values * share, memory: memory / tensor, tail: tail / tensor };
  });
}
