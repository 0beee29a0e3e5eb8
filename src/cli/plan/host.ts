import { totalmem } from "node:os";
import { commonMachine } from "../../cost/crossover.ts";
import { type Group, groupOf, isGroup } from "../../cost/group.ts";
import { type Host, hostOf, hostOfMeasured } from "../../cost/host.ts";
import { machineOf, machines } from "../../cost/machine.ts";
import { figuresHere } from "../../file/rates.ts";
import { ShapeError } from "../../tensor/error.ts";

/** What is planned for unless machines are named: this one, and well-known ones. */
const shown = ["this", "h100-sxm", "b200", "rtx-4090", "m4-max"];

/** How the machine at hand is called. */
export const HERE = "this machine";

/** What of the names of machines are groups: several of one, or one beside a processor. Throws ShapeError. */
export function groupsFor(names: readonly string[] = [], memory?: number): Group[] {
  return names.filter(isGroup).map((name) => {
    const group = groupOf(name);
    return memory === undefined ? group : { ...group, device: { ...group.device, memory, usable: 1 } };
  });
}

/** Machines by name; "this" is the one at hand, by what `biform tune` measured or by common figures. Throws ShapeError. */
export async function hostsFor(
  names: readonly string[] = shown.filter((name) => name === "this" || machineOf(name)),
  { warn }: { warn: (line: string) => void },
): Promise<Host[]> {
  const hosts = [];
  for (const name of names.filter((name) => !isGroup(name))) {
    const known = machineOf(name);
    if (name !== "this" && !known)
      throw new ShapeError(
        `--machine: got "${name}", expected this, several as 8xh200, or one of ${machines.map(({ name }) => name).join(", ")}; biform plan --list describes them`,
      );
    hosts.push(known ? hostOf(known) : await thisHost(warn));
  }
  return hosts;
}

/** This machine as it was measured last. */
async function thisHost(warn: (line: string) => void): Promise<Host> {
  const [latest] = await figuresHere({ warn });
  if (latest) return hostOfMeasured(HERE, latest.machine, totalmem());
  return { ...hostOfMeasured(HERE, commonMachine, totalmem()), measured: false };
}

/** Whose figures stand for this machine, in a sentence. */
export async function thisText(): Promise<string> {
  const [latest] = await figuresHere();
  if (!latest)
    return "this machine was not measured: its figures are those of two common CPU cores; run biform tune (some ten seconds)";
  const { cpu, threads, build, date } = latest;
  return `this machine: ${cpu}, ${threads} ${threads === 1 ? "thread" : "threads"}, ${build} build, measured ${date.slice(0, 10)}`;
}
