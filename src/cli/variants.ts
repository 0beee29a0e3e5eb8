import type { Command } from "commander";
import { cacheValues, formNames, parameterCount } from "../attention/define.ts";
import { parseSpec, specHelp } from "../attention/spec.ts";
import { wholeOption } from "./option.ts";

/** The specs that help texts and the docs' table show, as kexue.fm/archives/10907 lists them. */
export const shownSpecs = [
  "MHA",
  "GQA2-128",
  "GQA1-256",
  "GQA1-256-PR",
  "MLA",
  "MLA-256",
  "MLA-QLoRA",
  "GQA2-(192+64)-S1",
  "GQA2-(192+64)-S2",
  "GQA2-(192+64)-S2-QOLoRA",
  "GQA1-(512+64)-S3",
] as const;

/** What one row of the table of variants holds; counts are per layer and token. */
export interface VariantRow {
  readonly spec: string;
  readonly parameters: number;
  readonly cacheValues: number;
  readonly forms: readonly { readonly name: string; readonly flopsPerPair: number }[];
  readonly source: string;
}

/** The table of variants at a width and number of heads, from the definitions. */
export function variantRows(width: number, heads: number): VariantRow[] {
  return shownSpecs.map((spec) => {
    const { variant, sizes } = parseSpec(spec, { width, heads });
    return {
      spec,
      parameters: parameterCount(variant, sizes),
      cacheValues: cacheValues(variant, sizes),
      forms: formNames(variant, sizes).map((name) => ({ name, flopsPerPair: variant.forms[name]!.cost(sizes).pair })),
      source: variant.source,
    };
  });
}

/** `biform variants`: what can be named and what it costs. */
export function variantsCommand(program: Command): void {
  program
    .command("variants")
    .description("list the variants, their forms and their costs at a size")
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
        `${"variant".padEnd(26)}${"parameters".padStart(12)}${"cache".padStart(8)}  forms (FLOPs per query-key pair)`,
      );
      for (const row of rows) {
        const forms = row.forms.map(({ name, flopsPerPair }) => `${name} ${flopsPerPair}`).join(", ");
        console.log(
          `${row.spec.padEnd(26)}${String(row.parameters).padStart(12)}${String(row.cacheValues).padStart(8)}  ${forms}`,
        );
      }
      console.log("\nNames:");
      for (const [example, meaning] of specHelp) console.log(`  ${example.padEnd(30)}${meaning}`);
    });
}
