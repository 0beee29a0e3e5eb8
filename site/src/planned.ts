/** The plan that a state asks for; nothing here touches the page. */
import {
  type Blueprint,
  bytesOf,
  FormatError,
  fitsOn,
  type Group,
  groupOf,
  groups,
  type Host,
  hostOf,
  isGroup,
  layOut,
  machineOf,
  machines,
  type Plan,
  type PlanSettings,
  parseOffload,
  parseSplit,
  plan as planModel,
  smallestGroup,
  startOf,
  tokensOf,
} from "biform/web";
import { messageOf } from "./element.ts";
import type { State } from "./state.ts";

/** Tokens where neither the state nor the model says how many. */
export const usualContext = 8192;

type Use = Pick<
  State,
  "context" | "batch" | "step" | "weights" | "cache" | "memory" | "machines" | "layout" | "engine" | "offload"
>;

/** What is asked for, of a model; without machines of the state's, those on which it fits. Throws ShapeError for amounts that are none. */
export function settingsOf(state: Use, { maxContext = usualContext }: Pick<Blueprint, "maxContext">): PlanSettings {
  return {
    context: state.context.trim() === "" ? maxContext : tokensOf("context", state.context),
    batch: state.batch,
    step: state.step,
    weightType: state.weights,
    cacheType: state.cache,
    hosts: hostsOf(state),
    layouts: state.layout,
    ...(state.offload.trim() === "" ? {} : { offload: parseOffload(state.offload.trim()) }),
    ...(state.engine.trim() === "" ? {} : { engine: startOf("engine", state.engine) }),
  };
}

/** The machines that the state names, with its memory where it gives one. Throws FormatError for a name that is none. */
function hostsOf({ machines: asked, memory }: Use): Host[] {
  const own = memory.trim() === "" ? {} : { memory: bytesOf("memory", memory) };
  return asked
    .filter((name) => !isGroup(name))
    .map((name) => {
      const machine = machineOf(name);
      if (!machine)
        throw new FormatError(
          `machine: got "${name}", expected several of one as 8xh200, or one of ${machines.map(({ name }) => name).join(", ")}; choose from the list`,
        );
      return { ...hostOf(machine), ...own };
    });
}

/** The groups among them. Throws ShapeError for what is none. */
function groupsOf({ machines: asked, memory }: Use): Group[] {
  return asked.filter(isGroup).map((name) => groupWith(name, memory));
}

/** A machine or a group, with the memory that is typed where there is some. Throws ShapeError for a name that is none. */
export function groupWith(name: string, memory: string): Group {
  const group = groupOf(name);
  if (memory.trim() === "") return group;
  return { ...group, device: { ...group.device, memory: bytesOf("memory", memory), usable: 1 } };
}

const alone = parseSplit("tp1");

/** The smallest machine of each kind on which weights and cache fit, the smallest of all first. */
function fittingHosts(blueprint: Blueprint, settings: PlanSettings): Host[] {
  const fitting = groups.filter((group) => group.count === 1 && fitsOn(blueprint, group, alone, settings));
  return [...Map.groupBy(fitting, ({ device }) => device.kind).values()].map(([smallest]) => hostOf(smallest!.device));
}

/** What is planned, and why some of the layouts were not. */
export interface Planned {
  readonly blueprint: Blueprint;
  readonly settings: PlanSettings;
  readonly plan: Plan;
  /** The smallest of those listed on which it fits. */
  readonly group: Group | undefined;
  /** Those whose layouts are asked for; the plan does not have them, since looking for the best of all takes a while. */
  readonly groups: readonly Group[];
  readonly refused: readonly string[];
}

/** The plan of a model. Layouts in which it cannot be laid out are told of; throws for all else. */
export function planOf(blueprint: Blueprint, state: Use): Planned {
  const asked = settingsOf(state, blueprint);
  const group = smallestGroup(blueprint, asked);
  const chosen = state.machines.length > 0;
  const settings = chosen ? asked : { ...asked, hosts: fittingHosts(blueprint, asked) };
  const asBought = chosen ? groupsOf(state) : group && group.count > 1 ? [group] : [];
  const layouts: Plan["layouts"] = [];
  const refused: string[] = [];
  const found = planModel(blueprint, { ...settings, layouts: [] });
  for (const layout of settings.layouts)
    try {
      layouts.push(layOut(blueprint, layout, settings));
    } catch (error) {
      refused.push(messageOf(error));
    }
  return { blueprint, settings, plan: { ...found, layouts }, group, groups: asBought, refused };
}

/** The same with every sensible layout of its groups, and what those with a processor beside them leave to it. */
export function withGroups({ blueprint, settings, plan, groups }: Planned): Plan {
  const { groups: rows, offloads } = planModel(blueprint, { ...settings, groups, hosts: [], layouts: [] });
  return { ...plan, groups: rows, offloads };
}
