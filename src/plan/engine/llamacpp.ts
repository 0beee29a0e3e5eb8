import type { Blueprint } from "../../cost/blueprint.ts";
import type { Engine, EngineSettings } from "./engine.ts";
import { hasLatents, hasPools, hasWindows, type LayerRows, rowsOf } from "./layer.ts";
import { architecturesOf } from "./model.ts";
import { type Part, padTo } from "./part.ts";
import { ggmlRow } from "./type.ts";

/** Cells are padded to this many, those of windows and pools too (ggml-org/llama.cpp#17046, #17037). */
const PAD = 256;

/** DeepSeek-V4's entries of four tokens overlap: their compressor keeps twice as many rows, twice as wide. */
const OVERLAPPING = 4;

/** Architectures whose pooled caches llama.cpp runs. */
const pooled = ["deepseek_v4", "deepseek4"];

/** Architectures whose indexers' keys have values as wide beside them, which nothing reads (src/llama-kv-cache-msa.cpp). */
const withIndexValues = ["minimax_m3", "minimax-m3"];

/**
 * What llama.cpp allocates (v0.5.0: src/llama-kv-cache*.cpp, src/llama-memory-recurrent.cpp). A window has room for a batch beside
 * itself; DeepSeek-V4's caches are per sequence even where the others are unified; states are float32 in every slot.
 */
export function llamaParts(
  rows: readonly LayerRows[],
  settings: EngineSettings,
  architecture = "",
): Part[] | undefined {
  const { sequences, unified, batchTokens, wholeWindows, keyType, valueType } = settings;
  const pools = rows.some(({ keeping }) => keeping?.every);
  if (pools && !pooled.includes(architecture)) return undefined;
  // MLA and DeepSeek-V4 have no cache of values, and still refuse another type for it.
  const keysAlone = rows.some(({ keys, values }) => keys > 0 && values === 0);
  if (keysAlone && keyType !== valueType) return undefined;
  const parts: (Part | undefined)[] = [];
  const joint = unified && !pools;
  const whole = (tokens: number) => (joint ? padTo(tokens * sequences, PAD) : sequences * padTo(tokens, PAD));
  const behind = (window: number) => (tokens: number) => {
    if (wholeWindows) return whole(tokens);
    const least = joint ? whole(tokens) : padTo(tokens, PAD);
    const cells = padTo(Math.min(least, window * (joint ? sequences : 1) + batchTokens), PAD);
    return joint ? cells : sequences * cells;
  };
  const pool = (every: number) => (tokens: number) =>
    sequences * padTo(Math.max(1, Math.ceil(padTo(tokens, PAD) / every)), PAD);
  const add = (count: number, numbers: readonly number[], part: Omit<Part, "bytes">) => {
    const bytes = [keyType, valueType].map((type, i) => (numbers[i] ? ggmlRow(type, numbers[i]) : 0));
    if (bytes.includes(undefined)) parts.push(undefined);
    else if (bytes[0]! + bytes[1]! > 0) parts.push({ ...part, bytes: count * (bytes[0]! + bytes[1]!) });
  };
  for (const { count, keys, values, index, window, keeping = {}, memory, tail } of rows) {
    const { every = 1, indexEvery = every, recent } = keeping;
    const grows = window === undefined || wholeWindows;
    if (recent === undefined)
      add(count, [keys, values], {
        what: grows ? "cache" : "window",
        cells: window === undefined ? whole : behind(window),
        rate: grows ? sequences : 0,
      });
    else {
      add(count, [keys, values], { what: "window", cells: behind(recent), rate: wholeWindows ? sequences : 0 });
      add(count, [keys, values], { what: "cache", cells: pool(every), rate: sequences / every });
    }
    // Where only an indexer's keys are pooled, that is done as they are read: each token has one.
    add(count, [index, withIndexValues.includes(architecture) ? index : 0], {
      what: "index",
      cells: recent === undefined ? whole : pool(indexEvery),
      rate: recent === undefined ? sequences : sequences / indexEvery,
    });
    const compressor = recent === undefined ? 0 : compressorNumbers(keys, every) + compressorNumbers(index, indexEvery);
    const state = memory + tail + compressor;
    if (state > 0) parts.push({ what: "state", bytes: 4 * count * state, cells: () => sequences, rate: 0 });
  }
  return parts.includes(undefined) ? undefined : (parts as Part[]);
}

/** Numbers that the compressor of one layer's entries keeps of the last tokens: rows, and scores as large. */
function compressorNumbers(width: number, every: number): number {
  return 2 * width * every * (every === OVERLAPPING ? 4 : 1);
}

/**
 * The least that a compute buffer has: logits of a physical batch and two of its hidden states, in float32. Of 49 logs of v0.5.0 on the
 * CPU none is below that, and most are at it (test/engines.test.ts).
 */
export function leastCompute({ vocabulary, width }: Blueprint, { batchTokens }: EngineSettings): number {
  return 4 * batchTokens * (vocabulary + 2 * width);
}

const { v2, latent } = architecturesOf;
const isOf = (names: readonly string[]) => (blueprint: Blueprint) =>
  hasLatents(blueprint) && names.includes(blueprint.architecture);

/** Ling 3 and Ling 2.5 share a name; llama.cpp has the one with KDA. */
const isLing3 = (blueprint: Blueprint) =>
  isOf(["bailing_hybrid"])(blueprint) && blueprint.layers.some(({ attention }) => attention.variant.name === "KDA");

const now = {
  engine: "llama.cpp",
  parts: llamaParts,
  compute: leastCompute,
} as const;

/** llama.cpp, and what is built on it. */
export const llamaEngines: readonly Engine[] = [
  {
    ...now,
    version: "since 2026-01-24",
    keeps: "the latent and the rotary key that all heads share",
    source: "ggml-org/llama.cpp#19067: no values beside the latent; logs of v0.5.0 in conformance/engines.json",
    covers: isOf(latent),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
  {
    ...now,
    version: "v0.5.0",
    keeps:
      "the latent and the rotary key that all heads share, an indexer's keys in cells of their own; states in float32",
    source: "logs of v0.5.0 in conformance/engines.json",
    covers: (blueprint) => isOf(architecturesOf.llamaLater)(blueprint) || isLing3(blueprint),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
  {
    ...now,
    version: "2025-04 to 2026-01",
    keeps: "the latent twice, as key and as value, and the rotary key",
    source: "ggml-org/llama.cpp#12801: K of c + r and V of c",
    covers: isOf(latent),
    rows: (blueprint) => rowsOf(blueprint, "twice"),
  },
  {
    ...now,
    version: "before 2025-04, or a file of that time",
    keeps: "keys and values of every head, the rotary key in each",
    source: "ggml-org/llama.cpp#11049, before #12801; parity/cache.test.ts",
    covers: isOf([...v2, ...architecturesOf.v3]),
    rows: (blueprint) => rowsOf(blueprint, "heads"),
  },
  {
    ...now,
    version: "all",
    keeps: "keys and values of every head, the rotary key in each",
    source: "ggml-org/llama.cpp src/models/minicpm3.cpp, plm.cpp; a log of v0.5.0 in conformance/engines.json",
    covers: isOf(["minicpm3", "plm"]),
    rows: (blueprint) => rowsOf(blueprint, "heads"),
  },
  {
    ...now,
    engine: "Ollama, node-llama-cpp, wllama",
    version: "with a llama.cpp since 2026-01-24",
    keeps: "the latent and the rotary key that all heads share",
    source: "as the llama.cpp inside: ggml-org/llama.cpp#19067",
    covers: isOf(latent),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
  {
    ...now,
    version: "since 2025-05",
    keeps: "cells padded to 256; of layers with a window its tokens and a batch of 512; states in float32",
    source: "ggml-org/llama.cpp#13194, #17046; logs of v0.5.0 in conformance/engines.json",
    covers: (blueprint) => !hasLatents(blueprint),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
  },
  {
    ...now,
    version: "before 2025-05, or --swa-full",
    keeps: "all tokens in all layers",
    source: "ggml-org/llama.cpp#13194",
    covers: (blueprint) => !hasLatents(blueprint) && !hasPools(blueprint) && hasWindows(blueprint),
    rows: (blueprint) => rowsOf(blueprint, "latents"),
    parts: (rows, settings, architecture) => llamaParts(rows, { ...settings, wholeWindows: true }, architecture),
  },
];
