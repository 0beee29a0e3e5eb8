import { assume, type Blueprint, countParameters } from "../../cost/blueprint.ts";
import { countByPart, type Part, parts } from "../../cost/part.ts";

/** A tensor as a file's header lists it. */
export interface Weighed {
  /** "Q4_K", "F8_E4M3". */
  readonly type: string;
  readonly elements: number;
  /** Absent where the size of its type is not known. */
  readonly bytes?: number | undefined;
}

/** Plain numbers, by their names in files. */
const floats: ReadonlyMap<string, Blueprint["floats"]> = new Map([
  ["F32", "float32"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
]);

/** The part that a tensor belongs to, by its name on the hub or in a GGUF file. */
export function partOf(name: string): Part {
  if (/per_layer|engram|ngram_embed/.test(name)) return "table";
  if (/^token_embd\.|embed_tokens|word_embeddings|\bwte\b|tok_embeddings|embedding\.weight$|^embed(\.|$)/.test(name))
    return "embedding";
  if (isHead(name)) return "head";
  if (/(?<!shared_)experts?\.|_exps\b/.test(name)) return "expert";
  // Before attention, whose name is in those of norms; a norm within attention counts with it.
  if (
    /(^|\.)(input_layernorm|post_\w*norm|pre_\w*norm|(attn|ffn|output|post_attention|post_ffw)_norm|norm|final_layernorm|ln_f)\b/.test(
      name,
    )
  )
    return "norm";
  if (/attn|attention|mixer|mamba|ssm|conv|indexer|kda/.test(name)) return "attention";
  return /mlp|ffn|feed_forward|moe|expert|\bfeed\b|\bfc\d/.test(name) ? "feed" : "norm";
}

/** Whether a tensor is of the head: of a matrix, or of what stands for one where it is quantised. */
export const isHead = (name: string) =>
  /(^|\.)(lm_head|embed_out|output_layer)\.|^(head|output)\.weight$|^head$/.test(name);

/**
 * The blueprint with the bytes that a model's own tensors have in their files, in all and by part. Types that are not known are told
 * in `assumed`; where one has no size either, the blueprint is left without bytes.
 */
export function shipByTensors(blueprint: Blueprint, tensors: ReadonlyMap<string, Weighed>): Blueprint {
  const bytes = new Map<Part, number>(parts.map((part) => [part, 0]));
  const types = new Map<string, number>();
  for (const [name, { type, bytes: own = Number.NaN }] of tensors) {
    bytes.set(partOf(name), bytes.get(partOf(name))! + own);
    types.set(type, (types.get(type) ?? 0) + own);
  }
  const weightBytes = [...types.values()].reduce((sum, own) => sum + own, 0);
  const strange = [...types.keys()].filter((type) => type.startsWith("type "));
  const sized = Number.isSafeInteger(weightBytes) && weightBytes > 0;
  const told = sized
    ? "counted up to the tensor after each"
    : "of no size that is known, so weights are counted as bfloat16";
  const noted = assume(blueprint, ...strange.map((type) => `tensors of ${type} are ${told}`));
  if (!sized) return noted;
  const shares = [...types].toSorted(([, a], [, b]) => b - a).filter(([, own]) => own >= weightBytes / 100);
  const shipped = shares.map(([type, own]) => `${type} ${Math.round((100 * own) / weightBytes)} %`).join(", ");
  const counts = countByPart(blueprint);
  const average = weightBytes / countParameters(blueprint).total;
  const widths = Object.fromEntries(
    parts.map((part) => [part, counts[part] ? bytes.get(part)! / counts[part] : average]),
  );
  // Names that are not understood leave a part without tensors: then the average is all that is known.
  const clear = parts.every((part) => part === "norm" || (widths[part]! > 0 && widths[part]! <= 8));
  const plain = [...types.keys()].every((type) => floats.has(type));
  const most = [...types].reduce((most, one) => (one[1] > most[1] ? one : most))[0];
  return {
    ...noted,
    weightBytes,
    shipped,
    floats: plain ? floats.get(most) : undefined,
    widths: clear ? (widths as Record<Part, number>) : undefined,
  };
}
