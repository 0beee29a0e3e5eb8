// What stands behind `is`.

import { classify } from "./case.ts";
import { filters } from "./filters.ts";
import { bind } from "./given.ts";
import { calculate, intOf } from "./number.ts";
import { compare, isEqual } from "./operate.ts";
import { toText } from "./text.ts";
import {
  Dict,
  Float,
  type Given,
  isTrue,
  itemsOf,
  kindOf,
  Markup,
  TemplateFault,
  Thing,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

export type Test = (value: Value, given: Given) => boolean;

/** A test without arguments. */
const alone = (name: string, test: (value: Value) => boolean): [string, Test] => [
  name,
  (value, given) => {
    bind(given, name, "");
    return test(value);
  },
];

const beside = (operator: string, names: string): [string, Test][] =>
  names.split(" ").map((name) => [name, (value, given) => compare(operator, value, bind(given, name, "other")[0]!)]);

const rest = (value: Value, divisor: Value): Value => {
  for (const one of [value, divisor]) if (one instanceof Undefined) one.fail();
  const number = calculate("%", value, divisor);
  if (number === undefined) throw new TemplateFault(`got a ${kindOf(value)}, expected a number to divide`);
  return number;
};

const isNumber = (value: Value) => value instanceof Float || intOf(value) !== undefined;
const isSized = (value: Value) => textOf(value) !== undefined || itemsOf(value) !== undefined || value instanceof Dict;

export const tests: ReadonlyMap<string, Test> = new Map([
  alone("boolean", (value) => typeof value === "boolean"),
  alone("callable", (value) => value instanceof Thing && value.callable),
  alone("defined", (value) => !(value instanceof Undefined)),
  alone("escaped", (value) => value instanceof Markup),
  alone("even", (value) => isEqual(rest(value, 2), 0)),
  alone("false", (value) => value === false),
  alone("float", (value) => value instanceof Float),
  alone("integer", (value) => typeof value === "number" || typeof value === "bigint"),
  alone("iterable", (value) => isSized(value) || (value instanceof Thing && value.iterate() !== undefined)),
  alone("lower", (value) => classify.islower!(toText(value))),
  alone("mapping", (value) => value instanceof Dict),
  alone("none", (value) => value === null),
  alone("number", isNumber),
  alone("odd", (value) => isEqual(rest(value, 2), 1)),
  alone(
    "sequence",
    (value) => isSized(value) || (value instanceof Thing && (value.kind === "range" || value instanceof Undefined)),
  ),
  alone("string", (value) => textOf(value) !== undefined),
  alone("true", (value) => value === true),
  alone("undefined", (value) => value instanceof Undefined),
  alone("upper", (value) => classify.isupper!(toText(value))),
  ["divisibleby", (value, given) => isEqual(rest(value, bind(given, "divisibleby", "num")[0]!), 0)],
  ["filter", (value, given) => filters.has(textOf(value) ?? "") && bind(given, "filter", "").length === 0],
  ["test", (value, given) => tests.has(textOf(value) ?? "") && bind(given, "test", "").length === 0],
  [
    "sameas",
    (value, given) => {
      const [other] = bind(given, "sameas", "other");
      return (
        value === other || (value instanceof Undefined && other instanceof Undefined && value.reason === other.reason)
      );
    },
  ],
  ...beside("==", "== eq equalto"),
  ...beside("!=", "!= ne"),
  ...beside(">", "> gt greaterthan"),
  ...beside(">=", ">= ge"),
  ...beside("<", "< lt lessthan"),
  ...beside("<=", "<= le"),
  ["in", (value, given) => compare("in", value, bind(given, "in", "seq")[0]!)],
]);

/** Whether a value passes a test that is named by a value; whether it is true where there is none. */
export function passes(name: Value | undefined, value: Value, given: Given): boolean {
  if (name === undefined) return isTrue(value);
  const test = tests.get(textOf(name) ?? "");
  if (!test) throw new TemplateFault(`the test ${toText(name).slice(0, 40)} is none of Jinja's; use another`);
  return test(value, given);
}
