import type { Blueprint } from "../../cost/blueprint.ts";
import { bytes } from "../../draw/quantity.ts";
import { type OpenOptions, openPlan } from "../../plan/open.ts";

/** Milliseconds before a command says that it waits for a server, and between two such lines. */
const [QUIET, EVERY] = [2000, 5000];

const write = (line: string) => void process.stderr.write(`${line}\n`);

/** As `openPlan`; says on standard error what a name was taken for, and, where a server takes its time, how much has come. */
export async function openWatched(model: string, options: OpenOptions): Promise<Blueprint> {
  let have = 0;
  const start = performance.now();
  const tell = () =>
    write(`reading ${model}: ${bytes(have)} after ${Math.round((performance.now() - start) / 1000)} s; Ctrl-C stops`);
  let timer = setTimeout(() => {
    tell();
    timer = setInterval(tell, EVERY);
  }, QUIET);
  try {
    return await openPlan(model, {
      ...options,
      say: (line) => write(`note: ${line}`),
      watch(piece) {
        have += piece;
      },
    });
  } finally {
    clearTimeout(timer);
  }
}
