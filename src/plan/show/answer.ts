/** A plan in sentences: how much context fits, how fast it is, and whether an engine keeps latents. */
import { compact, context, exactBytes, time } from "../../draw/quantity.ts";
import type { Plan } from "../schema.ts";
import { engineGroups } from "./engine.ts";
import { groupAnswers } from "./group.ts";
import { cachedForms, crossoverText, times, tokens } from "./table.ts";

const kept = { absorbed: "latents", expanded: "keys and values" } as const;

/** What a plan answers, a sentence or two each, the most asked first. */
export function answers(plan: Plan): string[] {
  return [
    cacheAnswer(plan),
    ...plan.machines.map((machine) => machineAnswer(plan, machine)),
    ...groupAnswers(plan),
    ...engineAnswers(plan),
  ];
}

/** How large the cache is in each form. */
export function cacheAnswer(plan: Plan): string {
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

function machineAnswer(plan: Plan, machine: Plan["machines"][number]): string {
  const { settings } = plan;
  const [form, other] = cachedForms(plan);
  const most = (wanted: typeof form) =>
    machine.longestContext.find((entry) => entry.form === wanted && entry.dtype === settings.cacheType)?.tokens;
  const own = most(form);
  const said: string[] = [];
  if (own === 0) said.push("the weights alone do not fit");
  else if (own !== undefined)
    said.push(
      `${tokens(own)} tokens fit beside the weights${other ? ` (${tokens(most(other))} as ${kept[other]})` : ""}`,
    );
  const [prefill, decode] = [machine.prefill[0], machine.decode[0]];
  const rated = machine.measured ? "by its measured rates" : "at best";
  if (prefill && decode)
    said.push(
      `${context(settings.context)} tokens are read in ${time(prefill.seconds)} (${prefill.limit} binds) and then ${compact(decode.tokensPerSecond)} written per second (${decode.limit} binds), ${rated}`,
    );
  if (machine.crossover) said.push(`decoding over latents is faster ${turnText(machine)}`);
  return `${machine.machine}: ${said.join("; ")}.`;
}

function turnText(machine: Plan["machines"][number]): string {
  const text = crossoverText(machine);
  return /^\d/.test(text) ? `from ${text} on` : text;
}

function engineAnswers(plan: Plan): string[] {
  if (cachedForms(plan).length === 1) return [];
  return engineGroups(plan).map(({ values, bytes, times, names }) => {
    const off = times === "1" ? "the least" : `${times} times the least`;
    return `${values} numbers per token and layer, ${exactBytes(bytes)}, ${off}, are kept by ${names}.`;
  });
}
