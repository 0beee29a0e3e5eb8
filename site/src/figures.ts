/** What was measured of this machine's devices, kept in the browser for the choice of forms; without storage, as long as the page is open. */
import { addFigures, figuresText, type Measured, readFigures } from "biform/web";

const KEY = "biform machine";
let here: Measured[] = [];

/** All that is kept. A browser may refuse its storage, and what lies there may be anything. */
export function keptFigures(): readonly Measured[] {
  try {
    const text = localStorage.getItem(KEY);
    return text === null ? here : (readFigures(text) ?? here);
  } catch {
    return here;
  }
}

/** Keeps figures in the place of older ones of their device; false where that ends with the page. */
export function keepFigures(measured: Measured): boolean {
  here = addFigures(keptFigures(), measured);
  try {
    localStorage.setItem(KEY, figuresText(here));
    return true;
  } catch {
    return false;
  }
}
