/** The page: one state, shown anew at every change. */
import { mountComparison, showComparison } from "./comparison.ts";
import { mountCrossover } from "./crossover.ts";
import { bindFiles } from "./drop.ts";
import { byId } from "./element.ts";
import { showFamily } from "./family.ts";
import { bindFields, fillFields } from "./form.ts";
import { mountForms } from "./forms.ts";
import { bindGallery } from "./gallery.ts";
import { mountPlanner, showPlan } from "./planner.ts";
import { bindSorting } from "./sort.ts";
import { openStore, type State, type Store } from "./state.ts";
import { showSurvey } from "./survey.ts";

/** Parts of the page, and the keys that each follows: it is made anew where one of them changed. */
const use = ["context", "batch", "step", "weights", "cache", "memory", "machines"] as const;
const sizes = ["width", "heads", "layers", "vocabulary"] as const;
const parts: readonly (readonly [show: (state: State) => unknown, keys: readonly (keyof State)[]])[] = [
  [showPlan, ["kind", "model", "title", "config", "bytes", "rest", "as", "spec", "layout", ...sizes, ...use]],
  [showComparison, ["compare", "kind", ...sizes, ...use]],
  [showSurvey, ["survey", ...use]],
  [showFamily, ["fwidth", "fheads", "match"]],
  [({ explorer }) => crossover?.show(explorer), ["explorer"]],
];

let shown: State | undefined;
let crossover: ReturnType<typeof mountCrossover> | undefined;

function show(state: State, complaints: readonly string[]): void {
  const start = performance.now();
  byId("complaints").replaceChildren(
    ...complaints.map((text) =>
      Object.assign(document.createElement("p"), { className: "problem", textContent: text }),
    ),
  );
  fillFields(state);
  for (const [part, keys] of parts) if (keys.some((key) => shown?.[key] !== state[key])) part(state);
  shown = state;
  byId("timing").textContent = `Answered in ${(performance.now() - start).toFixed(1)} ms.`;
}

/** Brings a section into view, and the focus to its heading. */
function goTo(section: State["at"]): void {
  if (section === "") return;
  const heading = byId(`${section}-heading`);
  heading.focus({ preventScroll: true });
  heading.scrollIntoView({ block: "start" });
}

function bindLinks(store: Store): void {
  for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-at]"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const at = link.dataset.at as State["at"];
      store.change({ at });
      goTo(at);
    });
}

const store = openStore(show);
mountPlanner(store);
mountComparison(store);
show(store.now, store.complaints);
crossover = mountCrossover(byId("explorer"), {
  state: store.now.explorer,
  changed: (explorer, how) => store.change({ explorer }, how),
});
mountForms(byId("drawing"));
bindFields(store);
bindGallery();
bindSorting();
bindFiles(store, goTo);
bindLinks(store);
goTo(store.now.at);
