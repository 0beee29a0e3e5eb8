/** A plan in sentences: how much context fits, how fast it is, and whether an engine keeps latents. */
import { compact, context, exactBytes, time } from "../lab/quantity.ts";
import type { Plan } from "./schema.ts";
import { cachedForms, crossoverText, times, tokens } from "./table.ts";

const kept = { absorbed: "latents", expanded: "keys and values" } as const;

/** What a plan answers, a sentence each, the most asked first. */
export function answers(plan: Plan): string[] {
  return [cacheAnswer(plan), ...fitAnswers(plan), ...speedAnswers(plan), ...engineAnswers(plan)];
}

function cacheAnswer(plan: Plan): string {
  const { settings, cache } = plan;
  const sizes = cachedForms(plan).map(
    (form) => cache.find((entry) => entry.form === form && entry.dtype === settings.cacheType)!,
  );
  const [least, most] = [sizes[0]!, sizes.at(-1)!];
  const many = settings.batch === 1 ? "" : ` in each of ${settings.batch} sequences`;
  const first = `A cache of ${context(settings.context)} tokens${many} takes ${exactBytes(least.bytes)} as ${kept[least.form]} in ${settings.cacheType}`;
  if (sizes.length === 1) return `${first}.`;
  return `${first}, ${times(most.bytes, least.bytes)} times less than the ${exactBytes(most.bytes)} of ${kept[most.form]}.`;
}

function fitAnswers(plan: Plan): string[] {
  const [form, other] = cachedForms(plan);
  return plan.machines.flatMap(({ machine, longestContext }) => {
    const most = (wanted: typeof form) =>
      longestContext.find((entry) => entry.form === wanted && entry.dtype === plan.settings.cacheType)?.tokens;
    const own = most(form);
    if (own === undefined) return [];
    if (own === 0) return [`On ${machine} the weights alone do not fit.`];
    const instead = other ? `; ${tokens(most(other))} if it kept ${kept[other]}` : "";
    return [`On ${machine} ${tokens(own)} tokens fit beside the weights${instead}.`];
  });
}

function speedAnswers({ machines, settings }: Plan): string[] {
  return machines.flatMap((machine) => {
    const [prefill, decode] = [machine.prefill[0], machine.decode[0]];
    if (!prefill || !decode) return [];
    const turn = machine.crossover ? ` Decoding over latents is faster there: ${crossoverText(machine)}.` : "";
    return [
      `${machine.measured ? "Measured rates of" : "At best,"} ${machine.machine}: ${context(settings.context)} tokens are read in ${time(prefill.seconds)} (${prefill.limit} binds), then ${compact(decode.tokensPerSecond)} tokens/s (${decode.limit} binds).${turn}`,
    ];
  });
}

function engineAnswers({ engines, cache }: Plan): string[] {
  const least = Math.min(...cache.map(({ valuesPerTokenPerLayer }) => valuesPerTokenPerLayer));
  const said = engines.map(({ engine, version, valuesPerTokenPerLayer, keeps }) => {
    const ratio = times(valuesPerTokenPerLayer, least);
    return `${engine} (${version}): ${keeps}${ratio === "1" ? "" : `, ${ratio} times the least`}`;
  });
  return said.length ? [`What engines keep: ${said.join("; ")}.`] : [];
}
