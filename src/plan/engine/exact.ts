import { type EngineSettings, shareRows } from "./engine.ts";
import type { LayerRows } from "./layer.ts";
import { type Part, padTo } from "./part.ts";
import { plainBytes } from "./type.ts";

/** How an engine rounds. */
export interface Rounding {
  /** Tokens by which its buffers grow. */
  readonly step?: number;
  /** Tokens beside those of sequences: a page that padding is written to. */
  readonly spare?: number;
  /** Bytes of a number, where it is not the type's own; and of an indexer's key of so many numbers. */
  readonly bytes?: (settings: EngineSettings) => number | undefined;
  readonly indexBytes?: (numbers: number) => number;
  /** Bytes of a number in a state: of what the rule remembers, and of the last inputs of convolutions. */
  readonly memory?: number;
  readonly tail?: number;
}

/** What an engine allocates that keeps a row for every token of every layer, within its window, and entries by their rates. */
export function exactParts(
  rows: readonly LayerRows[],
  settings: EngineSettings,
  rounding: Rounding = {},
): Part[] | undefined {
  const { sequences, tensor, context, keyType, valueType } = settings;
  const { step = 1, spare = 0, bytes = () => plainBytes(keyType), memory = 4, tail = 4 } = rounding;
  const number = bytes(settings);
  if (number === undefined || keyType !== valueType) return undefined;
  const { indexBytes = (numbers: number) => numbers * number } = rounding;
  return shareRows(rows, tensor).flatMap(({ count, window, keeping = {}, ...row }): Part[] => {
    const parts: Part[] = [];
    const { every = 1, indexEvery = every, recent = 0 } = keeping;
    // Ranks share out the tokens of whole caches; a window is on all of them.
    const ranks = window === undefined ? context : 1;
    const held = (tokens: number) =>
      Math.min(padTo(Math.ceil(tokens / ranks), step), window ?? Number.POSITIVE_INFINITY);
    const add = (what: Part["what"], bytes: number, pool: number) => {
      if (bytes === 0) return;
      const cells = (tokens: number) => sequences * Math.floor(held(tokens) / pool) + spare;
      const rate = window === undefined ? sequences / (pool * ranks) : 0;
      parts.push({ what: window === undefined ? what : "window", bytes: count * bytes, cells, rate });
    };
    add("cache", (row.keys + row.values) * number, every);
    add("index", row.index && indexBytes(row.index), indexEvery);
    if (recent > 0) {
      const cells = (tokens: number) => sequences * Math.min(tokens, recent);
      parts.push({ what: "window", bytes: count * (row.keys + row.values) * number, cells, rate: 0 });
    }
    const state = row.memory * memory + row.tail * tail;
    if (state > 0) parts.push({ what: "state", bytes: count * state, cells: () => sequences, rate: 0 });
    return parts;
  });
}

/** The same without rounding: tensors as long as the sequence. */
export const rowParts = (rows: readonly LayerRows[], settings: EngineSettings) => exactParts(rows, settings);
