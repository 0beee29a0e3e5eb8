import { type EngineSettings, shareRows } from "./engine.ts";
import type { LayerRows } from "./layer.ts";
import { type Part, padTo } from "./part.ts";

/** Tokens of vLLM's block unless another is given, and those by which a hybrid's block grows: of attention, and of MLA. */
const [BLOCK, MLA_BLOCK] = [16, 128];

/** Bytes of vLLM's pages in a model that mixes kinds of layers. */
export interface Pages {
  /** Bytes of a row of keys and values of one layer. */
  readonly row: (layer: LayerRows) => number;
  /** Bytes of one layer's state, for drafts of so many tokens. */
  readonly state: (layer: LayerRows) => number;
}

/** Layers of one kind, which have block tables of their own: all that is different between kinds. */
interface Bucket {
  readonly what: Part["what"];
  readonly layers: number;
  readonly page: number;
  readonly block: number;
  readonly window: number | undefined;
}

/**
 * Tokens of an attention block where layers with a state share pages with it: the fewest, in steps of 16 (of 128 with MLA), whose
 * page holds a state (vLLM 0.33, `_align_hybrid_block_size` in vllm/platforms/interface.py).
 */
export function hybridBlock(row: number, state: number, latent: boolean): number {
  return padTo(Math.ceil(state / row), latent ? MLA_BLOCK : BLOCK);
}

/**
 * What vLLM allocates for a model with several kinds of layers (0.33, vllm/v1/core/kv_cache_planning.py). All pages are of one size;
 * kinds are cut into groups of as many layers as the smallest kind has, or as the largest has where that is less than 1.5 times as
 * many, so that a block of any group fits any other; the last group of a kind is padded. A window keeps the blocks that its tokens
 * may lie in; a state has a page, and a second one where prefixes are kept. Undefined where pages cannot be made alike.
 */
export function pagedParts(all: readonly LayerRows[], settings: EngineSettings, pages: Pages): Part[] | undefined {
  const { sequences, context, tensor, prefixes } = settings;
  const rows = shareRows(all, tensor);
  const attending = rows.filter(({ keys, values }) => keys + values > 0);
  const largest = Math.max(...attending.map(pages.row));
  const states = rows.filter(({ memory, tail }) => memory + tail > 0);
  const needed = Math.max(0, ...states.map(pages.state));
  const latent = attending.some(({ heads, values }) => heads === 1 && values === 0);
  const page = Math.max(BLOCK, needed ? hybridBlock(largest, needed, latent) : 0) * largest;
  const found = new Map<string, Bucket>();
  const add = (what: Part["what"], count: number, block: number, window?: number) => {
    const known = found.get(`${what} ${block} ${window}`);
    found.set(`${what} ${block} ${window}`, { what, page, block, window, layers: count + (known?.layers ?? 0) });
  };
  for (const layer of attending) {
    const block = page / pages.row(layer);
    if (!Number.isInteger(block) || layer.index > 0) return undefined;
    add(layer.window === undefined ? "cache" : "window", layer.count, block, layer.window);
  }
  for (const layer of states) add("state", layer.count, 1);
  const buckets = [...found.values()];
  const counts = buckets.map(({ layers }) => layers);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const size = most < 1.5 * least ? most : least;
  return buckets.map(({ what, layers, block, window }): Part => {
    const groups = Math.ceil(layers / size);
    const bytes = groups * size * page;
    if (what === "state") return { what, bytes, cells: () => sequences * (prefixes ? 2 : 1), rate: 0 };
    const blocks = (tokens: number) => Math.ceil(tokens / (window === undefined ? context : 1) / block);
    if (window === undefined)
      return { what, bytes, cells: (tokens) => sequences * blocks(tokens), rate: sequences / (block * context) };
    const most = Math.ceil((window - 1) / block) + 1;
    return { what, bytes, cells: (tokens) => sequences * Math.min(blocks(tokens), most), rate: 0 };
  });
}
