// Macros: functions that a template defines. They see the variables around their text, not those of who calls them.
import { compileExpression } from "./evaluate.ts";
import { compileBody, enterScope } from "./execute.ts";
import type { Signature, Statement } from "./node.ts";
import { type Frame, Output } from "./run.ts";
import { Code, findRead, Scope } from "./scope.ts";
import { Dict, type Given, TemplateFault, Thing, Tuple, Undefined, type Value } from "./value.ts";

/** Arguments beyond the parameters, and the block of a call: a macro takes them if it reads them. */
const special = ["caller", "kwargs", "varargs"] as const;

class Macro extends Thing {
  readonly kind = "Macro";
  readonly #name: string;
  readonly #signature: Signature;
  readonly #takes: ReadonlySet<string>;
  readonly #run: (values: (Value | undefined)[]) => Value;
  constructor(
    name: string,
    signature: Signature,
    takes: ReadonlySet<string>,
    run: (values: (Value | undefined)[]) => Value,
  ) {
    super();
    this.#name = name;
    this.#signature = signature;
    this.#takes = takes;
    this.#run = run;
  }

  override get callable() {
    return true;
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case "name":
        return this.#name;
      case "arguments":
        return new Tuple([...this.#signature.parameters]);
      case "caller":
        return this.#takes.has("caller");
      case "catch_kwargs":
        return this.#takes.has("kwargs");
      case "catch_varargs":
        return this.#takes.has("varargs");
    }
    return undefined;
  }

  override call({ positional, named }: Given): Value {
    const { parameters } = this.#signature;
    const rest = new Map(named);
    const values: (Value | undefined)[] = parameters.map((name, at) => {
      if (at < positional.length) return positional[at];
      const value = rest.get(name);
      rest.delete(name);
      return value;
    });
    if (this.#takes.has("caller")) {
      const caller = rest.get("caller");
      rest.delete("caller");
      values.push(caller === undefined || caller === null ? new Undefined("No caller defined") : caller);
    }
    if (this.#takes.has("kwargs")) values.push(Dict.of(rest));
    else if (rest.size)
      throw new TemplateFault(
        `macro ${this.#name}: got an argument ${[...rest.keys()][0]}, expected none of this name`,
      );
    if (this.#takes.has("varargs")) values.push(new Tuple(positional.slice(parameters.length)));
    else if (positional.length > parameters.length)
      throw new TemplateFault(
        `macro ${this.#name}: got ${positional.length} arguments, expected at most ${parameters.length}`,
      );
    return this.#run(values);
  }

  override show() {
    return `<Macro '${this.#name}'>`;
  }
}

/** A function that makes the macro where the template defines it. */
export function compileMacro(
  name: string,
  signature: Signature,
  body: readonly Statement[],
  around: Scope,
): (frame: Frame) => Thing {
  const { parameters, defaults } = signature;
  const scope = new Scope(new Code(around.code.depth + 1), around);
  const read = () => {
    for (const parameter of parameters) scope.declare(parameter);
    for (const value of defaults) scope.readExpression(value);
    scope.readAll(body);
  };
  read();
  const found = findRead(body, special);
  if (
    found.has("caller") &&
    parameters.includes("caller") &&
    parameters.indexOf("caller") < parameters.length - defaults.length
  )
    throw new TemplateFault(`macro ${name}: got a parameter caller without a default, expected one with it`);
  const takes = new Set(special.filter((one) => found.has(one) && !parameters.includes(one)));
  for (const one of takes) scope.declare(one);
  const slots = [...parameters, ...takes].map((one) => scope.find(one)!.index);
  const enter = enterScope(scope);
  const values = defaults.map((value) => compileExpression(value, scope));
  const write = compileBody(body, { scope, isLoop: false });
  const first = parameters.length - defaults.length;
  return (outer) =>
    new Macro(name, signature, takes, (given) => {
      const frame: Frame = { run: outer.run, outer, slots: [] };
      outer.run.step();
      given.forEach((value, at) => {
        frame.slots[slots[at]!] = value;
      });
      enter(frame);
      parameters.forEach((parameter, at) => {
        if (given[at] !== undefined) return;
        frame.slots[slots[at]!] =
          at < first ? new Undefined(`parameter '${parameter}' was not provided`) : values[at - first]!(frame);
      });
      const output = new Output();
      write(frame, output);
      return output.text;
    });
}
