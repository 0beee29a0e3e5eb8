// The thread that renders chat templates: started by template.ts, which limits its memory and its time.
import { parentPort } from "../tensor/node.ts";
import { type Job, renderer } from "./job.ts";

const render = renderer();
parentPort!.on("message", (job: Job) => parentPort!.postMessage(render(job)));
parentPort!.postMessage("ready");
