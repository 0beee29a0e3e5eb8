/** The tabs: one is shown, the address names it, and arrow keys go from one to the next. */
import { byId } from "./element.ts";
import { type State, type Store, type Tab, tabs, writeHash } from "./state.ts";

const tabOf = (name: Tab) => byId<HTMLAnchorElement>(`tab-${name}`);

/** Shows the state's tab; each of the others is a link to itself, everything else as it is. */
export function showTab(state: State): void {
  for (const name of tabs) {
    const [tab, chosen] = [tabOf(name), name === state.tab];
    tab.href = writeHash({ ...state, tab: name });
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(`panel-${name}`).hidden = !chosen;
  }
  document.documentElement.dataset.tab = state.tab;
}

/** Brings a tab into view where the row of them is wider than the page. */
function reveal(tab: HTMLElement): void {
  tab.scrollIntoView({ block: "nearest", inline: "center" });
}

/** Tabs answer to clicks and keys from now on. */
export function bindTabs(store: Store): void {
  const choose = (name: Tab, how = { passing: false }) => {
    store.change({ tab: name }, how);
    tabOf(name).focus({ preventScroll: true });
    reveal(tabOf(name));
  };
  tabs.forEach((name, at) => {
    const tab = tabOf(name);
    tab.addEventListener("click", (event) => {
      // What else a link can do, as opening beside this page, the browser does.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      choose(name);
    });
    tab.addEventListener("keydown", (event) => {
      const to = {
        ArrowRight: (at + 1) % tabs.length,
        ArrowLeft: (at + tabs.length - 1) % tabs.length,
        Home: 0,
        End: tabs.length - 1,
        " ": at,
      }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      // Arrows pass by tabs: all of them are one entry of the history, which ends when the focus leaves.
      choose(tabs[to]!, { passing: true });
    });
  });
  document.querySelector("[role=tablist]")!.addEventListener("focusout", (event) => {
    const next = (event as FocusEvent).relatedTarget as Element | null;
    if (!next?.closest("[role=tablist]")) store.change({}, { passing: false });
  });
  reveal(tabOf(store.now.tab));
}
