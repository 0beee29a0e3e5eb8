import { type Call, type Reader, unfence } from "./call.ts";
import { Broken, Cut, Scanner } from "./scan.ts";

const NAME = /[A-Za-z_][\w.-]*/;
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

/** Calls as Python writes them with arguments by keyword, one to a line or in a list, perhaps in a fence of three marks. */
export const readPython: Reader = (body) => {
  const scanner = new Scanner(unfence(body)).skip();
  const calls: Call[] = [];
  const one = () => void calls.push(scanCall(scanner));
  if (!scanner.ended && scanner.peek() === "[") scanner.list("[", "]", one);
  else for (; !scanner.ended; scanner.skip(";")) one();
  if (!calls.length || !scanner.skip().ended) throw new Broken("expected calls");
  return calls;
};

function scanCall(scanner: Scanner): Call {
  const name = scanner.take(NAME);
  const members: string[] = [];
  scanner.skip().list("(", ")", () => {
    const key = scanner.take(NAME);
    scanner.skip().expect("=");
    scanner.skip();
    members.push(`${JSON.stringify(key)}: ${scanLiteral(scanner)}`);
  });
  return { name, arguments: `{${members.join(", ")}}` };
}

/** A literal of Python as JSON. */
function scanLiteral(scanner: Scanner): string {
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

/** A string in one or three quotes of either kind. */
function scanText(scanner: Scanner): string {
  const quote = scanner.peek();
  if (quote !== "'" && quote !== '"') throw new Broken("expected a string");
  const mark = scanner.text.startsWith(quote.repeat(3), scanner.at) ? quote.repeat(3) : quote;
  scanner.at += mark.length;
  let text = "";
  while (!scanner.has(mark)) {
    const next = scanner.peek();
    if (next === "\n" && mark.length === 1) throw new Broken("a string that a line ends");
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
