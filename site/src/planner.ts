/** The planner: what there is to choose from, and the answers. */
import {
  type Blueprint,
  bytesOf,
  dtypes,
  FormatError,
  type Host,
  hostOf,
  layOut,
  machineOf,
  machines,
  type Plan,
  type PlanSettings,
  plan,
  presets,
  tokensOf,
} from "biform/web";
import { answer, details, headline } from "./answer.ts";
import { byId, messageOf } from "./element.ts";
import { drawSoon } from "./gallery.ts";
import { modelOf, presetBlueprint } from "./source.ts";
import type { State, Store } from "./state.ts";

/** Tokens where neither the state nor the model says how many. */
const usualContext = 8192;

/** What is asked for, of a model. Throws ShapeError for amounts that are none. */
export function settingsOf(state: State, { maxContext = usualContext }: Pick<Blueprint, "maxContext">): PlanSettings {
  return {
    context: state.context.trim() === "" ? maxContext : tokensOf("context", state.context),
    batch: state.batch,
    step: state.step,
    weightType: state.weights,
    cacheType: state.cache,
    hosts: hostsOf(state),
    layouts: state.layout,
  };
}

/** The machines that the state names, with its memory where it gives one. Throws FormatError for a name that is none. */
function hostsOf({ machines: asked, memory }: State): Host[] {
  const own = memory.trim() === "" ? {} : { memory: bytesOf("memory", memory) };
  return asked.map((name) => {
    const machine = machineOf(name);
    if (!machine)
      throw new FormatError(
        `machine: got "${name}", expected one of ${machines.map(({ name }) => name).join(", ")}; choose from the list`,
      );
    return { ...hostOf(machine), ...own };
  });
}

/** Fills the form with what there is to choose from. */
export function mountPlanner(store: Store): void {
  const options = Object.keys(dtypes).map((name) => new Option(name, name));
  byId("weights").append(new Option("the file’s own", "file"), ...options.map((option) => option.cloneNode(true)));
  byId("cache").append(...options);
  listMachines(store.now.machines);
  listPresets("", store.now.model);
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  const search = byId<HTMLInputElement>("search");
  search.addEventListener("input", () => listPresets(search.value, store.now.model));
}

/** The presets whose name or kind of attention holds every word of the search. */
function listPresets(search: string, chosen: string): void {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = presets
    .map(({ name, aliases = [] }) => {
      const { layers } = presetBlueprint(name);
      const kinds = [...new Set(layers.map(({ attention }) => attention.variant.name))].join(" + ");
      return { name, text: `${name} · ${kinds}`, searched: [name, ...aliases, kinds].join(" ").toLowerCase() };
    })
    .filter(({ searched }) => words.every((word) => searched.includes(word)));
  byId("model").replaceChildren(...rows.map(({ name, text }) => new Option(text, name, false, name === chosen)));
  byId("found").textContent = words.length === 0 ? "" : `${rows.length} of ${presets.length} presets`;
}

function listMachines(chosen: readonly string[]): void {
  const groups = Map.groupBy(machines, ({ kind }) => kind);
  const parts = [...groups].map(([kind, members]) => {
    const group = document.createElement("details");
    group.open = members.some(({ name }) => chosen.includes(name));
    const summary = document.createElement("summary");
    summary.textContent = kind;
    const boxes = members.map(({ name, source }) => {
      const label = document.createElement("label");
      label.title = source;
      label.append(
        Object.assign(document.createElement("input"), { type: "checkbox", name: "machines", value: name }),
        ` ${name}`,
      );
      return label;
    });
    group.append(summary, ...boxes);
    return group;
  });
  byId("machines").replaceChildren(...parts);
}

/** The plan with those of the layouts that a model can be laid out in, and why it cannot in the others. Throws for all else. */
function planned(blueprint: Blueprint, settings: PlanSettings): { found: Plan; refused: string[] } {
  const found = plan(blueprint, { ...settings, layouts: [] });
  const layouts: Plan["layouts"] = [];
  const refused: string[] = [];
  for (const layout of settings.layouts)
    try {
      layouts.push(layOut(blueprint, layout, settings));
    } catch (error) {
      refused.push(messageOf(error));
    }
  return { found: { ...found, layouts }, refused };
}

/** Shows the plan that a state asks for; where there is none the page says why, and the last answers go. */
export function showPlan(state: State): void {
  const [model, use] = [byId("model-problem"), byId("use-problem")];
  [model.textContent, use.textContent] = ["", ""];
  let problem = model;
  try {
    const blueprint = modelOf(state);
    problem = use;
    byId<HTMLInputElement>("context").placeholder = String(blueprint.maxContext ?? usualContext);
    const settings = settingsOf(state, blueprint);
    const { found, refused } = planned(blueprint, settings);
    use.textContent = refused.join(" ");
    byId("headline").textContent = headline(found);
    byId("answer").innerHTML = answer(found);
    byId("details").innerHTML = details(found);
    drawSoon(blueprint, settings);
  } catch (error) {
    problem.textContent = messageOf(error);
    for (const id of ["headline", "answer", "details"]) byId(id).replaceChildren();
    drawSoon();
  }
}
