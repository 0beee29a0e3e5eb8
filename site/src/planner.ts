/** The planner: what there is to choose from, the first answer, and the answers of its tabs. */
import {
  besideGrid,
  costsGrid,
  dtypes,
  enginesGrid,
  groupOf,
  groups,
  layersGrid,
  layoutsGrid,
  machines,
  machinesGrid,
  type Plan,
  presets,
  settingsText,
} from "biform/web";
import { groupAnswer, memoryAnswer, notesList } from "./answer.ts";
import { byId, messageOf } from "./element.ts";
import { type FirstAnswer, firstValues, kindsOf } from "./first.ts";
import { fillFields } from "./form.ts";
import { type Planned, planOf, usualContext } from "./planned.ts";
import { modelOf } from "./source.ts";
import type { State, Store, Tab } from "./state.ts";

/** What the page was built with, by the names of presets. */
const built: Readonly<Record<string, FirstAnswer>> = JSON.parse(byId("firsts").textContent);

/** Fills the form with what there is to choose from. */
export function mountPlanner(store: Store): void {
  const options = Object.keys(dtypes).map((name) => new Option(name, name));
  byId("weights").append(new Option("the file’s own", "file"), ...options.map((option) => option.cloneNode(true)));
  byId("cache").append(...options);
  listMachines(store.now.machines);
  mountOther(store);
  listPresets("", store.now.model);
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  const search = byId<HTMLInputElement>("search");
  search.addEventListener("input", () => listPresets(search.value, store.now.model));
  const narrow = matchMedia("(max-width: 860px)");
  narrow.addEventListener("change", () => {
    byId<HTMLDetailsElement>("use").open = !narrow.matches;
    byId<HTMLSelectElement>("model").size = narrow.matches ? 1 : 8;
  });
}

/** The presets whose name or kind of attention holds every word of the search. */
function listPresets(search: string, chosen: string): void {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = presets
    .map(({ name, aliases = [] }) => {
      const kinds = built[name]?.kinds ?? kindsOf(name);
      return { name, text: `${name} · ${kinds}`, searched: [name, ...aliases, kinds].join(" ").toLowerCase() };
    })
    .filter(({ searched }) => words.every((word) => searched.includes(word)));
  byId("model").replaceChildren(...rows.map(({ name, text }) => new Option(text, name, false, name === chosen)));
  byId("found").textContent = words.length === 0 ? "" : `${rows.length} of ${presets.length} presets`;
}

/** Machines by kind and the groups that are sold, with those that were chosen beside them. */
function listMachines(chosen: readonly string[]): void {
  const kinds = Map.groupBy(machines, ({ kind }) => kind as string);
  const several = groups.filter(({ count }) => count > 1);
  const listed = new Map<string, readonly { name: string; title: string }[]>([
    ["groups", several.map((group) => ({ name: group.name, title: group.device.source }))],
    ...[...kinds].map(
      ([kind, members]) => [kind, members.map(({ name, source }) => ({ name, title: source }))] as const,
    ),
  ]);
  const known = new Set([...listed.values()].flat().map(({ name }) => name));
  const others = chosen.filter((name) => !known.has(name));
  if (others.length > 0)
    listed.set(
      "by name",
      others.map((name) => ({ name, title: "" })),
    );
  const parts = [...listed].map(([kind, members]) => {
    const list = document.createElement("details");
    list.open = members.some(({ name }) => chosen.includes(name));
    const summary = document.createElement("summary");
    summary.textContent = kind;
    const boxes = members.map(({ name, title }) => {
      const label = document.createElement("label");
      label.title = title;
      label.append(
        Object.assign(document.createElement("input"), { type: "checkbox", name: "machines", value: name }),
        ` ${name}`,
      );
      return label;
    });
    list.append(summary, ...boxes);
    return list;
  });
  byId("machines").replaceChildren(...parts);
}

/** Lets a machine or a group be added that no list has. */
function mountOther(store: Store): void {
  const [other, problem] = [byId<HTMLInputElement>("other"), byId("machine-problem")];
  const add = () => {
    try {
      const { name } = groupOf(other.value);
      const { machines } = store.now;
      const chosen = machines.includes(name) ? machines : [...machines, name];
      [problem.textContent, other.value] = ["", ""];
      listMachines(chosen);
      store.change({ machines: chosen });
      fillFields(store.now);
    } catch (error) {
      problem.textContent = messageOf(error);
    }
  };
  byId("add-other").addEventListener("click", add);
  other.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
}

let planned: Planned | undefined;

const ofPlan =
  (make: (plan: Plan) => string) =>
  ({ plan }: Planned) =>
    make(plan);

/** Plans what a state asks for and shows the first answer; where there is none the page says why, and the last answer goes. */
export function showFirst(state: State): void {
  const [model, use] = [byId("model-problem"), byId("use-problem")];
  [model.textContent, use.textContent] = ["", ""];
  let problem = model;
  planned = undefined;
  try {
    const blueprint = modelOf(state);
    problem = use;
    byId<HTMLInputElement>("context").placeholder = String(blueprint.maxContext ?? usualContext);
    planned = planOf(blueprint, state);
    use.textContent = planned.refused.join(" ");
    byId("used").textContent = settingsText(planned.plan);
    byId("machines-found").textContent =
      state.machines.length > 0 ? "" : "None chosen: the smallest of each kind on which the model fits.";
  } catch (error) {
    problem.textContent = messageOf(error);
  }
  const values = planned ? firstValues(planned) : [];
  for (const [at, slot] of document.querySelectorAll("[data-first]").entries()) slot.textContent = values[at] ?? "";
}

/** What each tab about the planned model has, as HTML by the place where it stands. */
const places = {
  memory: { answer: ofPlan(memoryAnswer), notes: ofPlan(notesList) },
  machines: { groups: groupAnswer, speed: ofPlan(machinesGrid), layouts: ofPlan(layoutsGrid) },
  layers: { kept: ofPlan(layersGrid), beside: ofPlan(besideGrid), work: ofPlan(costsGrid) },
  engines: { engines: ofPlan(enginesGrid) },
} satisfies Partial<Record<Tab, Readonly<Record<string, (planned: Planned) => string>>>>;

export type PlannerTab = keyof typeof places;

export const plannerTabs = Object.keys(places) as PlannerTab[];

/** Whether a tab answers about the planned model. */
export function isPlannerTab(tab: Tab): tab is PlannerTab {
  return tab in places;
}

/** Shows a tab's answers about the planned model, and the pictures that it has; nothing where there is no plan. */
export function showAnswers(tab: PlannerTab, state: State): void {
  for (const [id, make] of Object.entries(places[tab])) byId(id).innerHTML = planned ? make(planned) : "";
  if (tab === "engines") void import("./serving.ts").then(({ showServing }) => showServing(planned, state));
  if (tab === "memory" || tab === "machines")
    void import("./gallery.ts").then(({ drawSoon }) => drawSoon(tab, planned));
}
