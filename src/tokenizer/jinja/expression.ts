// Reads expressions, by the precedence that Jinja2 3.1 has.
import { readString } from "./lex.ts";
import type { Arguments, Comparison, Expression, Operator, Slice, Target } from "./node.ts";
import type { Stream } from "./stream.ts";
import { Float, TemplateFault } from "./value.ts";

const constants = new Map<string, boolean | null>([
  ["true", true],
  ["True", true],
  ["false", false],
  ["False", false],
  ["none", null],
  ["None", null],
]);
const comparisons = new Set(["==", "!=", "<", "<=", ">", ">="]);

/** An expression, with `a if b else c` unless that is not wanted. */
export function readExpression(stream: Stream, conditional = true): Expression {
  let node = readOr(stream);
  while (conditional && stream.skipWord("if")) {
    const test = readOr(stream);
    const otherwise = stream.skipWord("else") ? readExpression(stream) : undefined;
    node = { type: "condition", test, value: node, otherwise };
  }
  return node;
}

/** Several expressions with commas, which make a tuple, or one without. `parenthesised` may be empty. */
export function readTuple(stream: Stream, { conditional = true, parenthesised = false, end = "" } = {}): Expression {
  return readRow(stream, () => readExpression(stream, conditional), parenthesised, end);
}

/** A row of one kind of node; a tuple if it has a comma. */
function readRow(stream: Stream, read: () => Expression, parenthesised: boolean, end: string): Expression {
  const items: Expression[] = [];
  let isTuple = false;
  for (;;) {
    const { type } = stream.current;
    if (type === "variable_end" || type === "block_end" || stream.is(")") || (end && stream.isWord(end))) break;
    items.push(read());
    if (!stream.skip(",")) break;
    isTuple = true;
  }
  if (!isTuple && items.length) return items[0]!;
  if (!isTuple && !parenthesised) stream.fail("an expression");
  return { type: "tuple", items };
}

/** What is assigned to, up to the word `end` if one is given; a namespace's attribute where `members` says so. */
export function readTarget(stream: Stream, { members = false, end = "" } = {}): Target {
  const names = new Map<Expression, Target>();
  const read = (): Expression => {
    const node = readPrimary(stream);
    if (members && node.type === "name" && stream.skip("."))
      names.set(node, { type: "member", name: node.name, attribute: stream.expectType("name").value });
    return node;
  };
  const turn = (node: Expression): Target => {
    const member = names.get(node);
    if (member) return member;
    if (node.type === "name") return node;
    if (node.type === "tuple") return { type: "tuple", items: node.items.map(turn) };
    return stream.fail("a name to assign to before it");
  };
  return turn(readRow(stream, read, false, end));
}

function readOr(stream: Stream): Expression {
  let left = readAnd(stream);
  while (stream.skipWord("or")) left = { type: "binary", operator: "or", left, right: readAnd(stream) };
  return left;
}

function readAnd(stream: Stream): Expression {
  let left = readNot(stream);
  while (stream.skipWord("and")) left = { type: "binary", operator: "and", left, right: readNot(stream) };
  return left;
}

function readNot(stream: Stream): Expression {
  if (stream.skipWord("not")) return { type: "unary", operator: "not", operand: readNot(stream) };
  const first = readSum(stream);
  const rest: [Comparison, Expression][] = [];
  for (;;) {
    const comparison = readComparison(stream);
    if (!comparison) break;
    rest.push([comparison, readSum(stream)]);
  }
  return rest.length ? { type: "compare", first, rest } : first;
}

function readComparison(stream: Stream): Comparison | undefined {
  const { type, value } = stream.current;
  if (type === "operator" && comparisons.has(value)) return stream.next().value as Comparison;
  if (stream.skipWord("in")) return "in";
  if (!stream.isWord("not") || stream.following.type !== "name" || stream.following.value !== "in") return undefined;
  stream.next();
  stream.next();
  return "not in";
}

/** Operators of one precedence, from the left. */
function readBinary(stream: Stream, operators: readonly Operator[], read: (stream: Stream) => Expression): Expression {
  let left = read(stream);
  for (;;) {
    const operator = operators.find((one) => stream.skip(one));
    if (!operator) return left;
    left = { type: "binary", operator, left, right: read(stream) };
  }
}

const readSum = (stream: Stream) => readBinary(stream, ["+", "-"], readConcat);
const readProduct = (stream: Stream) => readBinary(stream, ["*", "/", "//", "%"], readPower);
const readPower = (stream: Stream) => readBinary(stream, ["**"], readUnary);

function readConcat(stream: Stream): Expression {
  const items = [readProduct(stream)];
  while (stream.skip("~")) items.push(readProduct(stream));
  return items.length > 1 ? { type: "concat", items } : items[0]!;
}

function readUnary(stream: Stream, filters: unknown = true): Expression {
  let node: Expression;
  if (stream.skip("-")) node = { type: "unary", operator: "-", operand: readUnary(stream, false) };
  else if (stream.skip("+")) node = { type: "unary", operator: "+", operand: readUnary(stream, false) };
  else node = readPrimary(stream);
  node = readPostfix(stream, node);
  while (filters) {
    if (stream.is("|")) node = readFilter(stream, node)!;
    else if (stream.isWord("is")) node = readTest(stream, node);
    else if (stream.is("(")) node = { type: "call", callee: node, given: readArguments(stream) };
    else break;
  }
  return node;
}

function readPostfix(stream: Stream, start: Expression): Expression {
  let node = start;
  for (;;) {
    if (stream.skip(".")) {
      const { type, value } = stream.current;
      if (type !== "name" && type !== "integer") stream.fail("a name or a number");
      stream.next();
      node =
        type === "name"
          ? { type: "attribute", object: node, name: value }
          : { type: "item", object: node, key: { type: "constant", value: readInteger(value) } };
    } else if (stream.skip("[")) node = { type: "item", object: node, key: readKey(stream) };
    else if (stream.is("(")) node = { type: "call", callee: node, given: readArguments(stream) };
    else return node;
  }
}

function readKey(stream: Stream): Expression | Slice {
  const keys: (Expression | Slice)[] = [];
  while (!stream.is("]")) {
    if (keys.length) stream.expect(",");
    keys.push(readSlice(stream));
  }
  stream.expect("]");
  if (keys.length === 1) return keys[0]!;
  const items = keys.filter((key) => key.type !== "slice");
  if (items.length < keys.length) stream.fail("one slice between brackets");
  return { type: "tuple", items };
}

function readSlice(stream: Stream): Expression | Slice {
  const bounds: (Expression | undefined)[] = [stream.is(":") ? undefined : readExpression(stream)];
  if (!stream.is(":")) return bounds[0]!;
  while (bounds.length < 3 && stream.skip(":"))
    bounds.push(stream.is(":") || stream.is("]") || stream.is(",") ? undefined : readExpression(stream));
  return { type: "slice", bounds };
}

function readArguments(stream: Stream): Arguments {
  const positional: Expression[] = [];
  const named: [string, Expression][] = [];
  let spread: Expression | undefined;
  let spreadNamed: Expression | undefined;
  stream.expect("(");
  for (let first = true; !stream.is(")"); first = false) {
    if (!first) {
      stream.expect(",");
      if (stream.is(")")) break;
    }
    if (spreadNamed) stream.fail(")");
    if (stream.is("*") && !spread) {
      stream.next();
      spread = readExpression(stream);
    } else if (stream.skip("**")) spreadNamed = readExpression(stream);
    else if (stream.current.type === "name" && stream.following.type === "operator" && stream.following.value === "=") {
      const key = stream.next().value;
      stream.expect("=");
      named.push([key, readExpression(stream)]);
    } else {
      if (spread || named.length) stream.fail("a named argument");
      positional.push(readExpression(stream));
    }
  }
  stream.expect(")");
  return { positional, named, spread, spreadNamed };
}

const none: Arguments = { positional: [], named: [] };

function readDotted(stream: Stream): string {
  let name = stream.expectType("name").value;
  while (stream.skip(".")) name += `.${stream.expectType("name").value}`;
  return name;
}

/** Filters behind bars, or from the first one's name on for the tag `filter`; the input where there are none. */
export function readFilter(stream: Stream, input: Expression | undefined, begun = false): Expression | undefined {
  let node = input;
  for (let inline = begun; inline || stream.skip("|"); inline = false) {
    const name = readDotted(stream);
    node = { type: "filter", input: node, name, given: stream.is("(") ? readArguments(stream) : none };
  }
  return node;
}

function readTest(stream: Stream, input: Expression): Expression {
  stream.expectWord("is");
  const negated = stream.skipWord("not");
  const name = readDotted(stream);
  let given = none;
  if (stream.is("(")) given = readArguments(stream);
  else if (beginsArgument(stream)) {
    if (stream.isWord("is")) stream.fail("one test only");
    given = { positional: [readPostfix(stream, readPrimary(stream))], named: [] };
  }
  const test: Expression = { type: "test", input, name, given };
  return negated ? { type: "unary", operator: "not", operand: test } : test;
}

function beginsArgument(stream: Stream): boolean {
  const { type } = stream.current;
  if (type === "name") return !stream.isWord("else", "or", "and");
  return type === "string" || type === "integer" || type === "float" || stream.is("[") || stream.is("{");
}

/** An int as Python reads it, with underscores and in base 2, 8, 10 or 16. */
export function readInteger(text: string): number | bigint {
  const value = BigInt(text.replaceAll("_", "").replace(/^0+(?=\d)/, ""));
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function readPrimary(stream: Stream): Expression {
  const { type, value, line } = stream.current;
  if (type === "name") {
    stream.next();
    const constant = constants.get(value);
    return constant === undefined ? { type: "name", name: value } : { type: "constant", value: constant };
  }
  if (type === "string") {
    let text = "";
    while (stream.current.type === "string") text += readString(stream.next().value, line);
    return { type: "constant", value: text };
  }
  if (type === "integer" || type === "float") {
    stream.next();
    if (value.length > 1000)
      throw new TemplateFault(`line ${line}: got a number of ${value.length} digits, expected fewer`);
    return {
      type: "constant",
      value: type === "integer" ? readInteger(value) : new Float(Number(value.replaceAll("_", ""))),
    };
  }
  if (stream.skip("(")) {
    const node = readTuple(stream, { parenthesised: true });
    stream.expect(")");
    return node;
  }
  if (stream.skip("[")) return { type: "list", items: readItems(stream, "]", () => readExpression(stream)) };
  if (!stream.skip("{")) stream.fail("an expression");
  const pairs = readItems(stream, "}", () => {
    const key = readExpression(stream);
    stream.expect(":");
    return [key, readExpression(stream)] as const;
  });
  return { type: "dict", pairs };
}

/** Items with commas, and perhaps one behind the last, up to a bracket. */
function readItems<T>(stream: Stream, close: string, read: () => T): T[] {
  const items: T[] = [];
  while (!stream.is(close)) {
    if (items.length) stream.expect(",");
    if (stream.is(close)) break;
    items.push(read());
  }
  stream.expect(close);
  return items;
}
