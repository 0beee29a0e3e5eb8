/** Which ways of laying a model over a group of devices make sense, and the smallest group that it fits. */
import type { Blueprint } from "../cost/blueprint.ts";
import { formsOf } from "../cost/cost.ts";
import { deviceMemory, type Group, groups } from "../cost/group.ts";
import { rankCache, rankWeights } from "../cost/rank.ts";
import { dividesHeads, type Split } from "../cost/split.ts";
import type { PlanSettings } from "./plan.ts";

/** What decides about what fits. */
export type Fitting = Pick<PlanSettings, "context" | "batch" | "weightType" | "cacheType">;

/**
 * The splits of a model over all devices of a group that are worth a look: heads over devices of a node or over all, and the rest by
 * sequences (experts over all of them, or a copy with each), by positions, by layers, or by layers between nodes and sequences inside.
 */
export function sensibleSplits(blueprint: Blueprint, { count, node }: Pick<Group, "count" | "node">): Split[] {
  const routed = blueprint.layers.some(({ feed }) => feed.experts);
  const splits: Split[] = [];
  const add = (tensor: number, rest: Partial<Split>) => {
    const split = { tensor, data: 1, context: 1, pipeline: 1, ...rest };
    const [together, stage] = [split.tensor * split.context, split.tensor * split.context * split.data];
    splits.push({ ...split, expert: stage });
    if (routed && stage > together) splits.push({ ...split, expert: together });
  };
  for (let tensor = count; tensor >= 1; tensor--) {
    if (count % tensor || (tensor > node && tensor < count) || !dividesHeads(blueprint, tensor)) continue;
    const rest = count / tensor;
    add(tensor, { data: rest });
    if (rest === 1) continue;
    add(tensor, { context: rest });
    add(tensor, { pipeline: rest });
    const nodes = count / node;
    if (nodes > 1 && tensor < node) add(tensor, { pipeline: nodes, data: node / tensor });
  }
  return splits;
}

/** Sequences of a rank that has the most of them. */
export const sequencesOf = (batch: number, { data }: Pick<Split, "data">) => Math.ceil(batch / data);

/** Whether each device holds its share of weights and of all sequences' caches, in the smallest form. */
export function fitsOn(blueprint: Blueprint, group: Group, split: Split, settings: Fitting): boolean {
  const room = deviceMemory(group) - rankWeights(blueprint, split, settings);
  if (room <= 0) return false;
  const form = formsOf(blueprint).at(-1)!;
  const sequences = sequencesOf(settings.batch, split);
  return sequences * rankCache(blueprint, split, form, settings)(settings.context) <= room;
}

/**
 * The group with the least memory that holds the model and its caches, of those that are listed: accelerators and graphics cards
 * alone or in groups. Undefined where none does.
 */
export function smallestGroup(blueprint: Blueprint, settings: Fitting): Group | undefined {
  return groups.find((group) => isServing(group) && fitsSomehow(blueprint, group, settings));
}

/** Whether a group is of accelerators or graphics cards, which serving engines run on. */
export const isServing = ({ device: { kind } }: Group): boolean =>
  ["data centre", "workstation", "consumer"].includes(kind);

/** Whether one of the sensible layouts holds the model and its caches. */
export function fitsSomehow(blueprint: Blueprint, group: Group, settings: Fitting): boolean {
  return sensibleSplits(blueprint, group).some((split) => fitsOn(blueprint, group, split, settings));
}
