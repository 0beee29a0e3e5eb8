import { Broken, Cut, type Scanner } from "./scan.ts";

const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/;
/** A string that the end of the text may cut short. */
const OPEN_STRING = /^"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*(?:\\(?:u[0-9a-fA-F]{0,3})?)?$/;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/;

/** Goes over a JSON string and gives its text. Throws as Scanner. */
export function scanString(scanner: Scanner): string {
  scanner.peek();
  const found = scanner.match(STRING);
  if (found !== undefined) return JSON.parse(found) as string;
  if (OPEN_STRING.test(scanner.text.slice(scanner.at))) throw new Cut("the text ends");
  throw new Broken("expected a string");
}

/** Goes over one JSON value and gives it as it is written. Throws as Scanner. */
export function scanValue(scanner: Scanner): string {
  const from = scanner.at;
  const first = scanner.peek();
  if (first === "{") scanMembers(scanner);
  else if (first === "[") scanner.list("[", "]", () => void scanValue(scanner));
  else if (first === '"') scanString(scanner);
  else if (/[-\d]/.test(first)) scanner.take(NUMBER);
  else if (!["true", "false", "null"].some((word) => scanner.has(word))) throw new Broken("expected a value");
  return scanner.text.slice(from, scanner.at);
}

/** Goes over a JSON object and gives its members' values as they are written, so that no number loses digits. Throws as Scanner. */
export function scanMembers(scanner: Scanner): Map<string, string> {
  const members = new Map<string, string>();
  scanner.list("{", "}", () => {
    const key = scanString(scanner);
    scanner.skip().expect(":");
    scanner.skip();
    members.set(key, scanValue(scanner));
  });
  return members;
}

/** Whether a text is one JSON value and nothing else. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
