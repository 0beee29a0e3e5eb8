import { type Given, isTrue, kindOf, TemplateFault, Thing, textOf, type Value } from "./value.ts";

/**
 * Arguments by the names of parameters, undefined for those not given; a `?` behind a name marks one that may be left out, a `*`
 * before it one that is given by name only. Throws TemplateFault for too many, too few and unknown ones.
 */
export function bind(given: Given, callee: string, parameters: string): (Value | undefined)[] {
  const list = parameters.split(" ").filter(Boolean);
  const places = list.filter((parameter) => !parameter.startsWith("*")).length;
  if (given.positional.length > places)
    throw new TemplateFault(`${callee}: got ${given.positional.length} arguments, expected at most ${places}`);
  const rest = new Set(given.named.keys());
  const values = list.map((parameter, at) => {
    const name = parameter.replace(/[*?]/g, "");
    const isNamed = rest.delete(name);
    if (isNamed && at < given.positional.length)
      throw new TemplateFault(`${callee}: got ${name} twice, expected it once`);
    const value = isNamed ? given.named.get(name) : given.positional[at];
    if (value === undefined && !parameter.endsWith("?"))
      throw new TemplateFault(`${callee}: got no ${name}, expected one`);
    return value;
  });
  for (const name of rest) throw new TemplateFault(`${callee}: got an argument ${name}, expected none of this name`);
  return values;
}

/** The text of an argument. Throws TemplateFault for one that is no text. */
export function textGiven(value: Value | undefined, subject: string): string {
  const text = textOf(value);
  if (text === undefined)
    throw new TemplateFault(`${subject}: got ${value === undefined ? "nothing" : kindOf(value)}, expected a string`);
  return text;
}

/** Whether an argument that may be left out is true. */
export const isGiven = (value: Value | undefined): boolean => value !== undefined && isTrue(value);

/** Arguments without names. */
export const positional = (...values: Value[]): Given => ({ positional: values, named: new Map() });

/** What can be called: a function of ours, or a method together with its object. */
export class Callable extends Thing {
  readonly kind: string;
  readonly #call: (given: Given) => Value;
  constructor(call: (given: Given) => Value, kind = "function") {
    super();
    this.#call = call;
    this.kind = kind;
  }
  override get callable() {
    return true;
  }
  override call(given: Given): Value {
    return this.#call(given);
  }
}
