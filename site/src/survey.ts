/** Every preset on every machine: one number each, shaded by its size. */
import {
  compact,
  context,
  countParameters,
  deviceMemory,
  escapeHtml,
  type Group,
  groupRow,
  groups,
  hostOf,
  machineRows,
  machines,
  type Plan,
  presets,
  smallestGroup,
  time,
  tokens,
} from "biform/web";
import { showIn } from "./form.ts";
import { settingsOf } from "./planned.ts";
import { type Column, sortable } from "./sort.ts";
import { presetBlueprint } from "./source.ts";
import type { State } from "./state.ts";

/** Tokens of all models where the planner's context is empty. */
const shared = 32_768;

type Measure = State["survey"];
type Machine = Plan["machines"][number];
interface Row {
  readonly name: string;
  readonly parameters: number;
  readonly values: readonly (number | null | undefined)[];
  /** The smallest of those that are sold, several of one among them, on which the model fits. */
  readonly group: Group | undefined;
  /** The number there, in the best of its layouts. */
  readonly there: number | null | undefined;
}

const measured: Readonly<Record<Measure, (machine: Machine, cacheType: string) => number | null | undefined>> = {
  longest: ({ longestContext }, cacheType) => {
    const forms = longestContext.filter(({ dtype }) => dtype === cacheType).map(({ tokens }) => tokens);
    return forms.includes(null) ? null : forms.length > 0 ? Math.max(...(forms as number[])) : undefined;
  },
  decode: ({ decode, fits }) => (fits === false ? 0 : decode[0]?.tokensPerSecond),
  prefill: ({ prefill, fits }) => (fits === false ? 0 : prefill[0]?.seconds),
};

/** What of a machine's figures each is taken from. */
const figureOf = { longest: "longestContext", decode: "decode", prefill: "prefill" } as const;

/** The same over several devices: in the layout that is best at it, of those that fit. */
const grouped: Readonly<Record<Measure, (layouts: Plan["groups"][number]["layouts"]) => number | null | undefined>> = {
  // A layout without a longest context is never full.
  longest: (layouts) =>
    layouts.some(({ longestContext }) => longestContext === null)
      ? null
      : Math.max(...layouts.map(({ longestContext }) => longestContext!)),
  decode: (layouts) => Math.max(...layouts.flatMap(({ decode }) => decode?.tokensPerSecond ?? [])),
  prefill: (layouts) => Math.min(...layouts.flatMap(({ prefill }) => prefill?.seconds ?? [])),
};

const textOf: Readonly<Record<Measure, (value: number | null | undefined) => string>> = {
  longest: (value) => (typeof value === "number" && value >= 10_000 ? compact(value) : tokens(value)),
  decode: (value) => (value ? compact(value) : "–"),
  prefill: (value) => (value ? time(value) : "–"),
};

/** Plans all presets on all machines and says how long that took. */
export function showSurvey(state: State): void {
  showIn("survey-table", "survey-problem", () => {
    const { survey } = state;
    const start = performance.now();
    const hosts = machines.map(hostOf);
    const settings = { ...settingsOf(state, { maxContext: shared }), hosts, layouts: [] };
    const rows = presets.map(({ name }): Row => {
      const blueprint = presetBlueprint(name);
      const values = machineRows(blueprint, settings, [figureOf[survey]]).map((row) =>
        measured[survey](row, settings.cacheType),
      );
      const group = smallestGroup(blueprint, settings);
      const at = hosts.findIndex(({ name }) => name === group?.name);
      const several = group && at < 0 ? groupRow(blueprint, group, settings).layouts.filter(({ fits }) => fits) : [];
      const there = at >= 0 ? values[at] : several.length > 0 ? grouped[survey](several) : undefined;
      return { name, parameters: countParameters(blueprint).total, values, group, there };
    });
    const took = performance.now() - start;
    const numbers = rows.flatMap(({ values }) => values.filter((value): value is number => Boolean(value)));
    const [low, high] = [Math.log(Math.min(...numbers)), Math.log(Math.max(...numbers))];
    const shade = (value: number | null | undefined) => {
      if (!value) return "";
      const share = (Math.log(value) - low) / (high - low || 1);
      return `background:color-mix(in srgb, var(--accent) ${Math.round(share * 45)}%, transparent)`;
    };
    const columns: Column<Row>[] = [
      { head: "model", text: ({ name }) => escapeHtml(name), value: ({ name }) => name },
      {
        head: "parameters",
        text: ({ parameters }) => compact(parameters),
        value: ({ parameters }) => parameters,
      },
      {
        head: "fits on",
        words: true,
        text: ({ group }) => (group ? escapeHtml(group.name) : "–"),
        value: ({ group }) => (group ? group.count * deviceMemory(group) : 2 ** 60),
      },
      {
        head: "there",
        text: ({ there }) => textOf[survey](there),
        value: ({ there }) => there ?? 2 ** 60,
      },
      ...hosts.map(
        ({ name }, at): Column<Row> => ({
          head: name,
          text: ({ values }) => textOf[survey](values[at]),
          value: ({ values }) => values[at] ?? 2 ** 60,
          style: ({ values }) => shade(values[at]),
        }),
      ),
    ];
    const about = {
      longest: "The longest context beside the weights",
      decode: `Tokens per second of decoding after ${context(settings.context)} tokens, where they fit`,
      prefill: `Time of a prefill of ${context(settings.context)} tokens, where they fit`,
    }[survey];
    const caption = `${about}. ${presets.length} models × ${hosts.length} machines and the smallest of ${groups.length} with groups in ${took.toFixed(0)} ms; darker is more`;
    return sortable("survey", caption, columns, rows);
  });
}
