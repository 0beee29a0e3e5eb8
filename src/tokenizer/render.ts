// The thread that renders chat templates: started by template.ts, which limits its memory and its time.
import { parentPort } from "node:worker_threads";
import { parseExact } from "./jinja/exact.ts";
import { Jinja } from "./jinja/jinja.ts";

/** A template, and what it may read: names and values as JSON that keeps the kinds of numbers, and the time in milliseconds. */
export interface Job {
  readonly text: string;
  readonly values: string;
  readonly time: number;
}

export type Outcome = { readonly text: string } | { readonly error: string };

let parsed: { text: string; template: Jinja } | undefined;

function render({ text, values, time }: Job): Outcome {
  try {
    if (parsed?.text !== text) parsed = { text, template: new Jinja(text) };
    return { text: parsed.template.render(parseExact(values) as Record<string, unknown>, new Date(time)) };
  } catch (error) {
    // A call stack that overflows.
    if (error instanceof RangeError) return { error: "tags, calls or values nested too deeply" };
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort!.on("message", (job: Job) => parentPort!.postMessage(render(job)));
parentPort!.postMessage("ready");
