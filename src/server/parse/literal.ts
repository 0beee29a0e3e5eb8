import { Broken, Cut, Scanner } from "./scan.ts";

const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/;

/** Escapes of Python's strings that are one letter. */
const escapes: ReadonlyMap<string, string> = new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["r", "\r"],
  ["b", "\b"],
  ["f", "\f"],
  ["0", "\0"],
  ["\n", ""],
  ["\\", "\\"],
  ["'", "'"],
  ['"', '"'],
  ["/", "/"],
]);

/** Python's words and JSON's, as JSON. */
const words: ReadonlyMap<string, string> = new Map([
  ["True", "true"],
  ["False", "false"],
  ["None", "null"],
  ["true", "true"],
  ["false", "false"],
  ["null", "null"],
]);

/** Goes over a literal of Python and gives it as JSON. Throws as Scanner. */
export function scanLiteral(scanner: Scanner): string {
  const first = scanner.peek();
  if (first === "'" || first === '"') return JSON.stringify(scanText(scanner));
  const items: string[] = [];
  const item = () => void items.push(scanLiteral(scanner));
  if (first === "[" || first === "(") {
    scanner.list(first, first === "[" ? "]" : ")", item);
    return `[${items.join(", ")}]`;
  }
  if (first === "{") {
    scanner.list("{", "}", () => {
      const key = JSON.stringify(scanText(scanner));
      scanner.skip().expect(":");
      scanner.skip();
      items.push(`${key}: ${scanLiteral(scanner)}`);
    });
    return `{${items.join(", ")}}`;
  }
  const word = scanner.match(/[A-Za-z_]+/);
  if (word !== undefined) {
    const json = words.get(word);
    if (json === undefined) throw new Broken("expected a literal");
    return json;
  }
  const number = scanner.take(NUMBER);
  // JSON has no sign in front but a minus, and digits on both sides of a point.
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(number) ? number : String(Number(number));
}

/** A string in one or three quotes of either kind; unlike Python's it may go over lines, since templates write it without escapes. */
function scanText(scanner: Scanner): string {
  const quote = scanner.peek();
  if (quote !== "'" && quote !== '"') throw new Broken("expected a string");
  const mark = scanner.text.startsWith(quote.repeat(3), scanner.at) ? quote.repeat(3) : quote;
  scanner.at += mark.length;
  let text = "";
  while (!scanner.has(mark)) {
    const next = scanner.peek();
    scanner.at++;
    text += next === "\\" ? scanEscape(scanner) : next;
  }
  return text;
}

function scanEscape(scanner: Scanner): string {
  const letter = scanner.peek();
  scanner.at++;
  const digits = { x: 2, u: 4, U: 8 }[letter];
  if (digits === undefined) return escapes.get(letter) ?? `\\${letter}`;
  const code = scanner.text.slice(scanner.at, scanner.at + digits);
  if (code.length < digits) throw new Cut("the text ends");
  const point = /^[0-9a-fA-F]+$/.test(code) ? Number.parseInt(code, 16) : Number.NaN;
  if (!(point <= 0x10ffff)) throw new Broken("expected a character's number");
  scanner.at += digits;
  return String.fromCodePoint(point);
}

/** A text that is one literal of Python, as JSON; undefined for any other. */
export function literalAsJson(text: string): string | undefined {
  const scanner = new Scanner(text);
  try {
    const json = scanLiteral(scanner);
    return scanner.ended ? json : undefined;
  } catch (error) {
    if (error instanceof Broken || error instanceof Cut) return undefined;
    throw error;
  }
}
