/** What a plan's numbers follow from, as HTML: what each kind of layer keeps, what stands beside the layers, and the work of steps. */
import { escapeHtml, grid, stackLines } from "../../draw/html.ts";
import { bytes, compact, context, exactBytes, whole } from "../../draw/quantity.ts";
import type { Plan } from "../schema.ts";
import { sizesText } from "./detail.ts";
import { parametersText } from "./table.ts";

type Layer = Plan["layers"][number];

/** How entries are kept where each token has not one of its own: "1 for 4 tokens, the last 128 whole; index keys of layer 2". */
export function keepingText({ window, keeping }: Pick<Layer, "window" | "keeping">): string {
  const { every, indexEvery, recent, owner, indexOwner } = keeping ?? {};
  return [
    window && `the last ${whole(window)} tokens`,
    every && `one for ${every} tokens${recent ? `, the last ${recent} whole` : ""}`,
    indexEvery && `an index key for ${indexEvery} tokens`,
    owner !== undefined && `reads the entries of layer ${owner}`,
    indexOwner !== undefined && `reads the index keys of layer ${indexOwner}`,
  ]
    .filter(Boolean)
    .join("; ");
}

/** What one layer of each kind keeps, states by their parts. */
export function layersGrid(plan: Plan): string {
  const forms = (["expanded", "absorbed"] as const).filter((form) => plan.layers.some(({ cache }) => cache[form]));
  const stateful = plan.layers.some(({ state }) => state > 0);
  const rows = plan.layers.map((layer) => {
    const { count, variant, sizes, parameters, cache, state, states } = layer;
    const parts = Object.entries(states).map(([name, numbers]) => `${name} ${compact(numbers)}`);
    return {
      cells: [
        stackLines(`${count} × ${variant}`, sizesText(sizes)),
        escapeHtml(keepingText(layer) || (Object.values(cache).some(Boolean) ? "one for every token" : "none")),
        ...forms.map((form) => String(cache[form] ?? "–")),
        ...(stateful ? [state ? stackLines(bytes(4 * state), parts.join(", ")) : "–"] : []),
        compact(parameters),
      ],
    };
  });
  const heads = [
    "layers",
    "entries in<br>the cache",
    ...forms.map((form) => `numbers a token<br>leaves, ${form}`),
    ...(stateful ? ["state of a sequence,<br>float32"] : []),
    "parameters of<br>attention, each",
  ];
  return grid("Layers of a kind, and what one of them keeps", heads, rows, [1]);
}

/** Layers that propose further tokens, and tables of which a token reads a row: what they add; nothing where there are none. */
export function besideGrid({ draft, tables, settings }: Plan): string {
  const drafted =
    draft?.cache
      .filter(({ dtype }) => dtype === settings.cacheType)
      .map(({ form, bytes: size, bytesPerToken }) => ({
        cells: [
          stackLines(draft.name, `${draft.layers} ${draft.layers === 1 ? "layer" : "layers"}, ${form}`),
          parametersText(draft.parameters.total),
          parametersText(draft.parameters.active),
          bytes(draft.weights[0]!.bytes),
          stackLines(exactBytes(size), `${bytes(bytesPerToken)}/token`),
        ],
      })) ?? [];
  const tabled = tables.map(({ name, parameters, read }) => ({
    cells: [stackLines(name, "may lie in the host's memory"), parametersText(parameters), compact(read), "–", "–"],
  }));
  const rows = [...drafted, ...tabled];
  if (rows.length === 0) return "";
  const heads = [
    "beside the layers",
    "parameters",
    "work on a token",
    "weights",
    `cache of ${context(settings.context)}`,
  ];
  return grid("Draft layers, which no other figure counts, and tables, which all do", heads, rows);
}

/** FLOPs and bytes of prefills and of decoding steps. */
export function costsGrid(plan: Plan): string {
  const rows = plan.costs.map(({ phase, cached, form, context: at, flops, bytes: moved, intensity }) => ({
    cells: [
      stackLines(phase, `${cached} kept, runs ${form}`),
      context(at),
      compact(flops),
      bytes(moved),
      compact(intensity),
    ],
  }));
  const heads = ["work", "tokens", "FLOPs", "moved", "FLOPs/byte"];
  return grid("Prefills, and decoding steps after so many tokens", heads, rows);
}

/** What the numbers follow from, behind a summary. */
export function workGrids(plan: Plan): string {
  const grids = [layersGrid, besideGrid, costsGrid].map((make) => make(plan)).join("");
  return `<details><summary>Layers and work</summary>${grids}</details>`;
}
