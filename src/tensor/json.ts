/** JSON as Python writes it: beside JSON's own words the bare numbers Infinity, -Infinity and NaN. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** The names of numbers that JSON lacks, by their first letter. */
const names = new Map([
  ["I".charCodeAt(0), "Infinity"],
  ["N".charCodeAt(0), "NaN"],
]);

/** A text that no file holds but by a chance of one in 2^50. */
const mark = () => `\u0000${Math.random()}`;

/**
 * Reads JSON, as Python's `json` does with bare `Infinity`, `-Infinity` and `NaN` where a value may stand. They become these
 * numbers, which every check of a finite or a whole number refuses. Takes time in proportion to the text.
 *
 * Errors: SyntaxError for anything else that is no JSON.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const nan = mark();
    const plain = spellNumbers(text, JSON.stringify(nan));
    if (plain === text) throw error;
    return JSON.parse(
      plain,
      plain.includes("\\u0000") ? (_, value) => (value === nan ? Number.NaN : value) : undefined,
    );
  }
}

/** The text with its bare names of numbers in words that JSON has: 1e999, which is read as Infinity, and `nan`. */
function spellNumbers(text: string, nan: string): string {
  const pieces: string[] = [];
  let done = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    const name = names.get(code);
    if (!name || !text.startsWith(name, at)) continue;
    const end = at + name.length;
    // Infinity gets blanks around it, so that it joins no digit or letter beside it; a sign before it is its own. NaN becomes a
    // text, which could be a key: where a colon follows, the name stays and is no JSON.
    const infinity = text[at - 1] === "-" ? "1e999 " : " 1e999 ";
    if (name === "Infinity") pieces.push(text.slice(done, at), infinity);
    else pieces.push(text.slice(done, at), isKey(text, end) ? name : nan);
    done = end;
    at = end - 1;
  }
  return pieces.length ? pieces.join("") + text.slice(done) : text;
}

/** Where the string that begins at `at` has its closing quote, or the text its end. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text.charCodeAt(end) !== QUOTE) end += text.charCodeAt(end) === BACKSLASH ? 2 : 1;
  return end;
}

/** Whether a colon comes next. */
function isKey(text: string, at: number): boolean {
  const blank = /\s*/y;
  blank.lastIndex = at;
  blank.test(text);
  return text[blank.lastIndex] === ":";
}

/** A value as JSON, as `parseJson` reads it: numbers that are not finite stand bare. "nothing" for undefined. */
export function formatJson(value: unknown): string {
  if (isSpeakable(value)) return JSON.stringify(value) ?? "nothing";
  const own = mark();
  const text = JSON.stringify(value, (_, part) =>
    typeof part === "number" && !Number.isFinite(part) ? `${own}${part}` : part,
  );
  return text?.replaceAll(new RegExp(`"\\\\u0000${own.slice(1).replace(".", "\\.")}([^"]*)"`, "g"), "$1") ?? "nothing";
}

/** Whether JSON has words for all numbers in a value, as it nearly always has. */
function isSpeakable(value: unknown): boolean {
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  for (const inner of Array.isArray(value) ? value : Object.values(value)) if (!isSpeakable(inner)) return false;
  return true;
}
