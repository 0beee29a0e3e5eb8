import { FormatError } from "../../tensor/error.ts";
import { familyOf } from "../parse/family.ts";
import { typesOf } from "../parse/value.ts";
import { Rules } from "./rules.ts";
import { type Member, SchemaRules } from "./schema.ts";
import { textOf } from "./set.ts";
import { checkSize } from "./size.ts";

/** A tool as a request declares it. */
export interface Tool {
  readonly name: string;
  /** A JSON Schema of an object; without one there are no arguments. */
  readonly parameters?: unknown;
}

/** How a family's calls are written, as EBNF: all of them, from one call's expression; one call, from its tool's name. */
interface Shape {
  run(call: string, repeated: string): string;
  call(name: string, write: Writing): string;
}

/** The expressions that a call is put together from. */
interface Writing {
  /** Arguments as an object of JSON. */
  json(): string;
  /** Arguments one by one, with something between. */
  each(one: (name: string, value: string, raw: string) => string, between: string): string;
}

const bar = "\uff5c";
const sep = "<\uff5ctool\u2581sep\uff5c>";
const wrapped =
  (open: string, close: string): Shape["run"] =>
  (call, repeated) =>
    `${textOf(open)} ${call} ${textOf(close)} ("\\n"? ${textOf(open)} ${call} ${textOf(close)})${repeated}`;
const within =
  (open: string, close: string): Shape["run"] =>
  (call, repeated) =>
    `${textOf(open)} ${call} ("\\n"? ${call})${repeated} ${textOf(close)}`;

/** A list of objects with a member for the arguments between two marks. */
const listed = (open: string, close: string, end = '"}"'): Shape => ({
  run: (call, repeated) => `${textOf(open)} ${call} (", " ${call})${repeated} ${textOf(close)}`,
  call: (name, { json }) => `${textOf(`{"name": ${JSON.stringify(name)}, "arguments": `)} ${json()} ${end}`,
});

/** One call, which its template gives no second of. */
const single = (open: string): Shape => ({
  run: (call) => `${textOf(open)} ${call}`,
  call: (name, { json }) => `${textOf(`{"name": ${JSON.stringify(name)}, "arguments": `)} ${json()} "}"`,
});

/** A run of calls under a name, with parameters that say whether they are text. */
const invoked = (run: string): Shape => ({
  run: within(`<${bar}DSML${bar}${run}>\n`, `</${bar}DSML${bar}${run}>`),
  call: (name, { each }) =>
    `${textOf(`<${bar}DSML${bar}invoke name="${name}">\n`)} ${each(
      (key, value, raw) =>
        `${textOf(`<${bar}DSML${bar}parameter name="${key}" string="${raw !== value}">`)} ${raw} ${textOf(`</${bar}DSML${bar}parameter>\n`)}`,
      '""',
    )} ${textOf(`</${bar}DSML${bar}invoke>\n`)}`,
});

const shapes: Readonly<Record<string, Shape>> = {
  hermes: {
    run: wrapped("<tool_call>\n", "\n</tool_call>"),
    call: (name, { json }) => `${textOf(`{"name": ${JSON.stringify(name)}, "arguments": `)} ${json()} "}"`,
  },
  llama: {
    run: (call) => call,
    call: (name, { json }) => `${textOf(`{"name": ${JSON.stringify(name)}, "parameters": `)} ${json()} "}"`,
  },
  kimi: {
    run: within("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    call: (name, { json }) =>
      `${textOf(`<|tool_call_begin|>functions.${name}:`)} [0-9]{1,2} ${textOf("<|tool_call_argument_begin|>")} ${json()} ${textOf("<|tool_call_end|>")}`,
  },
  deepseek: {
    run: within("<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"),
    call: (name, { json }) =>
      `${textOf(`<\uff5ctool\u2581call\u2581begin\uff5c>${name}${sep}`)} ${json()} ${textOf("<\uff5ctool\u2581call\u2581end\uff5c>")}`,
  },
  // Before V3.1: with the type in front, and arguments in a fence.
  fenced: {
    run: within("<\uff5ctool\u2581calls\u2581begin\uff5c>", "<\uff5ctool\u2581calls\u2581end\uff5c>"),
    call: (name, { json }) =>
      `${textOf(`<\uff5ctool\u2581call\u2581begin\uff5c>function${sep}${name}\n\`\`\`json\n`)} ${json()} ${textOf("\n```<\uff5ctool\u2581call\u2581end\uff5c>")}`,
  },
  glm: {
    run: wrapped("<tool_call>", "</tool_call>"),
    call: (name, { each }) =>
      `${textOf(`${name}\n`)} ${each((key, _, raw) => `${textOf(`<arg_key>${key}</arg_key>\n<arg_value>`)} ${raw} ${textOf("</arg_value>\n")}`, '""')}`,
  },
  markup: {
    run: wrapped("<tool_call>\n", "\n</tool_call>"),
    call: (name, { each }) =>
      `${textOf(`<function=${name}>\n`)} ${each((key, _, raw) => `${textOf(`<parameter=${key}>\n`)} ${raw} ${textOf("\n</parameter>\n")}`, '""')} ${textOf("</function>")}`,
  },
  function_calls: invoked("function_calls"),
  dsml: invoked("tool_calls"),
  // Mistral before Small 3.1, with the ids that its template wants.
  mistral: listed("[TOOL_CALLS][", "]", '", \\"id\\": \\"" [a-zA-Z0-9]{9} "\\"}"'),
  args: {
    run: (call, repeated) => `${call} (${call})${repeated}`,
    call: (name, { json }) => `${textOf(`[TOOL_CALLS]${name}[ARGS]`)} ${json()}`,
  },
  params: {
    run: (call, repeated) => `${call} ("\\n"? ${call})${repeated}`,
    call: (name, { each }) =>
      `${textOf(`<function name="${name}">`)} ${each((key, _, raw) => `${textOf(`<param name="${key}">`)} ${raw} ${textOf("</param>")}`, '""')} ${textOf("</function>")}`,
  },
  gigachat: single("<|function_call|>"),
  turn: single("<|message_sep|>\n\nfunction call<|role_sep|>\n"),
  tagged: {
    run: (call, repeated) => `${call} (${call})${repeated}`,
    call: (name, { json }) => `${textOf(`<function=${name}>`)} ${json()} ${textOf("</function>")}`,
  },
  listed: listed("<tool_calls>[", "]</tool_calls>"),
  python: {
    run: (call, repeated) =>
      `${textOf("<|tool_call_start|>\n```python\n")} ${call} ("\\n" ${call})${repeated} ${textOf("\n```\n<|tool_call_end|>")}`,
    call: (name, { each }) =>
      `${textOf(`${name}(`)} ${each((key, value) => `${textOf(`${key}=`)} ${value}`, '", "')} ")"`,
  },
};

/** Families whose templates write calls in two ways: what the templates of one contain, and its shape. */
const ways = [
  ["deepseek", "```json", "fenced"],
  ["dsml", "function_calls>", "function_calls"],
  ["mistral", "[ARGS]", "args"],
] as const;

/** Calls that a text may have, where it may have several. */
const MANY = 8;

/**
 * Calls of some of these tools and nothing else, in the form of the template's family, as EBNF: one, or with `many` up to eight.
 *
 * Errors: FormatError for a template whose family is not known, no tools, or parameters that cannot be heeded.
 */
export function callsGrammar(template: string | undefined, tools: readonly Tool[], many: boolean): string {
  const family = familyOf(template);
  if (!family)
    throw new FormatError(
      "tool_choice: got a template that does not say how calls are written, expected one that does; leave it out",
    );
  if (!tools.length) throw new FormatError("tool_choice: got no tools, expected one at least; declare it");
  const [, , own = family.name] = ways.find(([name, mark]) => name === family.name && template?.includes(mark)) ?? [];
  const shape = shapes[own]!;
  const rules = new Rules();
  const calls = tools.map(({ name, parameters }) => {
    const subject = `tools: ${name}`;
    checkSize(subject, parameters);
    const schema = parameters ?? { type: "object", additionalProperties: false };
    const writer = new SchemaRules(subject, schema, rules);
    return shape.call(name, {
      json: () => writer.value(schema),
      each: (one, between) => {
        const members = writer.members(schema as Readonly<Record<string, unknown>>);
        return rules.sequence(members, (member) => one(member.name, member.value, rawOf(member)), between, subject);
      },
    });
  });
  const call = rules.name("call");
  rules.set(call, calls.join(" | "));
  return rules.text(shape.run(call, many ? `{0,${MANY - 1}}` : "{0,0}"));
}

/** A value without quotes: a text without the mark that ends it, one of those listed, or JSON where it is no text. */
function rawOf({ schema, value }: Member): string {
  const types = typesOf(schema);
  if (types.size && !types.has("string")) return value;
  const { enum: listed } = schema as { enum?: unknown };
  if (!Array.isArray(listed)) return "[^<]{0,10000}";
  return `(${listed.map((one) => textOf(typeof one === "string" ? one : JSON.stringify(one))).join(" | ")})`;
}
