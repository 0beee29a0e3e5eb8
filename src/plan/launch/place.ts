/** The layout of an engine's ranks, and the flags that say it. */
import type { Blueprint } from "../../cost/blueprint.ts";
import type { Group } from "../../cost/group.ts";
import { parseSplit, ranksOf, type Split } from "../../cost/split.ts";
import { compact, time } from "../../draw/quantity.ts";
import { ShapeError } from "../../tensor/error.ts";
import { groupRow } from "../group.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";
import type { LaunchQuestion } from "./launch.ts";

export const routedOf = ({ layers }: Blueprint) => layers.some(({ feed }) => feed.experts > 0);

/** Why an engine cannot lay a model out like this; undefined where it can. */
function hindrance(
  engine: EngineName,
  blueprint: Blueprint,
  { tensor, data, context, pipeline, expert }: Split,
  step: number,
): string | undefined {
  const { title } = enginesBy[engine];
  if (pipeline > 1 && step > 1) return `${title} does not propose tokens over stages by every method`;
  if (context > 1) return `${title} splits positions among the ranks that split heads, and not beside them`;
  if (routedOf(blueprint) && expert !== tensor * data) return `${title} splits experts over all ranks of a stage`;
  if (pipeline > 1 && engine === "vllm" && /^qwen4_exp/.test(blueprint.architecture) && blueprint.tables?.length)
    return "vLLM's Qwen4Exp has no stages, since its tables of n-grams need the tokens themselves";
  return undefined;
}

/** The layout that is asked for, or the best of those that the engine can express. */
export function splitFor(
  blueprint: Blueprint,
  { engine, group, settings }: LaunchQuestion,
): { split: Split; why: string } {
  const subject = `--serve ${engine}`;
  const [asked, ...others] = settings.layouts;
  if (others.length)
    throw new ShapeError(`${subject}: got ${others.length + 1} layouts, expected one; name one, or none`);
  if (asked !== undefined) {
    const split = parseSplit(asked);
    if (ranksOf(split) !== group.count)
      throw new ShapeError(
        `--layout: got ${asked}, expected ${group.count} ranks, as many as ${group.name} has devices`,
      );
    const hindered = hindrance(engine, blueprint, split, settings.step);
    if (hindered) throw new ShapeError(`--layout: got ${asked}, expected another: ${hindered}`);
    return { split, why: "as it was asked for" };
  }
  const rows = groupRow(blueprint, group, settings).layouts.filter(
    (row) => row.fits && !hindrance(engine, blueprint, row, settings.step),
  );
  const single = settings.batch === 1;
  const value = (row: (typeof rows)[number]) => (single ? -row.decode!.seconds : row.full!.tokensPerSecond);
  const best = rows.toSorted((a, b) => value(b) - value(a))[0];
  if (!best)
    throw new ShapeError(
      `${subject}: got ${group.name}, expected a machine that holds ${blueprint.name} with ${settings.batch} x ${settings.context} tokens; name a larger one`,
    );
  const { tensor, data, context, pipeline, expert } = best;
  const why = single
    ? `of ${rows.length} layouts that fit the one that answers first, ${time(best.decode!.seconds)} a step`
    : `of ${rows.length} layouts that fit the one that writes most, ${compact(best.full!.tokensPerSecond)} tokens/s with ${best.mostSequences} sequences`;
  return { split: { tensor, data, context, pipeline, expert }, why };
}

export function parallelFlags(
  engine: EngineName,
  blueprint: Blueprint,
  group: Group,
  { tensor, data, pipeline }: Split,
  why: string,
): Flag[] {
  const routed = routedOf(blueprint);
  const ranks = tensor * data;
  const flag = (flag: string, value: number | string | undefined, why: string): Flag => ({
    flag,
    ...(value !== undefined && { value: String(value) }),
    why,
  });
  const heads = "ranks that share out each layer's heads and matrices";
  const all: (Flag | false)[] =
    engine === "vllm"
      ? [
          tensor > 1 && flag("--tensor-parallel-size", tensor, `${heads}: ${why}`),
          data > 1 &&
            flag("--data-parallel-size", data, `ranks with sequences of their own${tensor === 1 ? `: ${why}` : ""}`),
          routed &&
            ranks > 1 &&
            flag("--enable-expert-parallel", undefined, `experts are whole on one of ${ranks} ranks`),
          pipeline > 1 && flag("--pipeline-parallel-size", pipeline, "stages with a share of the layers"),
        ]
      : [
          (routed ? ranks : tensor) > 1 &&
            flag(
              "--tp-size",
              routed ? ranks : tensor,
              `${routed && data > 1 ? "all ranks of a stage" : heads}: ${why}`,
            ),
          routed &&
            data > 1 &&
            flag("--attn-dp-size", data, "ranks, or groups of them, whose attention has sequences of its own"),
          routed && ranks > 1 && flag("--ep-size", ranks, `experts are whole on one of ${ranks} ranks`),
          !routed && data > 1 && flag("--dp-size", data, "replicas with sequences of their own"),
          pipeline > 1 && flag("--pp-size", pipeline, "stages with a share of the layers"),
        ];
  const nodes = group.count / group.node;
  const among: Flag[] =
    nodes > 1
      ? [
          flag("--nnodes", nodes, `${group.node} devices in each`),
          flag("--node-rank", "$NODE", "which of them this is"),
          flag(
            engine === "vllm" ? "--master-addr" : "--dist-init-addr",
            engine === "vllm" ? "$HEAD" : "$HEAD:25000",
            "where they meet",
          ),
        ]
      : [];
  return [...all.filter((one) => one !== false), ...among];
}
