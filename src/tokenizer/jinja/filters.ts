// All filters by their names.
import { listFilters } from "./sequence.ts";
import type { Given, Value } from "./value.ts";
import { textFilters } from "./write.ts";

export type Filter = (value: Value, given: Given) => Value;

/** Filters of Jinja2 that make HTML, shuffle, or lay out text, which no known chat template uses. */
export const refusedFilters: ReadonlySet<string> = new Set([
  "filesizeformat",
  "pprint",
  "random",
  "striptags",
  "urlize",
  "wordwrap",
  "xmlattr",
]);

/** Filters of Jinja2 3.1, with `tojson` as transformers has it. */
export const filters: ReadonlyMap<string, Filter> = new Map([
  ...Object.entries(textFilters),
  ...Object.entries(listFilters),
]);
