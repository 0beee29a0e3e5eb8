import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../../src/tensor/json.ts";

/** A config and what is known of its model. */
export interface KnownConfig {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Of the text model, as transformers counts them. */
  readonly parameters?: number;
}

/** The configs of `hub.jsonl` or `transformers.jsonl`. Some have Infinity, as Python writes it. */
export function readConfigs(file: "hub" | "transformers"): KnownConfig[] {
  return readFileSync(join(import.meta.dirname, `${file}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => parseJson(line) as KnownConfig);
}
