import { cacheOf, cacheValues, stateValues } from "../../attention/define.ts";
import type { Blueprint, LayerKind } from "../../cost/blueprint.ts";
import type { Listed } from "../../file/outline.ts";
import { FormatError } from "../../tensor/error.ts";

// An index key or a state is a small part of a model's parameters: their count may agree while the cache is wrong. So what is kept is
// counted from the tensors that make it, where a file lists them.

/** What tensors by these names make, and how much of that a layer keeps by the keys. */
interface Tally {
  readonly what: string;
  readonly tensor: RegExp;
  /** Of one tensor's rows. */
  readonly made: (rows: number) => number;
  readonly kept: (kind: LayerKind) => number;
}

const state = /\.(ssm_out|ssm_conv1d_q|shortconv\.out_proj|time_mix_output)\.weight$/;
const blockOf = (tensor: string) => /^blk\.\d+/.exec(tensor)?.[0];
const keepsEntries = ({ attention: { variant, sizes } }: LayerKind) => cacheValues(variant, sizes) > 0;
const own = ({ keeping }: LayerKind) => keeping?.owner === undefined;

const tallies: readonly Tally[] = [
  {
    what: "numbers of index keys",
    tensor: /\.indexer\.(attn_k|k_proj|k)\.weight$/,
    made: (rows) => rows,
    kept: ({ attention: { variant, sizes }, keeping }) =>
      keeping?.indexOwner === undefined && cacheOf(variant, sizes).some(([, axes]) => axes === "i")
        ? (sizes.i ?? 0)
        : 0,
  },
  {
    what: "numbers of latents and rotary keys",
    tensor: /\.attn_kv_a_mqa\.weight$/,
    made: (rows) => rows,
    kept: ({ attention: { variant, sizes } }) =>
      sizes.c && (sizes.g === 0 || variant.unfolded) ? sizes.c + sizes.r : 0,
  },
  {
    what: "numbers of keys",
    tensor: /\.attn_k\.weight$/,
    made: (rows) => rows,
    kept: (kind) => {
      const { g, e, c } = kind.attention.sizes;
      return keepsEntries(kind) && own(kind) && !c ? g * e : 0;
    },
  },
  {
    what: "layers with a state",
    tensor: state,
    made: () => 1,
    kept: ({ attention: { variant, sizes } }) => (stateValues(variant, sizes) ? 1 : 0),
  },
];

/**
 * Holds what layers keep by a header's keys against the tensors that the file lists, those of its own layers. What a file has no
 * tensors of by these names is not held. Throws FormatError naming the first tensor of a kind that does not agree.
 */
export function checkKept(tensors: readonly (readonly [string, Listed])[], { layers }: Blueprint): void {
  const states = new Set(tensors.flatMap(([name]) => (state.test(name) ? [blockOf(name)] : [])));
  for (const { what, tensor, made, kept } of tallies) {
    // A layer with a state makes keys of its own, and caches none.
    const found = tensors.filter(([name]) => tensor.test(name) && (tensor === state || !states.has(blockOf(name))));
    if (found.length === 0) continue;
    const listed = found.reduce((sum, [, { shape }]) => sum + made(shape[0] ?? 0), 0);
    const said = layers.reduce((sum, kind) => sum + kind.count * kept(kind), 0);
    if (listed !== said)
      throw new FormatError(
        `${found[0]![0]}: got ${listed} ${what} in ${found.length} layers, and keys that speak of ${said}, expected the same; ` +
          "name the layers with all their sizes by --as, or use another file",
      );
  }
}
