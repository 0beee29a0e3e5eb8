// What operators do, by the types that meet: sums, comparisons, membership.

import { calculate, compareNumbers, intOf } from "./number.ts";
import { formatPercent } from "./percent.ts";
import { boundText, checkLength, escapeHtml } from "./text.ts";
import {
  Dict,
  itemsOf,
  iterate,
  kindOf,
  LIST_LIMIT,
  Markup,
  TemplateFault,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

/** One of Python's binary operators. */
export function operate(operator: string, left: Value, right: Value): Value {
  if (left instanceof Undefined) return left.fail();
  const text = textOf(left);
  if (operator === "%" && text !== undefined) {
    const written = formatPercent(text, right, left instanceof Markup);
    return left instanceof Markup ? new Markup(written) : written;
  }
  if (right instanceof Undefined) return right.fail();
  const number = calculate(operator, left, right);
  if (number !== undefined) return number;
  if (operator === "+") {
    const other = textOf(right);
    if (text !== undefined && other !== undefined) {
      if (typeof left === "string" && typeof right === "string") return boundText(left + right);
      return new Markup(boundText(escapeHtml(left).text + escapeHtml(right).text));
    }
    if (Array.isArray(left) && Array.isArray(right)) return checkList([...left, ...right]);
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple(checkList([...left.items, ...right.items]));
  }
  if (operator === "*") return repeat(left, right) ?? repeat(right, left) ?? refuse(operator, left, right);
  return refuse(operator, left, right);
}

function refuse(operator: string, left: Value, right: Value): never {
  throw new TemplateFault(`unsupported operand types for ${operator}: '${kindOf(left)}' and '${kindOf(right)}'`);
}

function checkList<T extends readonly Value[]>(list: T): T {
  if (list.length > LIST_LIMIT) throw new TemplateFault(`a list of more than ${LIST_LIMIT} items`);
  return list;
}

function repeat(value: Value, times: Value): Value | undefined {
  const int = intOf(times);
  if (int === undefined) return undefined;
  const count = Math.max(Math.min(Number(int), Number.MAX_SAFE_INTEGER), 0);
  const text = textOf(value);
  if (text !== undefined) {
    checkLength(text.length * count);
    const all = text ? text.repeat(count) : "";
    return value instanceof Markup ? new Markup(all) : all;
  }
  const items = itemsOf(value);
  if (!items) return undefined;
  if (items.length * count > LIST_LIMIT) throw new TemplateFault(`a list of more than ${LIST_LIMIT} items`);
  const list = items.length ? Array.from({ length: count }, () => items).flat() : [];
  return value instanceof Tuple ? new Tuple(list) : list;
}

/** Python's ==. */
export function isEqual(left: Value, right: Value): boolean {
  if (left === right) return true;
  const order = compareNumbers(left, right);
  if (order !== undefined) return order === 0;
  const text = textOf(left);
  if (text !== undefined) return text === textOf(right);
  if (left instanceof Undefined) return right instanceof Undefined;
  const items = itemsOf(left);
  if (items) {
    const other = itemsOf(right);
    if (!other || Array.isArray(left) !== Array.isArray(right) || items.length !== other.length) return false;
    return items.every((item, at) => isEqual(item, other[at]!));
  }
  if (!(left instanceof Dict) || !(right instanceof Dict) || left.size !== right.size) return false;
  return left.pairs().every(([key, value]) => right.has(key) && isEqual(value, right.get(key)!));
}

/** Texts by their characters, which UTF-16 units order otherwise. */
export function compareTexts(left: string, right: string): number {
  const shared = Math.min(left.length, right.length);
  for (let at = 0; at < shared; at++) {
    const a = left.charCodeAt(at);
    const b = right.charCodeAt(at);
    if (a === b) continue;
    // Surrogates stand for characters beyond all others.
    const [high, low] = [a >= 0xd800 && a < 0xe000, b >= 0xd800 && b < 0xe000];
    return high !== low ? (high ? 1 : -1) : a - b;
  }
  return left.length - right.length;
}

/** Less than 0, 0 or more, as values of one kind stand; NaN where neither is before the other. Throws where Python has no order. */
export function compareValues(left: Value, right: Value): number {
  const order = compareNumbers(left, right);
  if (order !== undefined) return order;
  const [a, b] = [textOf(left), textOf(right)];
  if (a !== undefined && b !== undefined) return compareTexts(a, b);
  for (const side of [left, right]) if (side instanceof Undefined) side.fail();
  const [items, others] = [itemsOf(left), itemsOf(right)];
  if (!items || !others || Array.isArray(left) !== Array.isArray(right))
    throw new TemplateFault(`no order between '${kindOf(left)}' and '${kindOf(right)}'`);
  const at = items.findIndex((item, index) => index >= others.length || !isEqual(item, others[index]!));
  if (at < 0) return items.length - others.length;
  return at >= others.length ? 1 : compareValues(items[at]!, others[at]!);
}

/** Python's `in`. */
export function contains(whole: Value, part: Value): boolean {
  const text = textOf(whole);
  if (text !== undefined) {
    const own = textOf(part);
    if (own === undefined)
      throw new TemplateFault(`'in <string>' requires string as left operand, not ${kindOf(part)}`);
    return text.includes(own);
  }
  if (whole instanceof Dict) return whole.has(part);
  const iterator = iterate(whole);
  for (let next = iterator.next(); !next.done; next = iterator.next()) if (isEqual(next.value, part)) return true;
  return false;
}

/** One comparison of a chain. */
export function compare(operator: string, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return isEqual(left, right);
    case "!=":
      return !isEqual(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
  }
  const order = compareValues(left, right);
  return operator === "<" ? order < 0 : operator === "<=" ? order <= 0 : operator === ">" ? order > 0 : order >= 0;
}
