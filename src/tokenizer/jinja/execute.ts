// Turns statements into functions that write.
import { compileCall, compileExpression, compileFilter } from "./evaluate.ts";
import { Loop, Namespace } from "./loop.ts";
import { compileMacro } from "./macro.ts";
import { Lazy } from "./method.ts";
import type { Expression, Statement, Target } from "./node.ts";
import { type Evaluate, type Execute, type Frame, Output, type Signal } from "./run.ts";
import { Code, Scope, type Slot } from "./scope.ts";
import { toText } from "./text.ts";
import { isTrue, iterate, kindOf, TemplateFault, Tuple, type Value } from "./value.ts";

/** What a statement stands in: its variables, and whether a loop is around it. */
export interface Place {
  readonly scope: Scope;
  readonly isLoop: boolean;
}

/** A function that writes what statements write. */
export function compileBody(body: readonly Statement[], place: Place): Execute {
  const steps = body.map((statement) => compileStatement(statement, place));
  if (steps.length === 1) return steps[0]!;
  return (frame, output) => {
    for (const step of steps) {
      const signal = step(frame, output);
      if (signal) return signal;
    }
    return undefined;
  };
}

/** A function that sets a scope's variables to what they hold where it begins. */
export function enterScope(scope: Scope): (frame: Frame) => void {
  const steps: ((frame: Frame) => void)[] = [];
  for (const [{ index }, load] of scope.loads) {
    if (load === "given") continue;
    if (load === "nothing")
      steps.push((frame) => {
        frame.slots[index] = undefined;
      });
    else if ("context" in load) {
      const { context } = load;
      steps.push((frame) => {
        frame.slots[index] = frame.run.context.get(context);
      });
    } else {
      const { depth, index: from } = load.around;
      const out = scope.code.depth - depth;
      steps.push((frame) => {
        let there = frame;
        for (let left = out; left > 0; left--) there = there.outer!;
        frame.slots[index] = there.slots[from];
      });
    }
  }
  return (frame) => {
    for (const step of steps) step(frame);
  };
}

/** A function that assigns. Variables are those of the scope's own code. */
export function compileTarget(target: Target, scope: Scope): (frame: Frame, value: Value) => void {
  if (target.type === "name") {
    const { index } = scope.find(target.name)!;
    return (frame, value) => {
      frame.slots[index] = value;
    };
  }
  if (target.type === "member") {
    const namespace = compileExpression({ type: "name", name: target.name }, scope);
    return (frame, value) => {
      const object = namespace(frame);
      if (!(object instanceof Namespace))
        throw new TemplateFault(
          `${target.name}.${target.attribute}: got ${kindOf(object)}, expected a namespace to assign to`,
        );
      object.set(target.attribute, value);
    };
  }
  const items = target.items.map((item) => compileTarget(item, scope));
  return (frame, value) => {
    const iterator = iterate(value);
    for (const item of items) {
      const next = iterator.next();
      if (next.done) throw new TemplateFault(`got too few values for ${items.length} names`);
      item(frame, next.value);
    }
    if (!iterator.next().done) throw new TemplateFault(`got more values than the ${items.length} names that take them`);
  };
}

function compileStatement(node: Statement, place: Place): Execute {
  const { scope } = place;
  switch (node.type) {
    case "output":
      return compileOutput(node.parts, scope);
    case "if":
      return compileIf(node, place);
    case "for":
      return compileFor(node, place);
    case "set": {
      const value = compileExpression(node.value, scope);
      const assign = compileTarget(node.target, scope);
      return (frame) => void assign(frame, value(frame));
    }
    case "capture": {
      const capture = compileCapture(node.body, node.filter, place);
      const assign = compileTarget(node.target, scope);
      return (frame) => {
        const got = capture(frame);
        if (got.signal) return got.signal;
        assign(frame, got.value);
        return undefined;
      };
    }
    case "filter": {
      const capture = compileCapture(node.body, node.filter, place);
      return (frame, output) => {
        const got = capture(frame);
        if (!got.signal) output.add(toText(got.value));
        return got.signal;
      };
    }
    case "macro": {
      const macro = compileMacro(node.name, node.signature, node.body, scope);
      const assign = compileTarget({ type: "name", name: node.name }, scope);
      return (frame) => void assign(frame, macro(frame));
    }
    case "call": {
      const caller = compileMacro("caller", node.signature, node.body, scope);
      const call = compileCall(node.call, scope, caller);
      return (frame, output) => void output.add(toText(call(frame)));
    }
    case "generation": {
      const macro = compileMacro("generation", { parameters: [], defaults: [] }, node.body, scope);
      return (frame, output) => void output.add(toText(macro(frame).call({ positional: [], named: new Map() })));
    }
    case "with":
      return compileWith(node, place);
    case "break":
    case "continue":
      if (!place.isLoop) throw new TemplateFault(`got ${node.type} outside of loops, expected it inside one`);
      return () => node.type;
  }
}

function compileOutput(parts: readonly (string | Expression)[], scope: Scope): Execute {
  const pieces = parts.map((part) => (typeof part === "string" ? part : compileExpression(part, scope)));
  return (frame, output) => {
    for (const piece of pieces) {
      if (typeof piece === "string") output.add(piece);
      else {
        frame.run.step();
        output.add(toText(piece(frame)));
      }
    }
    return undefined;
  };
}

function compileIf(node: Extract<Statement, { type: "if" }>, place: Place): Execute {
  const branches = node.branches.map(
    ({ test, body }) => [compileExpression(test, place.scope), compileBody(body, place)] as const,
  );
  const otherwise = compileBody(node.otherwise, place);
  return (frame, output) => {
    for (const [test, body] of branches) if (isTrue(test(frame))) return body(frame, output);
    return otherwise(frame, output);
  };
}

/** Writes a body for itself and passes it through a filter, if there is one. */
function compileCapture(body: readonly Statement[], filter: Expression | undefined, { scope, isLoop }: Place) {
  const inner = new Scope(scope.code, scope);
  inner.readAll(body);
  if (filter) inner.readExpression(filter);
  const enter = enterScope(inner);
  const write = compileBody(body, { scope: inner, isLoop });
  let text = "";
  const passed = filter?.type === "filter" ? compileFilter(filter, inner, () => text) : () => text;
  return (frame: Frame): { signal: Signal; value: Value } => {
    enter(frame);
    const output = new Output();
    const signal = write(frame, output);
    text = output.text;
    return { signal, value: signal ? null : passed(frame) };
  };
}

function compileWith(node: Extract<Statement, { type: "with" }>, { scope, isLoop }: Place): Execute {
  const inner = new Scope(scope.code, scope);
  for (const target of node.targets) inner.readTarget(target, true);
  inner.readAll(node.body);
  const enter = enterScope(inner);
  const values = node.values.map((value) => compileExpression(value, scope));
  const targets = node.targets.map((target) => compileTarget(target, inner));
  const write = compileBody(node.body, { scope: inner, isLoop });
  return (frame, output) => {
    enter(frame);
    for (const [at, value] of values.entries()) targets[at]!(frame, value(frame));
    return write(frame, output);
  };
}

function compileFor(node: Extract<Statement, { type: "for" }>, { scope }: Place): Execute {
  const code = node.recursive ? new Code(scope.code.depth + 1) : scope.code;
  const inner = new Scope(code, scope);
  const { index: loopAt } = inner.declare("loop");
  inner.readTarget(node.target, true);
  inner.readAll(node.body);
  const rest = new Scope(code, scope);
  rest.readAll(node.otherwise);
  const assign = compileTarget(node.target, inner);
  const [enter, enterRest] = [enterScope(inner), enterScope(rest)];
  const body = compileBody(node.body, { scope: inner, isLoop: true });
  const otherwise = compileBody(node.otherwise, { scope: rest, isLoop: false });
  const iterable = compileExpression(node.iterable, scope);
  const filter = node.test && compileLoopFilter(node.target, node.test, scope, code);

  /** Runs over the items with the variables of `frame`. */
  const walk = (
    frame: Frame,
    items: Value,
    output: Output,
    again?: (items: Value, depth: number) => Value,
    depth = 0,
  ) => {
    const loop = new Loop(filter ? filter(frame, items) : items, again, depth);
    let isEmpty = true;
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      frame.run.step();
      assign(frame, item);
      frame.slots[loopAt] = loop;
      enter(frame);
      const signal = body(frame, output);
      if (signal === "break") break;
      // As in Python's code for it, a round that was cut short does not count.
      if (signal !== "continue") isEmpty = false;
    }
    if (!isEmpty) return undefined;
    enterRest(frame);
    return otherwise(frame, output);
  };
  if (!node.recursive) return (frame, output) => void walk(frame, iterable(frame), output);
  return (frame, output) => {
    const again = (items: Value, depth: number): Value => {
      const text = new Output();
      walk({ run: frame.run, outer: frame, slots: [] }, items, text, again, depth);
      return text.text;
    };
    output.add(toText(again(iterable(frame), 0)));
    return undefined;
  };
}

/** Items for which the condition behind a loop's `if` holds, asked for one by one. */
function compileLoopFilter(target: Target, test: Expression, scope: Scope, around: Code) {
  const inner = new Scope(new Code(around.depth + 1), scope);
  inner.readTarget(target, true);
  inner.readExpression(test);
  const assign = compileTarget(target, inner);
  const enter = enterScope(inner);
  const holds: Evaluate = compileExpression(test, inner);
  const slotsOf = (one: Target): Slot[] =>
    one.type === "tuple" ? one.items.flatMap(slotsOf) : one.type === "name" ? [inner.find(one.name)!] : [];
  const slots = slotsOf(target);
  return (frame: Frame, items: Value): Lazy => {
    const own: Frame = { run: frame.run, outer: frame, slots: [] };
    const iterator = iterate(items);
    const walk = function* (): Generator<Value> {
      enter(own);
      for (let next = iterator.next(); !next.done; next = iterator.next()) {
        frame.run.step();
        assign(own, next.value);
        if (!isTrue(holds(own))) continue;
        yield target.type === "tuple" ? rebuild(target, own) : next.value;
      }
    };
    const rebuild = (one: Target, from: Frame): Value =>
      one.type === "tuple"
        ? new Tuple(one.items.map((item) => rebuild(item, from)))
        : from.slots[slots.find((slot) => one.type === "name" && slot === inner.find(one.name))!.index]!;
    return new Lazy(walk());
  };
}
