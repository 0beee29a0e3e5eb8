// What Biform writes for chat templates, for render.py: JSON in, JSON out.
import { text } from "node:stream/consumers";
import { parseExact } from "../src/tokenizer/jinja/exact.ts";
import { Jinja } from "../src/tokenizer/jinja/jinja.ts";

const { templates, values } = JSON.parse(await text(process.stdin)) as { templates: string[]; values: string[] };
const date = new Date(2026, 2, 7, 9, 5, 4);

/** What a template writes for each of the values; null where it refuses. */
function render(template: string): (string | null)[] {
  const attempt = <T>(run: () => T): T | null => {
    try {
      return run();
    } catch {
      return null;
    }
  };
  const jinja = attempt(() => new Jinja(template));
  return values.map((one) => attempt(() => jinja?.render(parseExact(one) as Record<string, unknown>, date) ?? null));
}

console.log(JSON.stringify(templates.map(render)));
