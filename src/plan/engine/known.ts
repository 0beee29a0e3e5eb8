import type { Blueprint } from "../../cost/blueprint.ts";
import type { Dtype } from "../../cost/type.ts";
import type { Plan } from "../schema.ts";
import { biformEngines } from "./biform.ts";
import { type Engine, type EngineSettings, usual } from "./engine.ts";
import { ikEngines } from "./ik.ts";
import { isLacking } from "./lacking.ts";
import { valuesOf } from "./layer.ts";
import { llamaEngines } from "./llamacpp.ts";
import { mlxEngines } from "./mlx.ts";
import { bytesAt, lineOf, longestIn, type Part } from "./part.ts";
import { sglangEngines } from "./sglang.ts";
import { transformersEngines } from "./transformers.ts";
import { vllmEngines } from "./vllm.ts";

/** What an engine keeps of a model: a row of a plan's `engines`. */
export type EngineRow = Plan["engines"][number];

/** All engines that something is known of, each in some versions. */
export const engines: readonly Engine[] = [
  ...vllmEngines,
  ...sglangEngines,
  ...llamaEngines,
  ...ikEngines,
  ...transformersEngines,
  ...mlxEngines,
  ...biformEngines,
];

/**
 * What an engine allocates on one rank for a model started like this; undefined where it cannot: a type that it does not have, rows
 * that are no whole blocks of it, pages that cannot be made alike.
 */
export function partsOf(
  { rows, parts }: Engine,
  blueprint: Blueprint,
  settings: Partial<EngineSettings> = {},
): Part[] | undefined {
  return parts(rows(blueprint), { ...usual, ...settings }, blueprint.architecture);
}

/** What rows are asked for: tokens, sequences, and machines with the bytes that they have beside the weights. */
export interface EngineQuestion {
  readonly context?: number;
  readonly batch?: number;
  readonly rooms?: readonly { readonly machine: string; readonly room: number }[];
  /** How engines are started, where not as usual; types go before the cache's, sequences before `batch`. */
  readonly start?: Partial<EngineSettings> | undefined;
}

/**
 * What named engines and versions keep of a model, where it is known: in a + b S, for `context` tokens in each of `batch` sequences,
 * and the most tokens on each machine beside what computing takes; those that do not have the type are left out.
 */
export function enginesOf(
  blueprint: Blueprint,
  cacheType: Dtype,
  { context = 1, batch = 1, rooms = [], start = {} }: EngineQuestion = {},
): EngineRow[] {
  const count = blueprint.layers.reduce((sum, kind) => sum + kind.count, 0);
  return engines
    .filter(({ engine, covers }) => covers(blueprint) && !isLacking(engine, blueprint))
    .flatMap((known) => {
      const { engine, version, keeps, source } = known;
      const settings = { ...usual, keyType: cacheType, valueType: cacheType, sequences: batch, ...start };
      const parts = partsOf(known, blueprint, settings);
      if (!parts) return [];
      const computeBytes = known.compute?.(blueprint, settings);
      const longest = longestIn(parts);
      const { fixed, perToken } = lineOf(parts);
      const values = known.rows(blueprint).reduce((sum, row) => sum + row.count * valuesOf(row), 0);
      return {
        engine,
        version,
        keeps,
        source,
        valuesPerTokenPerLayer: values / count,
        fixedBytes: fixed,
        bytesPerToken: perToken,
        bytes: bytesAt(parts, context),
        computeBytes,
        longestContext: rooms.map(({ machine, room }) => {
          const tokens = longest(Math.max(0, room - (computeBytes ?? 0)));
          return { machine, tokens: Number.isFinite(tokens) ? tokens : null };
        }),
      };
    });
}
