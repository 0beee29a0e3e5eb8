/** The command line with which an engine serves the planned model, with a reason for each flag, or why there is none. */
import { commandText, FormatError, launchGrid, launchOf, pathOfPreset, presetOf, smallestLaunch } from "biform/web";
import { copy } from "./copy.ts";
import { byId } from "./element.ts";
import { showIn } from "./form.ts";
import { groupWith, type Planned } from "./planned.ts";
import type { State } from "./state.ts";

byId("serve-copy").addEventListener("click", () => void copy(byId("serve-command"), byId("serve-copied")));

/** Shows it; nothing where there is no plan. */
export function showServing(planned: Planned | undefined, state: State): void {
  const [line, command] = [byId("serve-line"), byId("serve-command")];
  line.hidden = true;
  [command.textContent, byId("serve-copied").textContent] = ["", ""];
  showIn("serve-flags", "serve-problem", () => {
    if (!planned) return "";
    const { blueprint, settings } = planned;
    const question = { engine: state.serve, path: pathOf(state), settings };
    const [first] = state.machines;
    const launch =
      first === undefined
        ? smallestLaunch(blueprint, question)
        : launchOf(blueprint, { ...question, group: groupWith(first, state.memory) });
    line.hidden = false;
    command.textContent = commandText(launch);
    return launchGrid(launch);
  });
}

/** What the engine is told to load. Throws FormatError for what none loads. */
function pathOf({ kind, model, title, serve }: State): string {
  const preset = kind === "preset" ? presetOf(model) : undefined;
  if (preset) return pathOfPreset(preset);
  // A config lies in the folder that is served: the command is typed there.
  if (kind === "file" && !/\.gguf$/i.test(title)) return ".";
  throw new FormatError(
    `--serve ${serve}: got ${kind === "spec" ? "a variant's name" : title.slice(0, 80)}, expected a preset or a config.json; neither engine loads ${kind === "spec" ? "one" : "a GGUF file"}`,
  );
}
