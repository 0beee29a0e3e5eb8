import { accelerators } from "./accelerator.ts";
import { computers } from "./computer.ts";
import type { Datasheet } from "./datasheet.ts";

/** Machines to plan for. */
export const machines: readonly Datasheet[] = [...accelerators, ...computers];

/** The machine of this name or alias, whatever its case; undefined where there is none. */
export function machineOf(name: string): Datasheet | undefined {
  const wanted = name.toLowerCase();
  return machines.find((machine) => machine.name === wanted || machine.aliases?.includes(wanted));
}
