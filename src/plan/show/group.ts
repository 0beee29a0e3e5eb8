/** Groups of devices: which layouts fit, how fast they are, which is best at what. */
import { columns } from "../../draw/column.ts";
import { escapeHtml, grid, stackLines } from "../../draw/html.ts";
import { bytes, compact, context, exactBytes, time } from "../../draw/quantity.ts";
import { clip, wrapNote } from "../../draw/text.ts";
import type { Plan } from "../schema.ts";
import { tokens } from "./table.ts";

type PlannedGroup = Plan["groups"][number];
type Layout = PlannedGroup["layouts"][number];

/** What a group is made of: "16 x h800, 80 GB each, NVLink 200 GB/s in 2 nodes, InfiniBand 50 GB/s between them". */
export function groupText({ count, nodes, device, memory, link, network }: PlannedGroup): string {
  const rate = (bytesPerSecond: number) => `${Number((bytesPerSecond / 1e9).toPrecision(3))} GB/s`;
  return [
    `${count} x ${device}`,
    `${bytes(memory)} each`,
    link && `${link.kind} ${rate(link.bytesPerSecond)}${nodes > 1 ? ` in ${nodes} nodes` : ""}`,
    network && `${network.kind} ${rate(network.bytesPerSecond)} between them`,
  ]
    .filter(Boolean)
    .join(", ");
}

const marks = { latency: "L", throughput: "T", prefill: "P" } as const;

function marksOf({ best }: PlannedGroup, { layout }: Layout): string {
  return best.flatMap((one) => (one.layout === layout ? marks[one.by] : [])).join("");
}

/** A table for each group, and why the best layouts are the best. */
export function groupLines({ groups, settings }: Plan): string[][] {
  return groups.map((group) => {
    const rows = group.layouts.map((layout) => {
      const { prefill, decode, full } = layout;
      return [
        layout.layout,
        marksOf(group, layout) || "",
        bytes(layout.weightBytesPerRank),
        layout.fits ? tokens(layout.longestContext) : "none",
        layout.fits ? layout.mostSequences : "–",
        prefill ? time(prefill.seconds) : "–",
        decode ? time(decode.seconds) : "–",
        decode ? compact(decode.tokensPerSecond) : "–",
        full ? compact(full.tokensPerSecond) : "–",
      ];
    });
    const heads = [
      "Layout",
      "best",
      "weights\n/rank",
      "most\ntokens",
      `sequences\nof ${context(settings.context)}`,
      "prefill",
      "step",
      "tok/s",
      "tok/s\nfull",
    ];
    const reasons = group.best.flatMap(({ by, layout, why }) =>
      wrapNote(`${marks[by]} best ${by}: ${layout}: ${why}`, "  "),
    );
    return [...wrapNote(groupText(group), "  "), "", ...columns(heads, rows), ...reasons];
  });
}

/** What lies where, and how fast that is; nothing where nothing is offloaded. */
export function offloadLines({ offloads, settings }: Plan): string[] {
  if (offloads.length === 0) return [];
  const rows = offloads.map(({ group, offload, deviceBytes, hostBytes, fits, longestContext, prefill, decode }) => [
    clip(`${group} ${offload}`, 34),
    bytes(deviceBytes),
    bytes(hostBytes),
    fits ? tokens(longestContext) : "none",
    time(prefill.seconds),
    compact(decode.tokensPerSecond),
    `${Math.round((100 * decode.host) / decode.seconds)} %`,
  ]);
  const heads = [
    "Offloaded",
    "on\ndevices",
    "in host\nmemory",
    "most\ntokens",
    `prefill\n${context(settings.context)}`,
    "decode\ntok/s",
    "host\ncomputes",
  ];
  return columns(heads, rows);
}

function offloadAnswers({ offloads }: Plan): string[] {
  return offloads.map(({ group, offload, deviceBytes, hostBytes, fits, longestContext, prefill, decode }) => {
    const where = `${group} with ${offload} on the host: ${bytes(deviceBytes)} on devices and ${bytes(hostBytes)} in the host's memory`;
    if (!fits) return `${where} do not fit.`;
    return `${where} leave room for ${tokens(longestContext)} tokens; reading takes ${time(prefill.seconds)}, then ${compact(decode.tokensPerSecond)} tokens are written per second, ${Math.round((100 * decode.host) / decode.seconds)} % of the time by the host's processor.`;
  });
}

/** What lies where, and how fast that is; nothing where nothing is offloaded. */
export function offloadsGrid({ offloads, settings }: Plan): string {
  if (offloads.length === 0) return "";
  const rows = offloads.map((row) => ({
    cells: [
      stackLines(row.group, row.offload),
      stackLines(exactBytes(row.deviceBytes), `of ${bytes(row.deviceMemory)}`),
      stackLines(exactBytes(row.hostBytes), `of ${bytes(row.hostMemory)}`),
      row.fits ? tokens(row.longestContext) : "none",
      time(row.prefill.seconds),
      stackLines(compact(row.decode.tokensPerSecond), `${time(row.decode.host)} on the host`),
    ],
  }));
  const heads = [
    "offloaded",
    "on devices",
    "in host<br>memory",
    "most tokens",
    `prefill<br>of ${context(settings.context)}`,
    "decode tok/s",
  ];
  return grid("With experts or layers in the host's memory", heads, rows);
}

/** One sentence for each thing that a layout of a group is best at. */
export function groupAnswers(plan: Plan): string[] {
  const { groups, settings } = plan;
  const answers = groups.flatMap((group) => {
    if (group.best.length === 0) return [`${group.group}: in no layout does the model fit with what is asked for.`];
    return group.best.map(({ by, layout, why }) => {
      const found = group.layouts.find((one) => one.layout === layout)!;
      const { tokensPerSecond } = found[({ latency: "decode", throughput: "full", prefill: "prefill" } as const)[by]]!;
      const what = { latency: "writes", throughput: "writes, filled up,", prefill: "reads" }[by];
      const many = by === "throughput" ? found.mostSequences : settings.batch;
      return `${group.group}: ${layout} is best by ${by}: it ${what} ${compact(tokensPerSecond)} tokens per second of ${many} ${many === 1 ? "sequence" : "sequences"}; ${why}.`;
    });
  });
  return [...answers, ...offloadAnswers(plan)];
}

/** Every layout of every group; nothing where no group was asked for. */
export function groupsGrid({ groups, settings }: Plan): string {
  const heads = [
    "layout",
    "weights<br>/rank",
    "cache<br>/rank",
    "most tokens",
    `sequences<br>of ${context(settings.context)}`,
    "prefill",
    "decoding<br>step",
    "tok/s",
    "tok/s<br>filled up",
    "best by",
  ];
  return groups
    .map((group) => {
      const rows = group.layouts.map((layout) => {
        const { prefill, decode, full, fits } = layout;
        const best = group.best.filter((one) => one.layout === layout.layout);
        return {
          cells: [
            escapeHtml(layout.layout),
            bytes(layout.weightBytesPerRank),
            exactBytes(layout.cacheBytesPerRank),
            fits ? tokens(layout.longestContext) : "none",
            fits ? String(layout.mostSequences) : "–",
            prefill ? stackLines(time(prefill.seconds), prefill.bound) : "–",
            decode ? stackLines(time(decode.seconds), decode.bound) : "–",
            decode ? compact(decode.tokensPerSecond) : "–",
            full ? stackLines(compact(full.tokensPerSecond), full.bound) : "–",
            best.map(({ by }) => by).join(", "),
          ],
        };
      });
      return grid(groupText(group), heads, rows, [9]);
    })
    .join("");
}

/** What each rank holds and sends; nothing where no layout was asked for. */
export function layoutsGrid({ layouts }: Plan): string {
  if (layouts.length === 0) return "";
  const rows = layouts.map((layout) => ({
    cells: [
      escapeHtml(layout.layout),
      String(layout.ranks),
      bytes(layout.weightBytesPerRank),
      exactBytes(layout.cacheBytesPerRank),
      bytes(layout.duplicatedWeightBytes),
      exactBytes(layout.duplicatedCacheBytes),
      bytes(layout.communicationBytesPerStep),
      layout.machines.map(({ machine, longestContext }) => stackLines(tokens(longestContext), machine)).join("<br>") ||
        "–",
      escapeHtml(layout.notes.join("; ")),
    ],
  }));
  const heads = [
    "layout",
    "ranks",
    "weights<br>/rank",
    "cache<br>/rank",
    "weights<br>duplicated",
    "cache<br>duplicated",
    "sent/rank<br>/step",
    "most tokens",
    "notes",
  ];
  return grid("Layouts over several devices", heads, rows, [8]);
}
