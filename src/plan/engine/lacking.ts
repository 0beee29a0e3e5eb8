import type { Blueprint } from "../../cost/blueprint.ts";

/** An engine's version that has no class for some models, by its own list of all it has: what these are called, by architecture. */
interface Lack {
  readonly engine: string;
  readonly version: string;
  readonly models: Readonly<Record<string, string>>;
  readonly source: string;
}

const lacks: readonly Lack[] = [
  {
    engine: "vLLM",
    version: "0.33",
    models: {
      axk2: "A.X K2",
      motif3: "Motif 3",
      longcat_flash_sparse: "LongCat-Flash-Lite-Sparse",
      rwkv7: "RWKV-7",
      solar_open: "Solar Open",
      plm: "PLM",
      youtu: "Youtu-LLM",
      youtu_llm: "Youtu-LLM",
      nanochat: "nanochat",
    },
    source: "vllm/model_executor/models/registry.py",
  },
];

/** Whether an engine has no class for a model. */
export const isLacking = (engine: string, { architecture }: Blueprint): boolean =>
  lacks.some((lack) => engine.startsWith(lack.engine) && Object.hasOwn(lack.models, architecture));

/** What engines are known not to run of a model: a row that is missing for this reason is no gap. */
export function lackingOf({ architecture }: Blueprint): string[] {
  return lacks
    .filter(({ models }) => Object.hasOwn(models, architecture))
    .map(
      ({ engine, version, models, source }) =>
        `${engine} ${version} has no class of its own for ${models[architecture]} (${source})`,
    );
}
