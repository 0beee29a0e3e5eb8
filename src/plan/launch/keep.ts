/** What an engine keeps of a plan's sequences, and the flags of its cache. */
import { type Blueprint, draftOf } from "../../cost/blueprint.ts";
import { formsOf } from "../../cost/cost.ts";
import { rankCache, stageShare } from "../../cost/rank.ts";
import type { Split } from "../../cost/split.ts";
import { FormatError } from "../../tensor/error.ts";
import { engines, partsOf } from "../engine/known.ts";
import { bytesAt } from "../engine/part.ts";
import type { PlanSettings } from "../plan.ts";
import { enginesBy, type Flag } from "./flag.ts";
import type { LaunchQuestion } from "./launch.ts";

/** The layers that propose tokens, where a step has several. */
export const draftIn = (blueprint: Blueprint, { step }: PlanSettings) =>
  step > 1 ? [draftOf(blueprint)].filter((draft) => draft !== undefined) : [];

/** The rows that are known of an engine as it is now; where it has none of its own, those that it shares with others. */
function rowsFor(row: string, blueprint: Blueprint) {
  const known = engines.filter(
    ({ engine, version, covers }) => engine.split(", ").includes(row) && !/before/.test(version) && covers(blueprint),
  );
  const own = known.filter(({ engine }) => /^[^,]+(, FlashMLA)?$/.test(engine));
  return own.length ? own : known;
}

/** What an engine keeps of all sequences of a rank, and the flags of its cache. */
export function keptBy(blueprint: Blueprint, { engine, settings }: LaunchQuestion, split: Split) {
  const { title, version, row, cacheTypes } = enginesBy[engine];
  const { cacheType, step, batch } = settings;
  const name = cacheTypes[cacheType];
  if (name === undefined)
    throw new FormatError(
      `--serve ${engine}: got --cache ${cacheType}, expected ${Object.keys(cacheTypes).join(", ")}; ${title} ${version} has no other`,
    );
  const sequences = Math.ceil(batch / split.data);
  const share = stageShare(blueprint, split.pipeline);
  const started = {
    ...settings.engine,
    keyType: cacheType,
    valueType: cacheType,
    sequences,
    tensor: split.tensor,
    drafts: step - 1,
  };
  const rows = rowsFor(row, blueprint);
  const packed = rows.filter(({ engine }) => engine.includes("FlashMLA"));
  const plain = rows.filter((known) => !packed.includes(known));
  const wanted = packed.length && (cacheType === "float8" || !plain.length) ? packed : plain;
  const found = wanted.flatMap((known) => {
    const parts = partsOf(known, blueprint, started);
    return parts ? [{ known, parts }] : [];
  });
  // Where a kernel that depends on the device decides, what takes most fits with either.
  const most = found.toSorted((a, b) => bytesAt(b.parts, settings.context) - bytesAt(a.parts, settings.context))[0];
  if (wanted.length && !most)
    throw new FormatError(
      `--serve ${engine}: got --cache ${cacheType}, expected another: ${title} does not have it for ${blueprint.architecture}`,
    );
  const drafted = draftIn(blueprint, settings).map((draft) =>
    rankCache(draft, split, formsOf(draft).at(-1)!, settings),
  );
  const own = most ? undefined : rankCache(blueprint, split, formsOf(blueprint).at(-1)!, settings);
  const bytesOf = (tokens: number) =>
    (most ? share * bytesAt(most.parts, tokens) : sequences * own!(tokens)) +
    sequences * drafted.reduce((sum, draft) => sum + draft(tokens), 0);
  const is = packed.length && wanted === packed && engine === "vllm";
  const value = is ? "fp8_ds_mla" : wanted === packed ? "fp8_e4m3" : name;
  const block = most && /--block-size (\d+)/.exec(most.known.version)?.[1];
  const why =
    wanted === packed
      ? most!.known.keeps
      : value === "auto"
        ? "16 bits, as the model computes"
        : `${cacheType}, as planned`;
  return {
    bytesOf,
    by: most
      ? `${most.known.engine} ${most.known.version} (${most.known.source})`
      : "the sizes alone, since what the engine pads is not known",
    flags: [
      { flag: "--kv-cache-dtype", value, why },
      ...(block ? [{ flag: "--block-size", value: block, why: "tokens of a block, as this format has them" }] : []),
    ] satisfies Flag[],
  };
}
