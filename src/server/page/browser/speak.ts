/** What those hear who do not see the page: whole blocks of an answer as they stand, not every token. */
import { make } from "./element.ts";

/** Says a text politely through an element that is a live region; what was said long ago leaves it. */
export function speak(region: HTMLElement, text: string): void {
  const said = text.trim();
  if (!said) return;
  region.append(make("p", {}, said));
  while (region.childElementCount > 20) region.firstElementChild!.remove();
}
