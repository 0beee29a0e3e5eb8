/** What machines hold of a model, and how fast they run it. */
import type { Blueprint } from "../cost/blueprint.ts";
import { cacheByTokens, cacheBytes, formsOf, waysOf, weightBytes } from "../cost/cost.ts";
import type { Machine } from "../cost/crossover.ts";
import { longestOf } from "../cost/longest.ts";
import { type MixedMachine, stepWork } from "../cost/step.ts";
import { crossoverOf, prefillSteps, priceSteps, type Running, runningOn } from "../cost/time.ts";
import { dtypes } from "../cost/type.ts";
import { spansOf, typesFrom } from "./asked.ts";
import type { PlanSettings } from "./plan.ts";
import type { Plan } from "./schema.ts";

/** What is asked of machines beside whether a model fits. */
export type MachineFigure = "longestContext" | "prefill" | "decode" | "crossover";
const figures: readonly MachineFigure[] = ["longestContext", "prefill", "decode", "crossover"];

/**
 * What each machine of the settings holds of a model, its longest contexts, and seconds of a prefill and of a decoding step in each
 * form: the part of a plan that many machines need. Settings are as `plan` takes them, and checked there. Figures that are not asked
 * for are left empty, as a table of one figure over all models has them.
 */
export function machineRows(
  blueprint: Blueprint,
  settings: PlanSettings,
  asked: readonly MachineFigure[] = figures,
): Plan["machines"] {
  const { context, batch, step, accepted = step, weightType, cacheType } = settings;
  // What does not depend on the machine is counted once: the work of every step, and the longest contexts of a room.
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
  const wants = (figure: MachineFigure) => asked.includes(figure);
  const longest = wants("longestContext") ? longestFinder(blueprint, settings) : undefined;
  // Where forms change places follows from the balance of a datasheet's machine: several have the same.
  const crossovers = new Map<string, Plan["machines"][number]["crossover"]>();
  const crossover = (running: Running) => {
    const plain = balanceOf(running.machine);
    if (plain === undefined) return crossoverOf(blueprint, settings, running);
    const balance = `${plain} ${running.activationBytes}`;
    if (!crossovers.has(balance)) crossovers.set(balance, crossoverOf(blueprint, settings, running));
    return crossovers.get(balance);
  };
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
      longestContext: room === undefined || !longest ? [] : longest(room),
      prefill: wants("prefill") ? timed(`prefill ${chunk} ${bytes}`, machine, context) : [],
      decode: wants("decode") ? timed(`decode - ${bytes}`, machine, accepted) : [],
      crossover: wants("crossover") ? crossover(running) : undefined,
    };
  });
}

const balances = new WeakMap<MixedMachine, string | undefined>();

/** FLOPs of products and of attention by the bytes read meanwhile, where a machine is that of a datasheet, which knows no other rates. */
function balanceOf(machine: MixedMachine): string | undefined {
  if (balances.has(machine)) return balances.get(machine);
  const { contract, attend, few, op, overlaps } = machine;
  const [product, attending] = [contract.few, attend.few];
  const isPlain = contract.many === product && attend.many === attending && attend.shared === attending;
  const others =
    few || op || !overlaps || !isPlain || product.bytes !== attending.bytes || product.rows || attending.rows;
  const balance = others ? undefined : `${product.flops / product.bytes} ${attending.flops / product.bytes}`;
  balances.set(machine, balance);
  return balance;
}

/** The function, which computes each key once. */
function once<T>(compute: (key: string) => T): (key: string) => T {
  const known = new Map<string, T>();
  return (key) => {
    if (!known.has(key)) known.set(key, compute(key));
    return known.get(key)!;
  };
}

/** The longest contexts beside the weights, in each type and form, by the bytes that are left. */
function longestFinder(blueprint: Blueprint, { batch, cacheType }: PlanSettings) {
  const types = typesFrom(cacheType);
  // Types of one width hold as many tokens as each other.
  const widths = [...new Set(types.map((dtype) => dtypes[dtype]))];
  const rows = types.flatMap((dtype) =>
    formsOf(blueprint).map((form, at) => ({ form, dtype, finder: at * widths.length + widths.indexOf(dtypes[dtype]) })),
  );
  const finders = formsOf(blueprint).flatMap((form) =>
    widths.map((width) => {
      const dtype = types.find((one) => dtypes[one] === width)!;
      const bytesOf = cacheByTokens(blueprint, form, dtype);
      return longestOf((tokens) => batch * bytesOf(tokens));
    }),
  );
  return (room: number) => {
    const found = finders.map((find) => find(room));
    return rows.map(({ form, dtype, finder }) => {
      const tokens = found[finder]!;
      return { form, dtype, tokens: Number.isFinite(tokens) ? tokens : null };
    });
  };
}
