// JSON whose numbers keep their kind: 1 is an int, 1.0 a float, and long integers keep their digits.
import { formatFloat } from "./text.ts";
import { Float } from "./value.ts";

/** What a reviver of JSON.parse is told beside key and value, since V8 11.4. */
interface Source {
  readonly source?: string;
}
/** JSON.rawJSON, which the types lack. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/**
 * Reads JSON for a template: numbers written with a point or an exponent become Float, integers beyond 2^53 bigint, all else as
 * JSON.parse has it.
 *
 * Errors: SyntaxError for what is no JSON.
 */
export function parseExact(text: string): unknown {
  const revive = (_key: string, value: unknown, { source }: Source = {}) => {
    if (typeof value !== "number" || source === undefined) return value;
    if (/[.eE]/.test(source)) return new Float(value);
    return Number.isSafeInteger(value) ? value + 0 : BigInt(source);
  };
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

/** Writes what `parseExact` reads. Errors: TypeError for a number that is not finite, which JSON lacks. */
export function writeExact(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part instanceof Float) return rawJSON(formatFloat(part.value));
    if (typeof part === "bigint") return rawJSON(String(part));
    return typeof part === "number" && !Number.isFinite(part) ? refuse(part) : part;
  });
}

function refuse(number: number): never {
  throw new TypeError(`got the number ${number}, expected one that JSON has`);
}
