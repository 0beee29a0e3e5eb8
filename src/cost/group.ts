/** Machines as they are bought: several of a kind in nodes, nodes by a network, and a host processor. */
import { ShapeError } from "../tensor/error.ts";
import type { Datasheet } from "./datasheet.ts";
import type { Link } from "./link.ts";
import { machineOf, machines } from "./machine.ts";

/** Devices that are alike and work on one model. */
export interface Group {
  /** As people type it: "8xh200", "rtx-5090+ryzen-9950x". */
  readonly name: string;
  readonly device: Datasheet;
  readonly count: number;
  /** Devices in a node, which `link` joins; nodes are joined by `network`. */
  readonly node: number;
  readonly link?: Link | undefined;
  readonly network?: Link | undefined;
  /** The processors beside the devices, whose memory offloaded weights lie in. */
  readonly beside?: Beside | undefined;
}

/** Sockets of a host. */
export interface Beside {
  readonly processor: Datasheet;
  readonly sockets: number;
}

const MOST = 4096;

/** Groups that people buy, beside each machine alone: nodes as they are sold, and what stands at home. */
const sold = [
  "2xrtx-3090",
  "4xrtx-3090",
  "2xrtx-4090",
  "2xrtx-5090",
  "4xrtx-5090",
  "2xrtx-pro-6000",
  "4xrtx-pro-6000",
  "8xrtx-pro-6000",
  "4xl40s",
  "8xl40s",
  "8xa100",
  "4xh100",
  "8xh100",
  "16xh100",
  "8xh800",
  "16xh800",
  "8xh20",
  "16xh20",
  "4xh200",
  "8xh200",
  "16xh200",
  "8xb200",
  "8xb300",
  "4xgb200",
  "72xgb200",
  "72xgb300",
  "8xmi300x",
  "8xmi325x",
  "4xmi355x",
  "8xmi355x",
  "2xdgx-spark",
  "2xm3-ultra",
  "4xm3-ultra",
  "2xepyc-9755",
  "2xxeon-6980p",
] as const;

/** Whether a name is of several machines or of one beside a processor: "8xh200", "2x rtx-5090", "rtx-5090+ryzen-9950x". */
export function isGroup(name: string): boolean {
  return /^\s*\d+\s*x/i.test(name) || name.includes("+");
}

/** The group of this name, a machine's own among them. Throws ShapeError where there is no such machine or nothing joins so many. */
export function groupOf(name: string): Group {
  const [first, second, ...more] = name.split("+");
  const [count, device] = countedOf(first!);
  const [sockets, processor] = second === undefined ? [0, undefined] : countedOf(second);
  if (!device || more.length || (second !== undefined && processor?.kind !== "CPU"))
    throw new ShapeError(
      `machine: got "${name.slice(0, 80)}", expected a name or several of one as 8xh200, a CPU after a plus; names: ${machines.map(({ name }) => name).join(", ")}`,
    );
  if (count < 1 || count > MOST)
    throw new ShapeError(`machine: got "${name}", expected from 1 to ${MOST} of ${device.name}; correct the number`);
  const beside = processor && { processor, sockets };
  if (beside && (sockets < 1 || sockets > (processor.link?.most ?? 1)))
    throw new ShapeError(
      `machine: got "${name}", expected from 1 to ${processor.link?.most ?? 1} of ${processor.name} beside it`,
    );
  const { link, network } = device;
  const most = link?.most ?? 1;
  const node = Math.min(count, most);
  if (count > most && (!network || count % most))
    throw new ShapeError(
      `machine: got "${name}", expected at most ${most} of ${device.name}${network ? ` or a multiple of ${most}, nodes with a network between them` : ": no datasheet joins more"}`,
    );
  const counted = (many: number, name: string) => (many > 1 ? `${many}x${name}` : name);
  const title = counted(count, device.name) + (beside ? `+${counted(sockets, beside.processor.name)}` : "");
  return { name: title, device, count, node, link, network, beside };
}

/** How many of which machine. */
function countedOf(text: string): [many: number, machine: Datasheet | undefined] {
  const [, many = "1", name = ""] = /^\s*(?:(\d{1,9})\s*x\s*)?(\S+)\s*$/i.exec(text) ?? [];
  return [Number(many), machineOf(name)];
}

/** Bytes of memory for weights and caches of one device. */
export function deviceMemory({ device: { memory, usable = 1 } }: Group): number {
  return memory * usable;
}

/** Every machine by itself and the groups that are sold, those with the least memory first. */
export const groups: readonly Group[] = [...machines.map(({ name }) => name), ...sold]
  .map(groupOf)
  .toSorted((a, b) => a.count * deviceMemory(a) - b.count * deviceMemory(b));
