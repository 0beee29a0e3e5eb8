/** The planner: a form that is the state, and the answers to it. */
import {
  type Blueprint,
  dtypes,
  type Host,
  hostOf,
  machines,
  type Plan,
  type PlanSettings,
  plan,
  presets,
} from "biform/web";
import { answer, headline } from "./answer.ts";
import { byId, messageOf } from "./element.ts";
import { modelOf, presetBlueprint } from "./source.ts";
import type { State, Store } from "./state.ts";

/** Tokens where neither the state nor the model says how many. */
const usualContext = 8192;
const texts = [
  "config",
  "spec",
  "width",
  "heads",
  "layers",
  "vocabulary",
  "context",
  "batch",
  "step",
  "memory",
  "layout",
] as const;
const GiB = 2 ** 30;

/** What is asked for, of a model. Throws ShapeError for a machine that is not known. */
export function settingsOf(state: State, blueprint: Blueprint): PlanSettings {
  return {
    context: state.context ?? Math.min(blueprint.maxContext ?? usualContext, 2 ** 30),
    batch: state.batch,
    step: state.step,
    weightType: state.weights,
    cacheType: state.cache,
    hosts: hostsOf(state),
    layouts: state.layout,
  };
}

/** The machines that the state names, with its memory where it gives one. */
export function hostsOf({ machines: asked, memory }: State): Host[] {
  return machines
    .filter(({ name }) => asked.includes(name))
    .map(hostOf)
    .map((host) => (memory === undefined ? host : { ...host, memory: memory * GiB }));
}

/** Fills the form with what there is to choose from, and makes its changes the state's. */
export function mountPlanner(store: Store): void {
  const form = byId<HTMLFormElement>("settings");
  const options = (names: readonly string[]) => names.map((name) => new Option(name, name));
  byId<HTMLSelectElement>("weights").append(new Option("as in the file", "file"), ...options(Object.keys(dtypes)));
  byId<HTMLSelectElement>("cache").append(...options(Object.keys(dtypes)));
  listMachines();
  listPresets("", store.now.model);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["input", "change"] as const)
    form.addEventListener(kind, ({ target }) =>
      edited(store, target as HTMLInputElement, { passing: kind === "input" }),
    );
}

/** One field changed. What is no value yet, as while typing, is told of beside it and changes nothing. */
function edited(store: Store, field: HTMLInputElement, how: { passing: boolean }): void {
  const { id, name, value } = field;
  if (id === "search") listPresets(value, store.now.model);
  else if (name === "kind") store.change({ kind: value as State["kind"] }, how);
  else if (id === "preset") store.change({ model: value }, how);
  else if (name === "machine") {
    const chosen = [...byId("machines").querySelectorAll<HTMLInputElement>("input:checked")].map(({ value }) => value);
    store.change({ machines: chosen }, how);
  } else if (id === "weights" || id === "cache") store.change({ [id]: value }, how);
  else if (id === "config") store.change({ config: value, file: "config.json" }, how);
  else if (id === "spec") store.change({ spec: value }, how);
  else if (id === "layout") store.change({ layout: value.split(/[\s;]+/).filter(Boolean) }, how);
  else if (texts.includes(id as "context")) {
    const wrong = !field.validity.valid;
    field.setAttribute("aria-invalid", String(wrong));
    byId("use-problem").textContent = wrong ? `${field.labels?.[0]?.textContent}: ${field.validationMessage}` : "";
    if (!wrong) store.change({ [id]: value === "" ? undefined : Number(value) }, how);
  }
}

/** The presets whose name or kind of attention holds every word of the search. */
function listPresets(search: string, chosen: string): void {
  const list = byId<HTMLSelectElement>("preset");
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = presets
    .map(({ name, aliases = [] }) => {
      const { layers } = presetBlueprint(name);
      const kinds = [...new Set(layers.map(({ attention }) => attention.variant.name))].join(" + ");
      return { name, text: `${name} · ${kinds}`, searched: [name, ...aliases, kinds].join(" ").toLowerCase() };
    })
    .filter(({ searched }) => words.every((word) => searched.includes(word)));
  list.replaceChildren(...rows.map(({ name, text }) => new Option(text, name, false, name === chosen)));
  byId("found").textContent = words.length === 0 ? "" : `${rows.length} of ${presets.length} presets`;
}

function listMachines(): void {
  const groups = Map.groupBy(machines, ({ kind }) => kind);
  byId("machines").replaceChildren(
    ...[...groups].map(([kind, members]) => {
      const group = document.createElement("details");
      group.open = kind === "data centre";
      const summary = document.createElement("summary");
      summary.textContent = kind;
      const boxes = members.map(({ name }) => {
        const label = document.createElement("label");
        const box = document.createElement("input");
        Object.assign(box, { type: "checkbox", name: "machine", value: name });
        label.append(box, ` ${name}`);
        return label;
      });
      group.append(summary, ...boxes);
      return group;
    }),
  );
}

/** Puts the state into the form; the field that is being typed in keeps what stands there. */
function fill(state: State): void {
  const put = (id: string, value: string) => {
    const field = byId<HTMLInputElement>(id);
    if (field !== document.activeElement && field.value !== value) field.value = value;
  };
  for (const id of texts) {
    const value = state[id];
    put(id, Array.isArray(value) ? value.join(" ") : String(value ?? ""));
  }
  for (const id of ["weights", "cache"] as const) put(id, state[id]);
  put("preset", state.model);
  for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=kind]"))
    radio.checked = radio.value === state.kind;
  for (const box of document.querySelectorAll<HTMLInputElement>("input[name=machine]"))
    box.checked = state.machines.includes(box.value);
  for (const part of document.querySelectorAll<HTMLElement>("[data-kind]"))
    part.hidden = part.dataset.kind !== state.kind;
}

/** Shows the answers to a state; where there are none it says why, and the last answers stay away. */
export function showPlan(state: State): Plan | undefined {
  fill(state);
  const problem = byId("model-problem");
  try {
    const blueprint = modelOf(state);
    byId<HTMLInputElement>("context").placeholder = String(blueprint.maxContext ?? usualContext);
    const found = plan(blueprint, settingsOf(state, blueprint));
    problem.textContent = "";
    byId("headline").textContent = headline(found);
    byId("answer").innerHTML = answer(found);
    return found;
  } catch (error) {
    problem.textContent = messageOf(error);
    byId("headline").textContent = "";
    byId("answer").replaceChildren();
    return undefined;
  }
}
