/**
 * One colour, symbol and line pattern per variant, the same in words and in pictures. Colours are CSS variables, so that the page
 * decides on light and dark.
 */

/** Colours that tell variants apart; past them they come again with other symbols and dashes. */
export const colours = 8;
/** Line patterns, for the forms of one variant or for a second round of colours. */
export const dashes = ["none", "6 3", "2 3", "8 3 2 3"] as const;
const symbols = ["circle", "square", "triangle", "diamond", "star", "wye", "cross"] as const;

/** The colour of the variant at `index`, as CSS. */
export function colour(index: number): string {
  return `var(--v${index % colours})`;
}

/** The symbol of the variant at `index`; seven symbols and eight colours make 56 pairs. */
export function symbol(index: number): (typeof symbols)[number] {
  return symbols[index % symbols.length]!;
}

/** The line pattern of the variant at `index`: solid until the colours run out. */
export function dash(index: number): string {
  return dashes[Math.floor(index / colours) % dashes.length]!;
}
