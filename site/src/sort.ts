/** Tables whose columns sort by a click on their head; the order is the page's own and no part of the state. */
import { escapeHtml } from "biform/web";

export interface Column<T> {
  readonly head: string;
  /** A cell's HTML, and what it sorts by. */
  text(row: T): string;
  value(row: T): number | string;
  /** Words rather than numbers: they begin at the left. */
  readonly words?: true;
  /** A style of the cell: a shade of its value, beside the value itself. */
  style?(row: T): string;
}

/** Which column of a table is sorted, by the table's name. */
const orders = new Map<string, { column: number; falls: boolean }>();
/** How to draw each table again. */
const drawn = new Map<string, () => string>();

/** A table of rows as HTML. `name` keeps its order when it is drawn again. */
export function sortable<T>(name: string, caption: string, columns: readonly Column<T>[], rows: readonly T[]): string {
  const draw = () => {
    const order = orders.get(name);
    const by = order && columns[order.column];
    const sorted = by ? rows.toSorted((a, b) => compared(by.value(a), by.value(b)) * (order.falls ? -1 : 1)) : rows;
    const heads = columns.map(({ head, words }, at) => {
      const state = order?.column !== at ? "none" : order.falls ? "descending" : "ascending";
      const mark = state === "none" ? "" : state === "ascending" ? " ▲" : " ▼";
      return `<th scope="col" aria-sort="${state}"${at === 0 || words ? ' class="text"' : ""}><button type="button" class="sort" data-sort="${at}">${escapeHtml(head)}<span aria-hidden="true">${mark}</span></button></th>`;
    });
    const body = sorted.map((row) => {
      const [first, ...rest] = columns.map((column) => ({
        text: column.text(row),
        style: column.style?.(row),
        words: column.words,
      }));
      const cells = rest
        .map(
          ({ text, style, words }) =>
            `<td${words ? ' class="text"' : ""}${style ? ` style="${style}"` : ""}>${text}</td>`,
        )
        .join("");
      return `<tr><th scope="row">${first!.text}</th>${cells}</tr>`;
    });
    return `<table><caption>${escapeHtml(caption)}</caption><thead><tr>${heads.join("")}</tr></thead><tbody>${body.join("\n")}</tbody></table>`;
  };
  drawn.set(name, draw);
  return `<div class="scroll" role="region" tabindex="0" aria-label="${escapeHtml(caption)}" data-table="${name}">${draw()}</div>`;
}

function compared(a: number | string, b: number | string): number {
  return typeof a === "string" ? a.localeCompare(String(b)) : a - Number(b);
}

/** Heads of sortable tables answer to clicks from now on. */
export function bindSorting(): void {
  document.addEventListener("click", ({ target }) => {
    const button = (target as Element).closest<HTMLElement>("button[data-sort]");
    const table = button?.closest<HTMLElement>("[data-table]");
    if (!button || !table) return;
    const [name, column] = [table.dataset.table!, Number(button.dataset.sort)];
    const before = orders.get(name);
    orders.set(name, { column, falls: before?.column === column ? !before.falls : column > 0 });
    table.innerHTML = drawn.get(name)!();
    table.querySelector<HTMLElement>(`[data-sort="${column}"]`)?.focus();
  });
}
