import { checkLength } from "./text.ts";
import { countPoints } from "./value.ts";

/** A text made as wide as asked, in characters: by `fill` behind it (`<`), before it (`>`), on both sides (`^`), or after its sign (`=`). */
export function pad(text: string, width: number, fill: string, align: string): string {
  const missing = width - countPoints(text);
  if (missing <= 0) return text;
  checkLength(text.length + missing * fill.length);
  if (align === "<") return text + fill.repeat(missing);
  if (align === ">") return fill.repeat(missing) + text;
  if (align === "=") {
    const sign = /^[-+ ]?(?:0[xobXOB])?/.exec(text)![0];
    return sign + fill.repeat(missing) + text.slice(sign.length);
  }
  const before = Math.floor(missing / 2);
  return fill.repeat(before) + text + fill.repeat(missing - before);
}

/** Digits with a mark between every `size` of them, counted from the right. */
export function group(digits: string, mark: string, size = 3): string {
  const [whole, ...rest] = digits.split(".") as [string, ...string[]];
  const head = /^[-+ ]?/.exec(whole)![0];
  const body = whole.slice(head.length);
  const parts: string[] = [];
  for (let end = body.length; end > 0; end -= size) parts.unshift(body.slice(Math.max(0, end - size), end));
  return [head + parts.join(mark), ...rest].join(".");
}
