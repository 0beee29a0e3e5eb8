import type { Command } from "commander";
import { cacheValues, decodeBytes, formNames, parameterCount, stateValues } from "../attention/define.ts";
import { specHelp } from "../attention/names.ts";
import { parseSpec } from "../attention/spec.ts";
import { wholeOption } from "./option.ts";

/** The specs that help texts and the docs' table show: those of kexue.fm/archives/10907, and one of every other kind. */
export const shownSpecs = [
  "MHA",
  "GQA2-128",
  "GQA1-256",
  "GQA1-256-PR",
  "MLA",
  "MLA-256",
  "MLA-QLoRA",
  "MLA-NoPE",
  "MLA-FoX",
  "MLA-SBA",
  "MLA-DSA2048",
  "GQLA2",
  "GLA2",
  "GTA4",
  "MFA",
  "MFA-PR",
  "MFA-S2",
  "MFA-KR",
  "TPA",
  "TPA-KV",
  "GQA2-(192+64)-S1",
  "GQA2-(192+64)-S2",
  "GQA2-(192+64)-S2-QOLoRA",
  "GQA1-(448+64)-S2-QOLoRA-Norm-Sink:b2",
  "GQA1-(512+64)-S3",
  "GQA2-128-FoX",
  "GQA2-128-FoXPro",
  "GQA2-128-SBA",
  "KDA",
  "GDN",
  "DeltaNet",
] as const;

/** What one row of the table of variants holds; counts are per layer and token. */
export interface VariantRow {
  readonly spec: string;
  readonly parameters: number;
  readonly cacheValues: number;
  /** Numbers in the fixed-size state of a sequence. */
  readonly stateValues: number;
  /** Moved by one token after 4096 others: cache at 16 bits, state at 32. */
  readonly decodeBytes: number;
  /** FLOPs per visible (query, key) pair, and per key that a sparse selection keeps. */
  readonly forms: readonly {
    readonly name: string;
    readonly flopsPerPair: number;
    readonly flopsPerSelected?: number;
  }[];
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
      stateValues: stateValues(variant, sizes),
      decodeBytes: decodeBytes(variant, sizes, 4096),
      forms: formNames(variant, sizes).map((name) => {
        const { pair, selected } = variant.forms[name]!.cost(sizes);
        return { name, flopsPerPair: pair, ...(selected !== undefined && { flopsPerSelected: selected }) };
      }),
      source: variant.source,
    };
  });
}

/** The forms of a row in a line: `expanded 10240, absorbed 34816`. */
export function formsText({ forms }: VariantRow): string {
  return forms
    .map(({ name, flopsPerPair, flopsPerSelected }) =>
      flopsPerSelected === undefined
        ? `${name} ${flopsPerPair}`
        : `${name} ${flopsPerPair} + ${flopsPerSelected} if selected`,
    )
    .join(", ");
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
