import type { Command } from "commander";
import { specHelp } from "../attention/names.ts";
import { formsText, variantRows } from "../cost/catalogue.ts";
import { wholeOption } from "./option.ts";

/** `biform variants`: what can be named and what it costs. */
export function variantsCommand(command: Command): void {
  command
    .option("--width <n>", "hidden width", wholeOption("--width"), 2048)
    .option("--heads <n>", "query heads", wholeOption("--heads"), 16)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  biform variants\n  biform variants --width 256 --heads 4 --json")
    .action((options: { width: number; heads: number; json?: true }) => {
      const rows = variantRows(options.width, options.heads);
      if (options.json) {
        console.log(JSON.stringify({ width: options.width, heads: options.heads, variants: rows }, null, 2));
        return;
      }
      console.log(`Per layer and token, width ${options.width}, ${options.heads} heads:\n`);
      console.log(
        `${"variant".padEnd(38)}${"parameters".padStart(11)}${"cache".padStart(7)}${"state".padStart(8)}${"decode B".padStart(10)}  forms (FLOPs per query-key pair)`,
      );
      for (const row of rows) {
        const forms = formsText(row);
        console.log(
          `${row.spec.padEnd(38)}${String(row.parameters).padStart(11)}${String(row.cacheValues).padStart(7)}${String(row.stateValues).padStart(8)}${String(row.decodeBytes).padStart(10)}  ${forms}`,
        );
      }
      console.log(
        "\nDecode B: bytes of cache (16-bit) and state (32-bit) that one token moves after 4096 others.\n\nNames:",
      );
      for (const [example, meaning] of specHelp) console.log(`  ${example.padEnd(30)}${meaning}`);
    });
}
