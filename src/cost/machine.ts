import { accelerators } from "./accelerator.ts";
import { cards } from "./card.ts";
import { computers } from "./computer.ts";
import type { Datasheet } from "./datasheet.ts";
import { processors } from "./processor.ts";

/** Machines to plan for. */
export const machines: readonly Datasheet[] = [...accelerators, ...cards, ...computers, ...processors];

/** The machine of this name or alias, whatever its case; undefined where there is none. */
export function machineOf(name: string): Datasheet | undefined {
  const wanted = name.toLowerCase();
  return machines.find((machine) => machine.name === wanted || machine.aliases?.includes(wanted));
}
