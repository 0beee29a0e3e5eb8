/** The table of variants: what can be named, and what it costs at a size. */
import { cacheValues, decodeBytes, formNames, parameterCount, stateValues } from "../attention/define.ts";
import { parseSpec, type SpecOptions } from "../attention/spec.ts";

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
  /** Moved by one token after others: cache at 16 bits, state at 32. */
  readonly decodeBytes: number;
  /** FLOPs per visible (query, key) pair, and per key that a sparse selection keeps. */
  readonly forms: readonly {
    readonly name: string;
    readonly flopsPerPair: number;
    readonly flopsPerSelected?: number | undefined;
  }[];
  readonly source: string;
}

/** The table of variants at a width and number of heads, from the definitions. */
export function variantRows(width: number, heads: number): VariantRow[] {
  return shownSpecs.map((spec) => variantRow(spec, { width, heads }));
}

/** One row of it; decoding reads `context` tokens, 4096 unless given. Throws ShapeError. */
export function variantRow(spec: string, host: SpecOptions, context = 4096): VariantRow {
  const { variant, sizes } = parseSpec(spec, host);
  return {
    spec,
    parameters: parameterCount(variant, sizes),
    cacheValues: cacheValues(variant, sizes),
    stateValues: stateValues(variant, sizes),
    decodeBytes: decodeBytes(variant, sizes, context),
    forms: formNames(variant, sizes).map((name) => {
      const { pair, selected } = variant.forms[name]!.cost(sizes);
      return { name, flopsPerPair: pair, flopsPerSelected: selected };
    }),
    source: variant.source,
  };
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
