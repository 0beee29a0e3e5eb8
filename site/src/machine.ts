/** What was measured of a device, as a table. */
import { compact, grid, type Measured, time } from "biform/web";

const rows = (machine: Measured["machine"]) =>
  [
    ["products, up to 4 rows", machine.contract.few],
    ["products, more rows", machine.contract.many],
    ["attention, up to 4 queries per key", machine.attend.few],
    ["attention, more queries per key", machine.attend.many],
    ["attention, one key for all heads", machine.attend.shared],
  ] as const;

/** The rates by kernel. `kept` says whether the browser keeps them. */
export function machineGrid({ build, threads, date, machine }: Measured, kept: boolean): string {
  const caption = `Measured ${new Date(date).toLocaleDateString("en-GB")} on ${build}, ${threads === 1 ? "one thread" : `${threads} threads`}; an op takes ${time(machine.op)} to start. ${kept ? "Kept in this browser" : "This browser keeps nothing for this page, so it lasts until the page is closed"}`;
  return grid(
    caption,
    ["kernel", "bytes read per second", "FLOP/s"],
    rows(machine).map(([name, { bytes, flops }]) => ({ cells: [name, `${compact(bytes)}B`, compact(flops)] })),
  );
}
