import { type EngineSettings, shareRows } from "./engine.ts";
import type { LayerRows } from "./layer.ts";
import { type Part, padTo } from "./part.ts";

/** Layers whose pages are filled alike: a block of theirs has the pages of all of them side by side. */
interface Bucket {
  readonly what: Part["what"];
  /** Layers by the bytes of their page. */
  readonly pages: ReadonlyMap<number, number>;
  /** Blocks of one sequence, and those that one more token adds in the long run. */
  readonly blocks: (tokens: number) => number;
  readonly rate: number;
  /** Whether its layers may lie in groups of any number, so that none is wider than what the block has anyway. */
  readonly loose?: boolean;
}

/**
 * Layers of a group, from `least` on: so many that the fewest places stay empty where each count is cut into groups of it, and the
 * most of those (`_approximate_gcd` in vllm/v1/core/kv_cache_planning.py).
 */
function sizeOfGroups(counts: readonly number[], least: number): number {
  const sizes = Array.from({ length: Math.max(...counts) - least + 1 }, (_, i) => least + i);
  const empty = (size: number) => counts.reduce((sum, count) => sum + padTo(count, size) - count, 0);
  return sizes.reduce((best, size) => (empty(size) <= empty(best) ? size : best));
}

/**
 * vLLM's packed pages (0.28 to 0.33, `_get_packed_kv_cache_groups` there): buckets with as many layers of each page size as of any
 * other are cut into groups, the rest stay whole, and a block of any group is as large as the widest group's, in steps of `stride`.
 */
function packParts(buckets: readonly Bucket[], sequences: number, stride = 1): Part[] {
  const most = ({ pages }: Bucket) => Math.max(...pages.values());
  const balanced = buckets.filter(({ pages }) => new Set(pages.values()).size === 1);
  const least = Math.max(0, ...balanced.filter(({ pages }) => pages.size > 1).map(most));
  const size = least && sizeOfGroups(balanced.map(most), least);
  const width = ({ pages, groups }: Pick<Bucket, "pages"> & { readonly groups: number }) =>
    [...pages].reduce((sum, [page, count]) => sum + page * Math.ceil(count / groups), 0);
  const whole = buckets.map((bucket) => ({
    ...bucket,
    groups: size && balanced.includes(bucket) ? Math.ceil(most(bucket) / size) : 1,
  }));
  const anchor = Math.max(...whole.map((bucket) => (bucket.loose ? Math.max(...bucket.pages.keys()) : width(bucket))));
  const cut = whole.map((bucket) => {
    if (!bucket.loose) return bucket;
    const fitting = Math.max(1, Math.floor(anchor / Math.max(...bucket.pages.keys())));
    return { ...bucket, groups: Math.max(bucket.groups, Math.ceil(most(bucket) / fitting)) };
  });
  const bytes = padTo(Math.max(...cut.map(width)), stride);
  return cut.map(({ what, groups, blocks, rate }) => ({
    what,
    bytes,
    cells: (tokens) => sequences * groups * blocks(tokens),
    rate: sequences * groups * rate,
  }));
}

/** Tokens of a block of DeepSeek-V4's entries (--block-size 256, as its recipes have it), and of its windows. */
const [BLOCK, WINDOW_BLOCK] = [256, 64];
/** Bytes by which a page is padded, since kernels stride by them. */
const ALIGNMENT = 576;
/** Tokens of a block of the states of DeepSeek-V4's compressors, by how many tokens an entry is of. */
const stateBlocks: Readonly<Record<number, number>> = { 4: 4, 128: 8 };

/** An entry of 512 numbers: 448 in float8 with a byte of scale for each 64 and one of padding, a rotary key of 64 in bfloat16. */
export const compressedRow = 448 + 8 + 2 * 64;

/**
 * DeepSeek-V4 in fp8_ds_mla (vllm/models/deepseek_v4): entries and index keys of all layers in one bucket, the window of each layer,
 * and, since prefixes are shared by blocks, the states of the compressors as windows of float32 rows, a key and a score of each token.
 * Undefined where rows are not V4's.
 */
export function compressedParts(
  rows: readonly LayerRows[],
  settings: EngineSettings,
  indexBytes: (numbers: number) => number,
): Part[] | undefined {
  const { sequences, context } = settings;
  const whole = { pages: new Map<number, number>() };
  const windows = new Map<string, { pages: Map<number, number>; window: number; block: number }>();
  const put = (pages: Map<number, number>, bytes: number, count: number) => {
    const page = padTo(bytes, ALIGNMENT);
    pages.set(page, (pages.get(page) ?? 0) + count);
  };
  const behind = (window: number, block: number) => {
    const key = `${window} ${block}`;
    const found = windows.get(key) ?? { pages: new Map<number, number>(), window, block };
    windows.set(key, found);
    return found.pages;
  };
  for (const { count, keys, values, index, window, keeping = {} } of rows) {
    const { every, recent = window } = keeping;
    if (keys !== 512 || values || recent === undefined) return undefined;
    put(behind(recent, WINDOW_BLOCK), WINDOW_BLOCK * compressedRow, count);
    if (every === undefined) continue;
    const block = stateBlocks[every];
    if (block === undefined) return undefined;
    // Entries of four tokens overlap, so that their compressor keeps twice as many rows, twice as wide.
    const twice = every === 4 ? 2 : 1;
    const states = behind(twice * every, block);
    for (const [width, bytes] of [
      [keys, compressedRow],
      [index, index && indexBytes(index)],
    ] as const) {
      if (bytes === 0) continue;
      put(whole.pages, (BLOCK / every) * bytes, count);
      put(states, block * 4 * 2 * twice * width, count);
    }
  }
  const entries = (tokens: number) => Math.ceil(tokens / context / BLOCK);
  const buckets: Bucket[] = [{ what: "cache", ...whole, blocks: entries, rate: 1 / (BLOCK * context) }];
  for (const { pages, window, block } of windows.values()) {
    const most = Math.ceil((window - 1) / block) + 1;
    const blocks = (tokens: number) => Math.min(Math.ceil(tokens / block), most);
    buckets.push({ what: block === WINDOW_BLOCK ? "window" : "state", pages, blocks, rate: 0 });
  }
  return packParts(buckets, sequences);
}

/** A processor's format of DeepSeek-V4.1's rows: bytes of one, by which a page and by which a block are padded, and tokens of a block. */
export interface SharedFormat {
  readonly row: number;
  readonly page: number;
  readonly stride: number;
  readonly block: number;
}

/** Tokens of a block of V4.1's windows, and rows of a ring in which the tokens of an open entry wait, drafts beside them. */
const [SHARED_WINDOW, RING] = [32, 8];

/**
 * DeepSeek-V4.1 (vllm/models/deepseek_v41): the few owners' entries and index keys in one bucket that stays whole, every layer's window
 * in groups as wide as that allows, and a ring of float32 rows, a key and a score each, where an owner pools several tokens.
 * Undefined where rows are not V4.1's.
 */
export function sharedParts(
  rows: readonly LayerRows[],
  { sequences, context, drafts }: EngineSettings,
  format: SharedFormat,
  indexBytes: (numbers: number) => number,
): Part[] | undefined {
  const [whole, windows, rings] = [new Map<number, number>(), new Map<number, number>(), new Map<number, number>()];
  const put = (pages: Map<number, number>, bytes: number, count: number) =>
    pages.set(padTo(bytes, format.page), (pages.get(padTo(bytes, format.page)) ?? 0) + count);
  const [first] = rows;
  const recent = first?.keeping?.recent ?? first?.window;
  if (recent === undefined) return undefined;
  const ring = Math.max(RING, 2 ** Math.ceil(Math.log2(drafts + 2)));
  for (const { count, keys, values, index, window, keeping = {} } of rows) {
    const { every } = keeping;
    if (keys !== 512 || values || (keeping.recent ?? window) !== recent) return undefined;
    put(windows, SHARED_WINDOW * format.row, count);
    if (every === undefined) continue;
    put(whole, (format.block / every) * format.row, count);
    if (index) put(whole, (format.block / every) * indexBytes(index), count);
    if (every > 1) rings.set(ring * 4 * 2 * keys, (rings.get(ring * 4 * 2 * keys) ?? 0) + count);
  }
  const most = Math.ceil((recent - 1) / SHARED_WINDOW) + 1;
  const buckets: Bucket[] = [
    {
      what: "cache",
      pages: whole,
      blocks: (tokens) => Math.ceil(tokens / context / format.block),
      rate: 1 / (format.block * context),
    },
    {
      what: "window",
      pages: windows,
      blocks: (tokens) => Math.min(Math.ceil(tokens / SHARED_WINDOW), most),
      rate: 0,
      loose: true,
    },
    { what: "state", pages: rings, blocks: () => 1, rate: 0, loose: true },
  ];
  return packParts(
    buckets.filter(({ pages }) => pages.size > 0),
    sequences,
    format.stride,
  );
}

/** How vLLM packs layers of pooled index keys beside layers with a state. */
export interface PooledFormat {
  /** Bytes of a layer's row on one rank, and of the row that a page of states is measured by. */
  readonly row: (layer: LayerRows) => number;
  readonly measure: (layer: LayerRows) => number;
  /** Tokens by which the block grows. */
  readonly step: number;
  /** States that are kept of a prompt that is being read, beside those of its prefix and its end. */
  readonly checkpoints: number;
}

/**
 * GLM-5.3-Flash (vllm-project/vllm#57346, `_get_kv_cache_groups_glm5_next`, and in 0.33 `_get_packed_kv_cache_groups`, which both come
 * to this) and Qwen3.8-Flash-Next: a block is of so many tokens that a page of rows holds a state, and has all layers' pages of rows
 * and of pooled index keys; states are cut into groups of as many layers as fit into a block, and the open pool of an index takes one
 * block more. The convolution over a layer's table of n-grams is a state of its own, whole on every rank, in groups of its own.
 */
export function pooledParts(
  all: readonly LayerRows[],
  settings: EngineSettings,
  { row, measure, step, checkpoints }: PooledFormat,
  indexBytes: (numbers: number) => number,
): Part[] | undefined {
  const { sequences, context, tensor, drafts, prefixes } = settings;
  const rows = shareRows(all, tensor);
  const attending = rows.filter(({ keys }) => keys > 0);
  const states = rows.filter(({ memory }) => memory > 0);
  const [first, state] = [attending[0], states.toSorted((a, b) => a.memory - b.memory)[0]];
  const every = first?.keeping?.indexEvery;
  if (!first || !state || !every) return undefined;
  const tables = all.filter(({ memory }) => memory > state.memory * tensor);
  const widest = 2 * Math.max(0, ...tables.map(({ memory }) => memory - state.memory * tensor));
  const needed = Math.max(4 * state.memory + (2 * state.tail * (state.taps + drafts)) / state.taps, widest);
  const block = padTo(Math.ceil(needed / measure(first)), step);
  const counted = (list: readonly LayerRows[]) => list.reduce((sum, { count }) => sum + count, 0);
  const bytes = counted(attending) * block * (row(first) + indexBytes(first.index) / every);
  const fitting = Math.floor(bytes / (block * measure(first)));
  const groups = Math.ceil(counted(states) / fitting) + Math.ceil(counted(tables) / fitting);
  return [
    {
      what: "cache",
      bytes,
      cells: (tokens) => sequences * Math.ceil(tokens / context / block),
      rate: sequences / (block * context),
    },
    { what: "state", bytes, cells: () => sequences * (groups * (prefixes ? 2 + checkpoints : 1) + 1), rate: 0 },
  ];
}
