// The thread that renders chat templates: started by template.ts, which limits its memory and its time.
import { parentPort } from "node:worker_threads";
import { Template } from "@huggingface/jinja";

/** A template, what it may read, and the most characters it may write. */
export interface Job {
  readonly text: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly limit: number;
}

export type Outcome = { readonly text: string } | { readonly error: string };

let parsed: { text: string; template: Template } | undefined;

function render({ text, values, limit }: Job): Outcome {
  try {
    if (parsed?.text !== text) parsed = { text, template: new Template(text) };
    const result = parsed.template.render(values);
    return result.length > limit ? { error: `${result.length} characters, more than ${limit}` } : { text: result };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort!.on("message", (job: Job) => parentPort!.postMessage(render(job)));
parentPort!.postMessage("ready");
