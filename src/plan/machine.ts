/** What machines hold of a model, and how fast they run it. */
import type { Blueprint } from "../cost/blueprint.ts";
import { cacheBytes, formsOf, longestContext, waysOf, weightBytes } from "../cost/cost.ts";
import type { Machine } from "../cost/crossover.ts";
import { stepWork } from "../cost/step.ts";
import { crossoverOf, prefillSteps, priceSteps, runningOn } from "../cost/time.ts";
import { spansOf, typesFrom } from "./asked.ts";
import type { PlanSettings } from "./plan.ts";
import type { Plan } from "./schema.ts";

/** What does not depend on the machine is counted once: the work of every step, and the longest contexts of a room. */
export function machineRows(blueprint: Blueprint, settings: PlanSettings): Plan["machines"] {
  const { context, batch, step, accepted = step, weightType, cacheType } = settings;
  const ways = waysOf(blueprint);
  const weights = weightBytes(blueprint, weightType);
  const smallest = Math.min(
    ...formsOf(blueprint).map((form) => batch * cacheBytes(blueprint, form, cacheType, context)),
  );
  const workOf = once((key: string) => {
    const [phase, chunk, bytes] = key.split(" ") as [string, string, string];
    const steps =
      phase === "decode"
        ? [{ span: spansOf(settings).decode, times: 1 }]
        : prefillSteps(context, batch, chunk === "all" ? context : Number(chunk));
    return ways.map((way) => ({
      way,
      steps: steps.map(({ span, times }) => ({
        work: stepWork(blueprint, way, span, settings, Number(bytes)),
        times,
      })),
    }));
  });
  const timed = (key: string, machine: Machine, tokens: number): Plan["machines"][number]["decode"] =>
    workOf(key)
      .map(({ way, steps }) => {
        const { seconds, limit } = priceSteps(steps, machine);
        return { ...way, seconds, tokensPerSecond: (batch * tokens) / seconds, limit };
      })
      .toSorted((a, b) => a.seconds - b.seconds);
  return settings.hosts.map((host) => {
    const { name, measured, memory, chunk = "all" } = host;
    const running = runningOn(host, blueprint, weightType, cacheType);
    const { machine, activationBytes: bytes } = running;
    const room = memory === undefined ? undefined : memory - weights;
    return {
      machine: name,
      measured,
      memory,
      fits: room === undefined ? undefined : smallest <= room,
      longestContext: room === undefined ? [] : longestRows(blueprint, room, settings),
      prefill: timed(`prefill ${chunk} ${bytes}`, machine, context),
      decode: timed(`decode - ${bytes}`, machine, accepted),
      crossover: crossoverOf(blueprint, settings, running),
    };
  });
}

/** The function, which computes each key once. */
function once<T>(compute: (key: string) => T): (key: string) => T {
  const known = new Map<string, T>();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key)!;
  };
}

function longestRows(blueprint: Blueprint, room: number, { batch, cacheType }: PlanSettings) {
  return typesFrom(cacheType).flatMap((dtype) =>
    formsOf(blueprint).map((form) => {
      const tokens = longestContext(blueprint, form, dtype, { room, batch });
      return { form, dtype, tokens: Number.isFinite(tokens) ? tokens : null };
    }),
  );
}
