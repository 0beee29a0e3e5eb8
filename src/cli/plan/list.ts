import { machines } from "../../cost/machine.ts";
import { columns } from "../../draw/column.ts";
import { bytes, compact } from "../../draw/quantity.ts";
import { presets } from "../../plan/preset/preset.ts";

/** `biform plan --list`: models and machines that are known by name, with where their figures are from. */
export function showList({ json }: { json: boolean }): void {
  if (json) {
    console.log(JSON.stringify({ presets, machines }, null, 2));
    return;
  }
  const models = presets.map(({ name, aliases = [], config, source }) => [
    [name, ...aliases].join(", "),
    String(config.model_type ?? ""),
    source,
  ]);
  const devices = machines.map(({ name, aliases = [], memory, bandwidth, flops, source }) => [
    [name, ...aliases].join(", "),
    bytes(memory),
    `${compact(bandwidth)}B/s`,
    `${compact(flops.float16 ?? flops.float32)}FLOP/s`,
    source,
  ]);
  const lines = [
    ...columns(["model", "architecture", "sizes from"], models, [1, 2]),
    "",
    ...columns(["machine", "memory", "reads", "16-bit", "figures from"], devices, [4]),
    "",
    "this: the machine at hand, as biform tune measured it",
    "several of one, as 8xh200; a card and its host, as rtx-4090+ryzen-9950x (2x for two sockets)",
  ];
  console.log(lines.join("\n"));
}
