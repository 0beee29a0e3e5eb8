/** The arrows between the branches of a conversation: "2/3", with those before and after. */
import { make, makeButton } from "./element.ts";
import type { Turn } from "./tree.ts";

/** Draws the arrows of a turn among those in its place; nothing where it is alone. `go` shows another. */
export function drawBranches(box: HTMLElement, turn: Turn, turns: readonly Turn[], go: (to: Turn) => void): void {
  const at = turns.indexOf(turn);
  box.hidden = turns.length < 2;
  box.replaceChildren();
  if (box.hidden) return;
  const arrow = (text: string, to: Turn | undefined, step: string) => {
    const button = makeButton(text, () => to && go(to), `${step} of ${turns.length} branches`);
    button.dataset.step = step;
    // Not disabled: whoever steps by keyboard would lose the place at the last one.
    if (!to) button.ariaDisabled = "true";
    return button;
  };
  const place = make(
    "span",
    { "aria-label": `Branch ${at + 1} of ${turns.length}`, role: "img" },
    `${at + 1}/${turns.length}`,
  );
  box.append(arrow("‹", turns[at - 1], "Previous"), place, arrow("›", turns[at + 1], "Next"));
}
