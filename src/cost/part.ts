import { parameterCount } from "../attention/define.ts";
import type { Blueprint } from "./blueprint.ts";
import { type Dtype, dtypes, type WeightType } from "./type.ts";

/** Parts of a model whose weights may be of different types. */
export const parts = ["attention", "feed", "expert", "embedding", "head", "table", "norm"] as const;
/**
 * Attention; of feed-forward halves what every token uses, and routed experts; the embedding, the head where it is a matrix of its
 * own, other tables; norms and all that is left.
 */
export type Part = (typeof parts)[number];

/** Something of each part. */
export const eachPart = <T>(of: (part: Part) => T): Record<Part, T> =>
  Object.fromEntries(parts.map((part) => [part, of(part)])) as Record<Part, T>;

/** A number for each part. */
export type ByPart = Readonly<Record<Part, number>>;

const counted = new WeakMap<Blueprint, ByPart>();

/** The type that products are computed in, in parts where it is not that of the numbers between them. */
export type Products = Readonly<Partial<Record<Part, Dtype>>>;

/**
 * The type of both operands of a part's products: that of the weights, whose like the other operand becomes; of weights as they are
 * shipped what their format says of the other operand, else these weights are widened to 16 bits as they are read.
 */
export function productOf(blueprint: Blueprint, type: WeightType, part: Part): Dtype {
  if (type !== "file") return type;
  const wide = widthsOf(blueprint, type)[part] > 3;
  return blueprint.products?.[part] ?? (wide ? "float32" : "bfloat16");
}

/** Parameters by part: together those that `countParameters` counts. */
export function countByPart(blueprint: Blueprint): ByPart {
  const known = counted.get(blueprint);
  if (known) return known;
  const { vocabulary, width, tied, layers, extra, tables = [] } = blueprint;
  const table = vocabulary * width;
  const sum = { attention: 0, feed: 0, expert: 0, embedding: table, head: tied ? 0 : table, table: 0, norm: extra };
  for (const { count, attention, feed, extra } of layers) {
    sum.attention += count * parameterCount(attention.variant, attention.sizes);
    sum.feed += count * feed.always;
    sum.expert += count * feed.experts * feed.expert;
    sum.norm += count * extra;
  }
  for (const { parameters } of tables) sum.table += parameters;
  counted.set(blueprint, sum);
  return sum;
}

/** The sum of a number of parameters in each part, weighed by the bytes of one. */
export function weigh(counts: ByPart, widths: ByPart): number {
  return parts.reduce((sum, part) => sum + counts[part] * widths[part], 0);
}

/** Bytes of a parameter in each part; of "file" as it is shipped, in bfloat16 where nobody says. */
export function widthsOf(blueprint: Blueprint, type: WeightType): ByPart {
  const { weightBytes, widths } = blueprint;
  if (type === "file" && widths) return widths;
  const counts = countByPart(blueprint);
  const total = parts.reduce((sum, part) => sum + counts[part], 0);
  const each = type !== "file" ? dtypes[type] : weightBytes === undefined ? dtypes.bfloat16 : weightBytes / total;
  return { attention: each, feed: each, expert: each, embedding: each, head: each, table: each, norm: each };
}

/** The same of what is shipped, for a part of the model, whose bytes in all nobody says; undefined where nobody says either. */
export function shippedWidths(blueprint: Blueprint): ByPart | undefined {
  return blueprint.widths ?? (blueprint.weightBytes === undefined ? undefined : widthsOf(blueprint, "file"));
}
