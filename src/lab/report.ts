/** The report: one HTML file that loads nothing and runs nothing. */
import { JSDOM } from "jsdom";
import { page } from "../draw/html.ts";
import { chapters, heading } from "./chapter.ts";
import type { Comparison } from "./result.ts";

/** The report on a comparison as one self-contained HTML document: no script, no network, light and dark. */
export function report(result: Comparison): string {
  const { window } = new JSDOM("");
  const body = chapters(result, window.document);
  window.close();
  return page(heading(result), body);
}
