/** The page: one state, shown anew at every change. */
import { byId } from "./element.ts";
import { mountPlanner, showPlan } from "./planner.ts";
import { openStore, type State } from "./state.ts";

const sections = ["plan", "compare", "crossover", "forms", "family", "reports"];

function show(state: State, complaints: readonly string[]): void {
  const start = performance.now();
  byId("complaints").replaceChildren(
    ...complaints.map((text) =>
      Object.assign(document.createElement("p"), { className: "problem", textContent: text }),
    ),
  );
  showPlan(state);
  byId("timing").textContent = `answered in ${(performance.now() - start).toFixed(1)} ms`;
}

/** Brings a section into view, and the focus to its heading. */
function goTo(section: string): void {
  const heading = document.querySelector<HTMLElement>(`#${section} [tabindex="-1"]`);
  heading?.focus({ preventScroll: true });
  heading?.scrollIntoView({ block: "start" });
}

const store = openStore(show);
mountPlanner(store);
show(store.now, store.complaints);
if (sections.includes(store.now.at)) goTo(store.now.at);
for (const link of document.querySelectorAll<HTMLAnchorElement>("a[data-at]"))
  link.addEventListener("click", (event) => {
    event.preventDefault();
    store.change({ at: link.dataset.at as State["at"] });
    goTo(link.dataset.at!);
  });
