/** What renders chat templates, wherever it runs. */
import { parseExact } from "./jinja/exact.ts";
import { Jinja } from "./jinja/jinja.ts";

/** A template, and what it may read: names and values as JSON that keeps the kinds of numbers, and the time in milliseconds. */
export interface Job {
  readonly text: string;
  readonly values: string;
  readonly time: number;
}

export type Outcome = { readonly text: string } | { readonly error: string };

/** Renders one job after the other; a template that comes again is parsed once. What is wrong with one is its outcome. */
export function renderer(): (job: Job) => Outcome {
  let parsed: { text: string; template: Jinja } | undefined;
  return ({ text, values, time }) => {
    try {
      if (parsed?.text !== text) parsed = { text, template: new Jinja(text) };
      return { text: parsed.template.render(parseExact(values) as Record<string, unknown>, new Date(time)) };
    } catch (error) {
      // A call stack that overflows.
      if (error instanceof RangeError) return { error: "tags, calls or values nested too deeply" };
      return { error: error instanceof Error ? error.message : String(error) };
    }
  };
}
