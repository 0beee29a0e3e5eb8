/** Ranges of code points, in order and apart; surrogates are none, since UTF-8 has no way to write them. */
export type Ranges = readonly (readonly [from: number, to: number])[];

const LAST = 0x10ffff;

/** Ranges in order, joined where they touch, without surrogates. */
export function rangesOf(ranges: Ranges): Ranges {
  const joined: [number, number][] = [];
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  const parts = joined.flatMap(([from, to]) => [
    [from, Math.min(to, 0xd7ff)] as const,
    [Math.max(from, 0xe000), to] as const,
  ]);
  return parts.filter(([from, to]) => from <= to);
}

/** All code points that are in none of the ranges. */
export function complementOf(ranges: Ranges): Ranges {
  const left: [number, number][] = [];
  let from = 0;
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    if (first > from) left.push([from, first - 1]);
    from = Math.max(from, last + 1);
  }
  if (from <= LAST) left.push([from, LAST]);
  return rangesOf(left);
}

/** The code points that both have. */
export function commonOf(a: Ranges, b: Ranges): Ranges {
  return complementOf([...complementOf(a), ...complementOf(b), [0xd800, 0xdfff]]);
}

/** A code point in a class or a text of EBNF. */
function letterOf(code: number): string {
  const letter = String.fromCodePoint(code);
  if (/[A-Za-z0-9 _]/.test(letter)) return letter;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\U${code.toString(16).padStart(8, "0")}`;
}

/** A text as EBNF. */
export const textOf = (text: string): string =>
  `"${Array.from(text, (letter) => letterOf(letter.codePointAt(0)!)).join("")}"`;

const ascii: Ranges = [[0, 0x7f]];
const beyond: Ranges = complementOf(ascii);

/** Characters beyond ASCII that a class lists one by one. */
const LISTED = 1000;

const sizeOf = (ranges: Ranges) => ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);

const plainClass = (ranges: Ranges) =>
  `[${ranges.map(([from, to]) => (from === to ? letterOf(from) : `${letterOf(from)}-${letterOf(to)}`)).join("")}]`;

/**
 * One of some code points as alternatives of EBNF. XGrammar 0.1.27 misreads classes with ranges beyond ASCII: it allows other
 * characters, and takes no notice of them in classes that are negated (`findings/grammar-bounds.sh`). So there are all characters
 * beyond ASCII, or few, one by one; of many but not all, those of ASCII alone are written, which are fewer than may be. Undefined
 * where that leaves none.
 */
export function classOf(ranges: Ranges): readonly string[] | undefined {
  const [near, far] = [commonOf(ranges, ascii), commonOf(ranges, beyond)];
  const options = near.length ? [plainClass(near)] : [];
  if (sizeOf(far) === sizeOf(beyond)) options.push("[^\\u0000-\\u007f]");
  else if (sizeOf(far) <= LISTED)
    for (const [from, to] of far)
      for (let code = from; code <= to; code++) options.push(textOf(String.fromCodePoint(code)));
  return options.length ? options : undefined;
}

/** What must not stand bare in a string of JSON. */
const barred: Ranges = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];

const letters: ReadonlyMap<number, string> = new Map([
  [0x22, '"'],
  [0x5c, "\\"],
  [8, "b"],
  [9, "t"],
  [10, "n"],
  [12, "f"],
  [13, "r"],
]);

/** One of some code points in a string of JSON, as alternatives of EBNF: bare, or as its escape where it needs one. */
export function jsonClassOf(ranges: Ranges): readonly string[] | undefined {
  const options = [...(classOf(commonOf(ranges, complementOf(barred))) ?? [])];
  for (const [from, to] of commonOf(ranges, barred))
    for (let code = from; code <= to; code++)
      options.push(textOf(`\\${letters.get(code) ?? `u${code.toString(16).padStart(4, "0")}`}`));
  return options.length ? options : undefined;
}
