/** The family's cost table: every variant at a width and number of heads. */
import { bytes, compact, escaped, type VariantRow, variantRows, whole } from "biform/web";
import { showIn } from "./form.ts";
import { type Column, sortable } from "./sort.ts";
import type { State } from "./state.ts";

const columns: readonly Column<VariantRow>[] = [
  { head: "variant", text: ({ spec }) => `<code>${escaped(spec)}</code>`, value: ({ spec }) => spec },
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
          return `${escaped(name)} ${whole(flopsPerPair)}${selected}`;
        })
        .join("<br>"),
    value: ({ forms }) =>
      Math.min(...forms.map(({ flopsPerPair, flopsPerSelected = 0 }) => flopsPerPair + flopsPerSelected)),
  },
  {
    head: "source",
    words: true,
    text: ({ source }) => escaped(source),
    value: ({ source }) => source,
  },
];

export function showFamily({ fwidth, fheads }: State): void {
  showIn("relatives", "family-problem", () => {
    const caption = `A layer of width ${whole(fwidth)} with ${whole(fheads)} heads. Cache at 16 bits and state at 32 are what one token reads`;
    return sortable("family", caption, columns, variantRows(fwidth, fheads));
  });
}
