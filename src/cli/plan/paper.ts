import { essay, type PaperRow, paperRows } from "../../cost/paper.ts";
import { FormatError } from "../../tensor/error.ts";

/** `biform plan --paper`: parameters and cache counted from the definitions, beside what a paper published. Throws FormatError. */
export function showPaper(paper: string, { json }: { json: boolean }): void {
  if (paper !== "10907") throw new FormatError(`--paper: got "${paper}", expected 10907; no other tables are known`);
  const rows = paperRows();
  if (json) console.log(JSON.stringify({ settings: essay, rows }, null, 2));
  else print(rows);
}

function print(rows: readonly PaperRow[]): void {
  const { vocabulary, width, layers } = essay;
  console.log(
    `kexue.fm/archives/10907: width ${width}, ${layers} layers, vocabulary ${vocabulary} (ours: not stated), untied.\n`,
  );
  console.log(
    `${"".padEnd(11)}${"variant".padEnd(20)}${"heads".padStart(5)}${"MLP".padStart(7)}${"QO-LoRA".padStart(9)}` +
      `${"parameters".padStart(14)}${"published".padStart(11)}${"cache".padStart(7)}${"published".padStart(11)}${"loss".padStart(7)}`,
  );
  let same = 0;
  for (const { variant, parts, heads, intermediate, qoLora, parameters, cache, published } of rows) {
    const agree = Math.round(parameters / 1e6) === published.parameters / 1e6 && cache === published.cache;
    if (agree) same++;
    console.log(
      `${parts.padEnd(11)}${variant.padEnd(20)}${String(heads).padStart(5)}${String(intermediate).padStart(7)}` +
        `${(qoLora ? "yes" : "no").padStart(9)}${String(parameters).padStart(14)}${`${published.parameters / 1e6}M`.padStart(11)}` +
        `${String(cache).padStart(7)}${String(published.cache).padStart(11)}${published.loss.toFixed(3).padStart(7)}${agree ? "" : "  DIFFERS"}`,
    );
  }
  console.log(`\n${same} of ${rows.length} rows agree with what was published, parameters to the million printed.`);
}
