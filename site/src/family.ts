/** The family's cost table: every variant at a width and number of heads. */
import {
  bytes,
  compact,
  escapeHtml,
  matchFamily,
  parseTarget,
  targets,
  type VariantRow,
  variantRows,
  whole,
} from "biform/web";
import { showIn } from "./form.ts";
import { type Column, sortable } from "./sort.ts";
import type { State } from "./state.ts";

type Met = Extract<ReturnType<typeof matchFamily>[number], { readonly share: number }>;

const columns: readonly Column<VariantRow>[] = [
  { head: "variant", text: ({ spec }) => `<code>${escapeHtml(spec)}</code>`, value: ({ spec }) => spec },
  { head: "parameters", text: ({ parameters }) => compact(parameters), value: ({ parameters }) => parameters },
  {
    head: "cache, values / token",
    text: ({ cacheValues }) => whole(cacheValues),
    value: ({ cacheValues }) => cacheValues,
  },
  { head: "state, numbers", text: ({ stateValues }) => whole(stateValues), value: ({ stateValues }) => stateValues },
  {
    head: "read by a token after 4096",
    text: ({ decodeBytes }) => bytes(decodeBytes),
    value: ({ decodeBytes }) => decodeBytes,
  },
  {
    head: "FLOPs / query-key pair",
    words: true,
    text: ({ forms }) =>
      forms
        .map(({ name, flopsPerPair, flopsPerSelected }) => {
          const selected = flopsPerSelected === undefined ? "" : ` + ${whole(flopsPerSelected)} if selected`;
          return `${escapeHtml(name)} ${whole(flopsPerPair)}${selected}`;
        })
        .join("<br>"),
    value: ({ forms }) =>
      Math.min(...forms.map(({ flopsPerPair, flopsPerSelected = 0 }) => flopsPerPair + flopsPerSelected)),
  },
  {
    head: "source",
    words: true,
    text: ({ source }) => escapeHtml(source),
    value: ({ source }) => source,
  },
];

/** Every variant at a width and number of heads; with a target, each at the sizes that come nearest to it from below. */
export function showFamily({ fwidth: width, fheads: heads, match }: State): void {
  showIn("relatives", "family-problem", () => {
    const caption = `A layer of width ${whole(width)} with ${whole(heads)} heads. Cache at 16 bits and state at 32 are what one token reads`;
    if (match.trim() === "") return sortable("family", caption, columns, variantRows(width, heads));
    const target = parseTarget(match);
    const all = matchFamily(target, { width, heads });
    const met = all.filter((row): row is Met => !("reason" in row));
    const refused = all.flatMap((row) =>
      "reason" in row ? [`<li>${escapeHtml(`${row.spec}: ${row.reason}`)}</li>`] : [],
    );
    const [variant, ...rest] = columns;
    const reached: Column<Met> = {
      head: `${target.of} reached`,
      text: ({ value, share }) => `${compact(value)} <span class="soft">${(100 * share).toFixed(0)} %</span>`,
      value: ({ share }) => share,
    };
    const about = `${caption}; sizes that come nearest to ${match.trim()} (${targets[target.of]}) without passing it`;
    const others =
      refused.length === 0 ? "" : `<p class="soft">Cannot be matched:</p><ul class="soft">${refused.join("")}</ul>`;
    return sortable("family", about, [variant!, reached, ...rest], met) + others;
  });
}
