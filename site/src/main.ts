/** The page: one state, shown anew at every change. A tab's part is read and made when it is first shown. */
import { byId } from "./element.ts";
import { bindFields, fillFields } from "./form.ts";
import { mountPlanner, type PlannerTab, plannerTabs, showAnswers, showFirst } from "./planner.ts";
import { bindSorting } from "./sort.ts";
import { openStore, type State, type Tab } from "./state.ts";
import { bindTabs, showTab } from "./tabs.ts";

type Keys = readonly (keyof State)[];
type Show = (state: State) => void;

const use: Keys = ["context", "batch", "step", "weights", "cache", "memory", "machines"];
const sizes: Keys = ["width", "heads", "layers", "vocabulary"];
const model: Keys = [
  "kind",
  "model",
  "title",
  "config",
  "bytes",
  "rest",
  "as",
  "spec",
  "layout",
  "engine",
  "offload",
  ...sizes,
  ...use,
];

/** The keys that a tab follows: it is made anew where one of them changed. */
const keysOf: Readonly<Record<Tab, Keys>> = {
  memory: model,
  machines: model,
  layers: model,
  engines: [...model, "serve"],
  compare: ["compare", "kind", ...sizes, ...use],
  survey: ["survey", ...use],
  crossover: ["explorer"],
  forms: [],
  proof: [],
  family: ["fwidth", "fheads", "match"],
  run: [],
  train: [],
  reports: [],
};

/** What shows a tab; that of the planner's is there from the start, the others' is read when it is first asked for. */
const shows = new Map<Tab, Show>(plannerTabs.map((tab) => [tab, (state) => showAnswers(tab, state)]));
const readers: Readonly<Record<Exclude<Tab, PlannerTab>, () => Promise<Show>>> = {
  async compare() {
    const { mountComparison, showComparison } = await import("./comparison.ts");
    mountComparison(store);
    return showComparison;
  },
  survey: async () => (await import("./survey.ts")).showSurvey,
  async crossover() {
    const { mountCrossover } = await import("./crossover.ts");
    const { show } = mountCrossover(byId("explorer"), {
      state: store.now.explorer,
      changed: (explorer, how) => store.change({ explorer }, how),
    });
    return ({ explorer }) => show(explorer);
  },
  async forms() {
    const { mountForms } = await import("./forms.ts");
    mountForms(byId("drawing"));
    return () => {};
  },
  async proof() {
    const { mountTrial } = await import("./trial.ts");
    mountTrial();
    return () => {};
  },
  family: async () => (await import("./family.ts")).showFamily,
  async run() {
    const { mountRunner } = await import("./runner.ts");
    mountRunner();
    return () => {};
  },
  async train() {
    const { mountTrainer } = await import("./trainer.ts");
    mountTrainer();
    return () => {};
  },
  reports: async () => () => {},
};

const shown = new Map<Tab, State>();
let planned: State | undefined;

const differ = (keys: Keys, before: State | undefined, state: State) =>
  !before || keys.some((key) => before[key] !== state[key]);

function showPart(state: State): void {
  const { tab } = state;
  const show = shows.get(tab);
  if (!show) void read(tab as keyof typeof readers);
  else if (differ(keysOf[tab], shown.get(tab), state)) {
    shown.set(tab, state);
    show(state);
  }
}

const reading = new Set<Tab>();

/** Reads what shows a tab, once, and shows the state as it is then. */
async function read(tab: keyof typeof readers): Promise<void> {
  if (reading.has(tab)) return;
  reading.add(tab);
  shows.set(tab, await readers[tab]());
  showPart(store.now);
}

function show(state: State, complaints: readonly string[]): void {
  const start = performance.now();
  byId("complaints").replaceChildren(
    ...complaints.map((text) =>
      Object.assign(document.createElement("p"), { className: "problem", textContent: text }),
    ),
  );
  showTab(state);
  fillFields(state);
  if (differ(model, planned, state)) showFirst(state);
  planned = state;
  showPart(state);
  byId("timing").textContent = `Answered in ${(performance.now() - start).toFixed(1)} ms.`;
}

const store = openStore(show);
mountPlanner(store);
show(store.now, store.complaints);
bindTabs(store);
bindFields(store);
bindSorting();
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("headline").focus();
});
void import("./drop.ts").then(({ bindFiles }) => bindFiles(store));
// For those who wait for it, as tests do.
document.documentElement.dataset.ready = "";
