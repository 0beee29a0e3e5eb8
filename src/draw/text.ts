/** Plain text that stays within the columns of a terminal. */

/** Columns that no table exceeds. */
export const tableWidth = 100;

/** Printable ASCII as it is, everything else escaped, so that one character is one column and no name moves the cursor. */
export function toAscii(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** A text cut to a width, its last column then an ellipsis. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** Lines of at most `width` columns, broken between words; those after the first are set in. A longer word stands alone. */
export function wrap(text: string, width: number, indent = ""): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(word);
    else if (last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${indent}${word}`);
  }
  return lines;
}

/** A sentence in lines of the table's width, those after the first set in; what is too long for a line is cut. */
export function wrapNote(text: string, indent: string): string[] {
  return wrap(text, tableWidth, indent).map((line) => clip(line, tableWidth));
}
