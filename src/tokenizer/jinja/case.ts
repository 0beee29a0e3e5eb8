// Upper and lower case, words and lines, as Python's str has them.
import { BLANK } from "./lex.ts";
import { checkLength } from "./text.ts";
import { pointsOf } from "./value.ts";

/** Letters that have a case. */
const cased = /[\p{Lu}\p{Ll}\p{Lt}\p{Uppercase}\p{Lowercase}]/u;
const blank = new RegExp(`^[${BLANK}]$`);

const title = new Map([
  ["ß", "Ss"],
  ["ﬁ", "Fi"],
  ["ﬂ", "Fl"],
  ["ǆ", "ǅ"],
  ["ǉ", "ǈ"],
  ["ǌ", "ǋ"],
  ["ǳ", "ǲ"],
]);
const toTitle = (letter: string) => title.get(letter) ?? letter.toUpperCase();

/** The first letter in title case, all others small. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = pointsOf(text);
  return toTitle(first) + rest.join("").toLowerCase();
}

/** Every letter after none in title case, all others small: `it's` becomes `It'S`. */
export function titleCase(text: string): string {
  let isInside = false;
  return pointsOf(text)
    .map((letter) => {
      const written = isInside ? letter.toLowerCase() : toTitle(letter);
      isInside = cased.test(letter);
      return written;
    })
    .join("");
}

/** Python's `str.swapcase`. */
export const swapCase = (text: string): string =>
  pointsOf(text)
    .map((letter) => (/\p{Lu}/u.test(letter) ? letter.toLowerCase() : letter.toUpperCase()))
    .join("");

// biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines
const lineEnd = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** The lines of a text, with their ends if asked; a line end at the end of the text begins no further one. */
export function splitLines(text: string, keepsEnds: boolean): string[] {
  const lines: string[] = [];
  let from = 0;
  for (const end of text.matchAll(lineEnd)) {
    const next = end.index + end[0].length;
    lines.push(text.slice(from, keepsEnds ? next : end.index));
    from = next;
  }
  if (from < text.length) lines.push(text.slice(from));
  return lines;
}

/** Blanks for tabs, to columns that `size` divides. */
export function changeTabs(text: string, size: number): string {
  checkLength(text.split("\t").length * Math.max(size, 0));
  let column = 0;
  return pointsOf(text)
    .map((letter) => {
      if (letter === "\n" || letter === "\r") column = 0;
      if (letter !== "\t") {
        if (letter !== "\n" && letter !== "\r") column++;
        return letter;
      }
      const width = size > 0 ? size - (column % size) : 0;
      column += width;
      return " ".repeat(width);
    })
    .join("");
}

const all = (test: RegExp) => (text: string) => text !== "" && pointsOf(text).every((letter) => test.test(letter));

/** Python's questions about all letters of a text. */
export const classify: Readonly<Record<string, (text: string) => boolean>> = {
  isalnum: all(/^[\p{L}\p{Nd}\p{No}\p{Nl}]$/u),
  isalpha: all(/^\p{L}$/u),
  isascii: (text) => pointsOf(text).every((letter) => letter < "\x80"),
  isdecimal: all(/^\p{Nd}$/u),
  isdigit: all(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]$/u),
  isidentifier: (text) => /^[\p{ID_Start}_]\p{ID_Continue}*$/u.test(text),
  isnumeric: all(/^[\p{Nd}\p{No}\p{Nl}]$/u),
  isprintable: (text) => pointsOf(text).every((letter) => letter === " " || !/[\p{C}\p{Z}]/u.test(letter)),
  isspace: all(blank),
  islower: (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text),
  isupper: (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text),
  istitle(text) {
    let isInside = false;
    let found = false;
    for (const letter of text) {
      const isUpper = /[\p{Uppercase}\p{Lt}]/u.test(letter);
      if (isUpper && isInside) return false;
      if (!isUpper && cased.test(letter) && !isInside) return false;
      isInside = cased.test(letter);
      found ||= isInside;
    }
    return found;
  },
};
