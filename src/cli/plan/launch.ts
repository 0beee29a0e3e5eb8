import { readdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Blueprint } from "../../cost/blueprint.ts";
import { groupOf } from "../../cost/group.ts";
import { hubNameOf } from "../../plan/hub.ts";
import { pathOfPreset } from "../../plan/launch/find.ts";
import type { EngineName } from "../../plan/launch/flag.ts";
import { type Launch, type LaunchQuestion, launchOf } from "../../plan/launch/launch.ts";
import type { PlanSettings } from "../../plan/plan.ts";
import { presetOf } from "../../plan/preset/preset.ts";
import { launchLines } from "../../plan/show/launch.ts";
import { FormatError, ShapeError } from "../../tensor/error.ts";

/** What is served, as it was named on the command line. */
export interface Serving {
  readonly engine: EngineName;
  readonly model: string;
  readonly blueprint: Blueprint;
  readonly machines: readonly string[] | undefined;
  readonly memory: number | undefined;
  readonly settings: PlanSettings;
  readonly draft?: { readonly path: string; readonly blueprint: Blueprint } | undefined;
}

/** `biform plan MODEL --serve ENGINE`: the command line in place of the plan. Errors: as `planLaunch`. */
export async function showLaunch(
  models: readonly string[],
  what: Pick<Serving, "engine" | "blueprint" | "draft" | "settings">,
  { json, machine, memory }: { readonly json?: true; readonly machine?: string[]; readonly memory?: number },
): Promise<void> {
  if (models.length > 1)
    throw new ShapeError(`--serve ${what.engine}: got ${models.length} models, expected one; a server has one`);
  const launch = await planLaunch({ ...what, model: models[0]!, machines: machine, memory });
  process.stdout.write(json ? `${JSON.stringify(launch, null, 2)}\n` : launchLines(launch));
}

/** A command line and its reasons. Errors: those of `launchOf`, and FormatError for what engines do not load. */
async function planLaunch({ engine, model, blueprint, machines, memory, settings, draft }: Serving): Promise<Launch> {
  const subject = `--serve ${engine}`;
  if (machines?.length !== 1 || machines[0] === "this")
    throw new ShapeError(
      `${subject}: got ${machines?.length === 1 ? "this machine" : `${machines?.length ?? "no"} machines`}, expected one with --machine, such as 8xh200`,
    );
  const group = groupOf(machines[0]!);
  const loaded = await loadedFrom(subject, model, blueprint);
  return launchOf(blueprint, {
    engine,
    ...loaded,
    group: memory === undefined ? group : { ...group, device: { ...group.device, memory, usable: 1 } },
    settings,
    proposer: draft && { ...draft, path: (await loadedFrom(subject, draft.path, draft.blueprint)).path },
  });
}

/** What an engine is told to load: a folder, or a repository with its revision. Throws FormatError for what it does not read. */
async function loadedFrom(
  subject: string,
  model: string,
  { architecture }: Blueprint,
): Promise<Pick<LaunchQuestion, "path" | "revision" | "bare">> {
  const refuse = (got: string, instead: string) =>
    new FormatError(`${subject}: got ${got}, expected a folder with a config.json, or a model on the hub; ${instead}`);
  const there = await stat(model).catch(() => undefined);
  if (architecture === "biform") throw await refuseOwn(subject, model);
  if (there?.isDirectory()) return { path: model, bare: await isBare(model) };
  if (there && model.endsWith("config.json")) return { path: dirname(model), bare: await isBare(dirname(model)) };
  if (there || /\.gguf$/i.test(model)) throw refuse(`the file ${model}`, "neither engine loads one");
  const preset = presetOf(model);
  if (preset) return { path: pathOfPreset(preset) };
  const hub = hubNameOf(model);
  if (!hub || hub.tag !== undefined)
    throw refuse(
      model,
      "an address, a GGUF file and a variant's name are none (a variant is trained by biform train and written by biform export)",
    );
  return { path: hub.repository, ...(hub.revision !== "main" && { revision: hub.revision }) };
}

/** Whether a folder has weights and no tokenizer of any kind. */
async function isBare(folder: string): Promise<boolean> {
  const names = await readdir(folder);
  return (
    names.some((name) => name.endsWith(".safetensors")) &&
    !names.some((name) => /^(tokenizer|tekken|vocab)\b|\.tiktoken$|^tiktoken\b/.test(name))
  );
}

/** The refusal of Biform's own format: which stock architecture it could be written as, or what would lie in each. */
async function refuseOwn(subject: string, path: string): Promise<FormatError> {
  const { findStock } = await import("../../convert/export.ts");
  const { architecture, refused } = await findStock(path);
  return new FormatError(
    `${subject}: got Biform's own format, expected a stock one; ` +
      (architecture
        ? `biform export ${path} --out DIR writes this model as ${architecture}, which can be served`
        : `none computes this model (${refused.join("; ")}); biform serve runs it as it is`),
  );
}
