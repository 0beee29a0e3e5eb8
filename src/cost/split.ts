import { type Costing, cacheOf, paramsOf } from "../attention/define.ts";
import { ShapeError } from "../tensor/error.ts";
import type { Blueprint, LayerKind } from "./blueprint.ts";

/** Ranks over which heads, sequences, positions and layers are split, each the number of ways; their product is that of the ranks. */
export interface Split {
  readonly tensor: number;
  readonly data: number;
  readonly context: number;
  /** Stages, each with its share of the layers. */
  readonly pipeline: number;
  /** Ranks of a stage over which each layer's experts are split; those of other ranks are copies. */
  readonly expert: number;
}

const axesOf = { tp: "tensor", dp: "data", cp: "context", pp: "pipeline", ep: "expert" } as const;
const MOST = 65_536;

/** Reads "tp8", "dp8", "cp4", "tp4,dp2", "tp8+pp2", "dp8+ep1". Experts are split over all ranks of a stage unless given. Throws ShapeError. */
export function parseSplit(text: string): Split {
  const split: Record<(typeof axesOf)[keyof typeof axesOf], number> = {
    tensor: 1,
    data: 1,
    context: 1,
    pipeline: 1,
    expert: 0,
  };
  const given = new Set<string>();
  for (const part of text.toLowerCase().split(/[,+x]/)) {
    const [, axis, ways] = /^\s*(tp|dp|cp|pp|ep)(\d{1,5})\s*$/.exec(part) ?? [];
    if (!axis || !Number(ways) || given.has(axis))
      throw new ShapeError(
        `layout: got "${text}", expected tp, dp or cp with a number of ranks, pp of stages or ep of ranks with other experts, each at most once, as tp8 or tp4,dp2`,
      );
    given.add(axis);
    split[axesOf[axis as keyof typeof axesOf]] = Number(ways);
  }
  const stage = split.tensor * split.data * split.context;
  if (stage * split.pipeline > MOST)
    throw new ShapeError(`layout: got "${text}", expected at most ${MOST} ranks; name fewer`);
  const together = split.tensor * split.context;
  if (split.expert && (stage % split.expert || split.expert % together))
    throw new ShapeError(
      `layout: got "${text}", expected experts over a divisor of ${stage} ranks that is a multiple of ${together}, which work on the same tokens`,
    );
  return { ...split, expert: split.expert || stage };
}

/** As it is typed: "tp4+dp2"; "tp1" of one rank. Experts are named where they are not over all ranks of a stage. */
export function splitName({ tensor, data, context, pipeline, expert }: Split): string {
  const parts = [
    tensor > 1 && `tp${tensor}`,
    context > 1 && `cp${context}`,
    data > 1 && `dp${data}`,
    pipeline > 1 && `pp${pipeline}`,
    expert < tensor * context * data && `ep${expert}`,
  ];
  return parts.filter(Boolean).join("+") || "tp1";
}

/** Ranks of all stages. */
export function ranksOf({ tensor, data, context, pipeline }: Split): number {
  return tensor * data * context * pipeline;
}

/** Throws ShapeError where tensor ranks do not divide a layer's heads, or neither they its groups nor these them. */
export function checkHeads({ attention }: LayerKind, tensor: number): void {
  const wrong = undivided(attention, tensor);
  if (wrong) throw new ShapeError(`${attention.variant.name}: got ${tensor} tensor ranks, expected ${wrong}`);
}

/** Whether so many tensor ranks divide the heads of all layers. */
export function dividesHeads({ layers }: Pick<Blueprint, "layers">, tensor: number): boolean {
  return layers.every(({ attention }) => !undivided(attention, tensor));
}

const known = new WeakMap<Costing, readonly number[]>();

/** What tensor ranks would have to be, where they are not. */
function undivided(attention: Costing, tensor: number): string | undefined {
  const { variant, sizes } = attention;
  if (sizes.h % tensor) return `a divisor of its ${sizes.h} heads; split fewer ways`;
  let groups = known.get(attention);
  if (!groups) {
    const axes = [...paramsOf(variant, sizes), ...cacheOf(variant, sizes)].flatMap(([, axes]) => axes.split(" "));
    groups = [axes.includes("g") ? sizes.g : 0, axes.includes("b") ? (sizes.b ?? 0) : 0];
    known.set(attention, groups);
  }
  const count = groups.find((count) => count && count % tensor && tensor % count);
  return count ? `a divisor or a multiple of its ${count} groups` : undefined;
}
