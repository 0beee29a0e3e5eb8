// Turns expressions into functions of the variables.
import { attributeOf, itemOf, sliceOf } from "./attribute.ts";
import { filters, refusedFilters } from "./filters.ts";
import { positional } from "./given.ts";
import type { Arguments, Expression } from "./node.ts";
import { negate } from "./number.ts";
import { compare, operate } from "./operate.ts";
import type { Evaluate, Frame } from "./run.ts";
import type { Scope, Slot } from "./scope.ts";
import { tests } from "./tests.ts";
import { checkLength, toText } from "./text.ts";
import {
  Dict,
  type Given,
  isTrue,
  kindOf,
  listOf,
  TemplateFault,
  Thing,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

/** Reads a variable, which may lie in a code further out. */
export function readSlot(scope: Scope, { depth, index }: Slot): (frame: Frame) => Value | undefined {
  const out = scope.code.depth - depth;
  if (out === 0) return (frame) => frame.slots[index];
  return (frame) => {
    let there = frame;
    for (let left = out; left > 0; left--) there = there.outer!;
    return there.slots[index];
  };
}

/** What there is not is an error where it is used: a condition before it may ask whether it can be. */
const refuse = (reason: string) => (): never => {
  throw new TemplateFault(reason);
};

/** A function that gives an expression's value. */
export function compileExpression(node: Expression, scope: Scope): Evaluate {
  const inner = (part: Expression) => compileExpression(part, scope);
  switch (node.type) {
    case "constant": {
      const { value } = node;
      return () => value;
    }
    case "name":
      return compileName(node.name, scope);
    case "tuple":
    case "list": {
      const items = node.items.map(inner);
      if (node.type === "list") return (frame) => items.map((item) => item(frame));
      return (frame) => new Tuple(items.map((item) => item(frame)));
    }
    case "dict": {
      const pairs = node.pairs.map(([key, value]) => [inner(key), inner(value)] as const);
      return (frame) => Dict.of(pairs.map(([key, value]) => [key(frame), value(frame)]));
    }
    case "concat": {
      const items = node.items.map(inner);
      return (frame) => {
        const texts = items.map((item) => toText(item(frame)));
        checkLength(texts.reduce((sum, text) => sum + text.length, 0));
        return texts.join("");
      };
    }
    case "attribute": {
      const object = inner(node.object);
      return (frame) => attributeOf(object(frame), node.name);
    }
    case "item":
      return compileItem(node, scope);
    case "call":
      return compileCall(node, scope);
    case "filter":
      return compileFilter(node, scope);
    case "test": {
      const test = tests.get(node.name) ?? refuse(`the test ${node.name} is none of Jinja's; use another`);
      const input = inner(node.input);
      const given = compileArguments(node.given, scope);
      return (frame) => test(input(frame), given(frame));
    }
    case "unary": {
      const operand = inner(node.operand);
      if (node.operator === "not") return (frame) => !isTrue(operand(frame));
      const isMinus = node.operator === "-";
      return (frame) => {
        const value = operand(frame);
        if (value instanceof Undefined) return value.fail();
        return isMinus ? negate(value) : negate(negate(value));
      };
    }
    case "binary": {
      const [left, right] = [inner(node.left), inner(node.right)];
      const { operator } = node;
      if (operator !== "and" && operator !== "or") return (frame) => operate(operator, left(frame), right(frame));
      const goesOn = operator === "and";
      return (frame) => {
        const value = left(frame);
        return isTrue(value) === goesOn ? right(frame) : value;
      };
    }
    case "compare": {
      const first = inner(node.first);
      const rest = node.rest.map(([operator, value]) => [operator, inner(value)] as const);
      return (frame) => {
        let left = first(frame);
        for (const [operator, value] of rest) {
          const right = value(frame);
          if (!compare(operator, left, right)) return false;
          left = right;
        }
        return true;
      };
    }
    case "condition": {
      const test = inner(node.test);
      const value = inner(node.value);
      const otherwise = node.otherwise && inner(node.otherwise);
      const none = new Undefined("the condition of an inline if is false, and it has no else");
      return (frame) => (isTrue(test(frame)) ? value(frame) : otherwise ? otherwise(frame) : none);
    }
  }
}

function compileName(name: string, scope: Scope): Evaluate {
  const slot = scope.find(name);
  const read = slot ? readSlot(scope, slot) : (frame: Frame) => frame.run.context.get(name);
  const none = new Undefined(`'${name}' is undefined`);
  return (frame) => {
    const value = read(frame);
    return value === undefined ? none : value;
  };
}

function compileItem(node: Extract<Expression, { type: "item" }>, scope: Scope): Evaluate {
  const object = compileExpression(node.object, scope);
  if (node.key.type !== "slice") {
    const key = compileExpression(node.key, scope);
    return (frame) => itemOf(object(frame), key(frame));
  }
  const bounds = node.key.bounds.map((bound) => bound && compileExpression(bound, scope));
  return (frame) =>
    sliceOf(
      object(frame),
      bounds.map((bound) => bound?.(frame)),
    );
}

/** A function that gives the arguments of a call. */
export function compileArguments(node: Arguments, scope: Scope): (frame: Frame) => Given {
  const list = node.positional.map((part) => compileExpression(part, scope));
  const named = node.named.map(([name, part]) => [name, compileExpression(part, scope)] as const);
  const spread = node.spread && compileExpression(node.spread, scope);
  const spreadNamed = node.spreadNamed && compileExpression(node.spreadNamed, scope);
  if (!list.length && !named.length && !spread && !spreadNamed) {
    const none = positional();
    return () => none;
  }
  return (frame) => {
    const values = list.map((one) => one(frame));
    if (spread) values.push(...listOf(spread(frame)));
    const names = new Map(named.map(([name, one]) => [name, one(frame)]));
    if (spreadNamed) {
      const more = spreadNamed(frame);
      if (!(more instanceof Dict)) throw new TemplateFault(`got ${kindOf(more)} behind **, expected a mapping`);
      for (const [key, value] of more.pairs()) {
        const name = textOf(key);
        if (name === undefined || names.has(name)) throw new TemplateFault("got a name twice or no name behind **");
        names.set(name, value);
      }
    }
    return { positional: values, named: names };
  };
}

/** A call; `addition` gives an argument that the template does not write: the block of a call. */
export function compileCall(
  node: Extract<Expression, { type: "call" }>,
  scope: Scope,
  addition?: (frame: Frame) => Value,
): Evaluate {
  const callee = compileExpression(node.callee, scope);
  const given = compileArguments(node.given, scope);
  return (frame) => {
    frame.run.step();
    const value = callee(frame);
    const own = given(frame);
    if (value instanceof Thing)
      return value.call(addition ? { ...own, named: new Map([...own.named, ["caller", addition(frame)]]) } : own);
    throw new TemplateFault(`'${kindOf(value)}' object is not callable`);
  };
}

/** A filter whose input is `captured` where the template writes none. */
export function compileFilter(
  node: Extract<Expression, { type: "filter" }>,
  scope: Scope,
  captured?: (frame: Frame) => Value,
): Evaluate {
  const reason = refusedFilters.has(node.name) ? "is not supported here" : "is none of Jinja's";
  const filter = filters.get(node.name) ?? refuse(`the filter ${node.name} ${reason}; use another`);
  const { input } = node;
  const value =
    input === undefined
      ? captured!
      : input.type === "filter"
        ? compileFilter(input, scope, captured)
        : compileExpression(input, scope);
  const given = compileArguments(node.given, scope);
  return (frame) => {
    frame.run.step();
    return filter(value(frame), given(frame));
  };
}
