/** A launch as it is read: on a terminal, and as a page's table. */
import { escapeHtml, grid } from "../../draw/html.ts";
import { wrapNote } from "../../draw/text.ts";
import type { Launch } from "../launch/launch.ts";

/** The command over lines, a flag each, as a shell takes it. */
export function commandText({ command, flags }: Launch): string {
  const words = command.map((word) => (/^[\w@%+=:,./$-]+$/.test(word) ? word : `'${word}'`));
  const first = words.findIndex((word) => word.startsWith("--") && flags.some(({ flag }) => flag === word));
  const lines: string[] = [words.slice(0, first < 0 ? words.length : first).join(" ")];
  for (const word of first < 0 ? [] : words.slice(first))
    if (word.startsWith("--")) lines.push(`  ${word}`);
    else lines.push(`${lines.pop()} ${word}`);
  return lines.join(" \\\n");
}

/** What is started where, in one line. */
export function launchTitle({ engine, version, class: own, machine, layout }: Launch): string {
  return `${engine} ${version}, ${own}, on ${machine} as ${layout}`;
}

/** The command line, then each flag's reason. */
export function launchLines(launch: Launch): string {
  const { flags, notes } = launch;
  return [
    launchTitle(launch),
    "",
    commandText(launch),
    "",
    ...flags.flatMap(({ flag, why }) => wrapNote(`${flag}: ${why}`, "  ")),
    "",
    ...notes.flatMap((note) => wrapNote(`note: ${note}`, "  ")),
    "",
  ].join("\n");
}

/** Flags with their reasons, and what is to be known beside them, as HTML. */
export function launchGrid(launch: Launch): string {
  const { flags, notes } = launch;
  const rows = flags.map(({ flag, value = "", why }) => ({ cells: [flag, value, why].map(escapeHtml) }));
  const list = notes.map((note) => `<li>${escapeHtml(note)}</li>`).join("");
  return `${grid(launchTitle(launch), ["flag", "value", "why"], rows, [1, 2])}<ul class="soft">${list}</ul>`;
}
