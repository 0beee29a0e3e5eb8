/** On what, and under what name, a model is served where nobody says. */
import type { Blueprint } from "../../cost/blueprint.ts";
import { groups } from "../../cost/group.ts";
import { ShapeError } from "../../tensor/error.ts";
import { fitsSomehow, isServing } from "../choose.ts";
import type { Preset } from "../preset/preset.ts";
import { type Launch, type LaunchQuestion, launchOf } from "./launch.ts";

/** Groups that are tried beyond the first that holds weights and caches: what computing takes beside them may need the next. */
const TRIES = 8;

/**
 * The command line on the smallest listed group that has room for what is asked, by what the engine allocates.
 *
 * Errors: as `launchOf`, of the largest group that was tried where none has room.
 */
export function smallestLaunch(blueprint: Blueprint, question: Omit<LaunchQuestion, "group">): Launch {
  const fitting = groups.filter((group) => isServing(group) && fitsSomehow(blueprint, group, question.settings));
  let refusal: ShapeError | undefined;
  for (const group of fitting.slice(0, TRIES))
    try {
      return launchOf(blueprint, { ...question, group });
    } catch (error) {
      // What an engine cannot run at all is said at once.
      if (!(error instanceof ShapeError)) throw error;
      refusal = error;
    }
  throw (
    refusal ??
    new ShapeError(
      `--serve ${question.engine}: got ${blueprint.name} with ${question.settings.batch} x ${question.settings.context} tokens, expected less than the largest group listed holds; ask for less`,
    )
  );
}

/** What an engine loads for a preset: the repository on the hub that its source names, else its own name. */
export function pathOfPreset({ name, source }: Preset): string {
  return /^[\w.-]+\/[\w.-]+/.exec(source)?.[0] ?? name;
}
