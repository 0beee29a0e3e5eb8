// Reads statements: what stands between {% and %}, and the text around them.
import { readExpression, readFilter, readTarget, readTuple } from "./expression.ts";
import { cutTemplate } from "./lex.ts";
import type { Expression, Signature, Statement, Target } from "./node.ts";
import { Stream } from "./stream.ts";
import { TemplateFault } from "./value.ts";

/** Tags of Jinja2 that a chat template, being one text without others beside it, has no use for. */
const refused = new Set(["autoescape", "block", "extends", "from", "import", "include"]);

/**
 * Reads a template.
 *
 * Errors: TemplateFault with the line; tags that need other templates are refused by their name.
 */
export function parseTemplate(text: string): Statement[] {
  return readBody(new Stream(cutTemplate(text)), []);
}

/** Statements up to a tag that is one of `ends`, whose name becomes current; to the template's end where there are none. */
function readBody(stream: Stream, ends: readonly string[]): Statement[] {
  const body: Statement[] = [];
  let parts: (string | Expression)[] = [];
  const flush = () => {
    if (parts.length) body.push({ type: "output", parts });
    parts = [];
  };
  for (;;) {
    const { type, value } = stream.current;
    if (type === "end") {
      if (ends.length) stream.fail(ends.join(" or "));
      flush();
      return body;
    }
    stream.next();
    if (type === "data") parts.push(value);
    else if (type === "variable_begin") {
      parts.push(readTuple(stream));
      stream.expectType("variable_end");
    } else {
      flush();
      if (stream.isWord(...ends)) return body;
      body.push(readStatement(stream));
      stream.expectType("block_end");
    }
  }
}

/** The body of a tag that ends here, and the name of the tag that ends it. */
function readBlock(stream: Stream, ...ends: string[]): [Statement[], string] {
  stream.skip(":");
  stream.expectType("block_end");
  const body = readBody(stream, ends);
  return [body, stream.next().value];
}

function readStatement(stream: Stream): Statement {
  const { value: tag, line } = stream.expectType("name");
  switch (tag) {
    case "if":
      return readIf(stream);
    case "for":
      return readFor(stream);
    case "set":
      return readSet(stream);
    case "macro": {
      const name = stream.expectType("name").value;
      const signature = readSignature(stream);
      return { type: "macro", name, signature, body: readBlock(stream, "endmacro")[0] };
    }
    case "call": {
      const signature = stream.is("(") ? readSignature(stream) : { parameters: [], defaults: [] };
      const call = readExpression(stream);
      if (call.type !== "call") return stream.fail("a call before it");
      return { type: "call", signature, call, body: readBlock(stream, "endcall")[0] };
    }
    case "filter":
      return { type: "filter", filter: readFilter(stream, undefined, true)!, body: readBlock(stream, "endfilter")[0] };
    case "with":
      return readWith(stream);
    case "generation":
      return { type: "generation", body: readBlock(stream, "endgeneration")[0] };
    case "print":
      return { type: "output", parts: [readTuple(stream)] };
    case "break":
    case "continue":
      return { type: tag };
  }
  throw new TemplateFault(
    refused.has(tag)
      ? `line ${line}: the tag ${tag} needs other templates, of which a chat template has none`
      : `line ${line}: got the tag ${tag}, expected one of Jinja's`,
  );
}

function readIf(stream: Stream): Statement {
  const branches: { test: Expression; body: Statement[] }[] = [];
  for (;;) {
    const test = readTuple(stream, { conditional: false });
    const [body, end] = readBlock(stream, "elif", "else", "endif");
    branches.push({ test, body });
    if (end === "elif") continue;
    return { type: "if", branches, otherwise: end === "else" ? readBlock(stream, "endif")[0] : [] };
  }
}

function readFor(stream: Stream): Statement {
  const target = readTarget(stream, { end: "in" });
  if (namesOf(target).includes("loop")) stream.fail("another name than loop before it");
  stream.expectWord("in");
  const iterable = readTuple(stream, { conditional: false, end: "recursive" });
  const test = stream.skipWord("if") ? readExpression(stream) : undefined;
  const recursive = stream.skipWord("recursive");
  const [body, end] = readBlock(stream, "endfor", "else");
  const otherwise = end === "else" ? readBlock(stream, "endfor")[0] : [];
  return { type: "for", target, iterable, test, recursive, body, otherwise };
}

function namesOf(target: Target): string[] {
  return target.type === "tuple" ? target.items.flatMap(namesOf) : [target.name];
}

function readSet(stream: Stream): Statement {
  const target = readTarget(stream, { members: true });
  if (stream.skip("=")) return { type: "set", target, value: readTuple(stream) };
  const filter = readFilter(stream, undefined);
  return { type: "capture", target, filter, body: readBlock(stream, "endset")[0] };
}

function readSignature(stream: Stream): Signature {
  const parameters: string[] = [];
  const defaults: Expression[] = [];
  stream.expect("(");
  while (!stream.is(")")) {
    if (parameters.length) stream.expect(",");
    parameters.push(stream.expectType("name").value);
    if (stream.skip("=")) defaults.push(readExpression(stream));
    else if (defaults.length) stream.fail("a default, as the parameter before has one");
  }
  stream.expect(")");
  return { parameters, defaults };
}

function readWith(stream: Stream): Statement {
  const targets: Target[] = [];
  const values: Expression[] = [];
  while (stream.current.type !== "block_end") {
    if (targets.length) stream.expect(",");
    targets.push(readTarget(stream));
    stream.expect("=");
    values.push(readExpression(stream));
  }
  return { type: "with", targets, values, body: readBlock(stream, "endwith")[0] };
}
