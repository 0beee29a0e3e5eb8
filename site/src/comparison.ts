/** Several models or variants in one table, at the planner's settings. */
import {
  bytes,
  compact,
  context,
  deviceMemory,
  escapeHtml,
  exactBytes,
  type Group,
  type Plan,
  plan,
  presets,
  smallestGroup,
  splitSpecs,
  time,
  tokens,
  whole,
} from "biform/web";
import { byId } from "./element.ts";
import { leastCache } from "./first.ts";
import { showIn } from "./form.ts";
import { settingsOf } from "./planned.ts";
import { type Column, sortable } from "./sort.ts";
import { namedBlueprint } from "./source.ts";
import type { State, Store } from "./state.ts";

/** Fills the list of presets, and lets one be added. */
export function mountComparison(store: Store): void {
  const added = byId<HTMLSelectElement>("added");
  added.append(...presets.map(({ name }) => new Option(name, name)));
  byId("add").addEventListener("click", () => {
    const { compare } = store.now;
    if (!compare.includes(added.value)) store.change({ compare: [...compare, added.value] });
  });
  byId("add-planned").addEventListener("click", () => {
    const { compare, kind, model, spec } = store.now;
    const name = kind === "spec" ? spec : model;
    if (kind !== "file" && !compare.includes(name)) store.change({ compare: [...compare, name] });
  });
}

export function showComparison(state: State): void {
  byId<HTMLButtonElement>("add-planned").disabled = state.kind === "file";
  showIn("comparison", "compare-problem", () => {
    const names = state.compare.flatMap(splitSpecs);
    if (names.length === 0) return "";
    const groups = new Map<Plan, Group | undefined>();
    for (const name of names) {
      const blueprint = namedBlueprint(name, state);
      // All at one context, so that rows compare; the planner's own is each model's where none is given.
      const settings = settingsOf(state, { maxContext: shared });
      groups.set(plan(blueprint, settings), smallestGroup(blueprint, settings));
    }
    return table(groups);
  });
}

/** Tokens of all models where the planner's context is empty. */
const shared = 32_768;

/** Plans with the smallest group on which each fits. */
function table(groups: ReadonlyMap<Plan, Group | undefined>): string {
  const plans = [...groups.keys()];
  const { settings, machines } = plans[0]!;
  const at = context(settings.context);
  const machine = machines[0]?.machine;
  const onMachine = ({ machines: [first] }: Plan) => first;
  const longest = (one: Plan) => {
    const { form, dtype } = leastCache(one);
    return onMachine(one)?.longestContext.find((row) => row.form === form && row.dtype === dtype)?.tokens;
  };
  const columns: Column<Plan>[] = [
    { head: "model", text: ({ model }) => escapeHtml(model.name), value: ({ model }) => model.name },
    {
      head: "parameters",
      text: ({ parameters }) => compact(parameters.total),
      value: ({ parameters }) => parameters.total,
    },
    {
      head: "active",
      text: ({ parameters }) => compact(parameters.active),
      value: ({ parameters }) => parameters.active,
    },
    {
      head: "values / token / layer",
      text: (one) => String(Number(leastCache(one).valuesPerTokenPerLayer.toPrecision(5))),
      value: (one) => leastCache(one).valuesPerTokenPerLayer,
    },
    {
      head: "a token",
      text: (one) => bytes(leastCache(one).bytesPerToken),
      value: (one) => leastCache(one).bytesPerToken,
    },
    { head: `cache at ${at}`, text: (one) => exactBytes(leastCache(one).bytes), value: (one) => leastCache(one).bytes },
    {
      head: "expanded",
      text: (one) => `× ${Number((expanded(one) / leastCache(one).bytes).toPrecision(3))}`,
      value: (one) => expanded(one) / leastCache(one).bytes,
    },
    {
      head: "fits on",
      words: true,
      text: (one) => escapeHtml(groups.get(one)?.name ?? "–"),
      value: (one) => memoryOf(groups.get(one)),
    },
    ...(machine
      ? [
          {
            head: "longest context",
            text: (one: Plan) => tokens(longest(one)),
            value: (one: Plan) => longest(one) ?? 2 ** 60,
          },
          {
            head: `prefill of ${at}`,
            text: (one: Plan) => time(onMachine(one)?.prefill[0]?.seconds ?? Number.NaN),
            value: (one: Plan) => onMachine(one)?.prefill[0]?.seconds ?? 0,
          },
          {
            head: "decode, tok/s",
            text: (one: Plan) => compact(onMachine(one)?.decode[0]?.tokensPerSecond ?? Number.NaN),
            value: (one: Plan) => onMachine(one)?.decode[0]?.tokensPerSecond ?? 0,
          },
        ]
      : []),
  ];
  const caption = `At ${whole(settings.context)} tokens, the cache in its smallest form in ${settings.cacheType}${machine ? `; times and longest context on ${machine}` : ""}. “expanded”: times that where keys and values are kept`;
  return sortable("comparison", caption, columns, plans);
}

/** Of all devices; more than any where there is no group. */
const memoryOf = (group: Group | undefined) => (group ? group.count * deviceMemory(group) : 2 ** 60);

const expanded = ({ cache, settings }: Plan) =>
  cache.find(({ form, dtype }) => form === "expanded" && dtype === settings.cacheType)!.bytes;
