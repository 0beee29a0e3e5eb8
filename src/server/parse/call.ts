import { isJson, scanMembers } from "./json.ts";
import { Broken, Scanner } from "./scan.ts";
import { jsonOf } from "./value.ts";

/** A call that a model wrote. */
export interface Call {
  readonly name: string;
  /** A JSON object, as text. */
  readonly arguments: string;
  /** The model's own name for the call, where its family writes one. */
  readonly id?: string | undefined;
}

/** JSON Schemas of tools' arguments, by the tools' names. */
export type Schemas = ReadonlyMap<string, unknown>;

/**
 * The calls that stand between a family's marks. Throws Cut where more text could make it well-formed, as where a string holds the
 * closing mark itself, and Broken where none could.
 */
export type Reader = (body: string, schemas: Schemas) => readonly Call[];

const object = (text: string): string => {
  const scanner = new Scanner(text.trim());
  scanMembers(scanner);
  if (!scanner.ended) throw new Broken("expected one object");
  return scanner.text;
};

/** A call of a member for its name, one for its arguments, which both may be in a member `function`, and perhaps one for its id. */
function callOf(members: ReadonlyMap<string, string>): Call {
  const inner = members.get("function");
  if (inner?.startsWith("{")) return callOf(scanMembers(new Scanner(inner)));
  const name: unknown = JSON.parse(members.get("name") ?? inner ?? "null");
  if (typeof name !== "string" || name === "") throw new Broken("expected a name");
  const value = members.get("arguments") ?? members.get("parameters") ?? "{}";
  // Some write the object as a string that holds it.
  const text = value.startsWith('"') ? (JSON.parse(value) as string) : value;
  const id = members.get("id");
  return {
    name,
    arguments: object(isJson(text) ? text : value),
    ...(id?.startsWith('"') ? { id: JSON.parse(id) as string } : {}),
  };
}

/** JSON objects, or lists of them, with `between` them. */
function scanCalls(body: string, between: string): Call[] {
  const calls: Call[] = [];
  const scanner = new Scanner(body);
  const one = () => void calls.push(callOf(scanMembers(scanner)));
  for (scanner.skip(); !scanner.ended; scanner.skip(between))
    if (scanner.peek() === "[") scanner.list("[", "]", one);
    else one();
  if (!calls.length) throw new Broken("expected a call");
  return calls;
}

/** A call or a list of them as JSON, perhaps in a fence of three marks. */
export const readJson: Reader = (body) => scanCalls(unfence(body), "");

/** Text without a fence of three marks around it. */
export function unfence(body: string): string {
  return /^\s*```\w*\n([\s\S]*?)\n?```\s*$/.exec(body)?.[1] ?? body;
}

/** JSON with nothing around it, several with a semicolon between; since any answer may be JSON, names must be those of tools. */
export const readBare: Reader = (body, schemas) => {
  const calls = scanCalls(body, ";");
  if (!calls.every(({ name }) => schemas.has(name))) throw new Broken("expected the name of a tool");
  return calls;
};

/** `functions.NAME:INDEX<mark>{...}`, all before the mark being the call's id. */
export const readNumbered: Reader = (body) => {
  const scanner = new Scanner(body);
  const id = scanner.until("<|tool_call_argument_begin|>").trim();
  const [, name] = /^(?:functions\.)?([^\s:]+)(?::\d+)?$/.exec(id) ?? [];
  if (!name) throw new Broken("expected an id");
  return [{ id, name, arguments: object(scanner.text.slice(scanner.at)) }];
};

/** `NAME<mark>{...}`, or with the type in front: `function<mark>NAME`, a line end, and the object in a fence. */
export const readSeparated: Reader = (body) => {
  const scanner = new Scanner(body);
  const first = scanner.until("<\uff5ctool\u2581sep\uff5c>").trim();
  const rest = scanner.text.slice(scanner.at);
  const [, name, text] = /^([^\s{]+)\s*\n([\s\S]*)$/.exec(rest) ?? [];
  if (name && first === "function") return [{ name, arguments: object(unfence(text!)) }];
  if (!/^\S+$/.test(first)) throw new Broken("expected a name");
  return [{ name: first, arguments: object(rest) }];
};

/** `NAME`, then pairs of `<arg_key>` and `<arg_value>`. */
export const readPairs: Reader = (body, schemas) => {
  const scanner = new Scanner(body).skip();
  const name = scanner.take(/[^\s<]+/);
  const members: [string, string][] = [];
  for (scanner.skip(); !scanner.ended; scanner.skip()) {
    scanner.expect("<arg_key>");
    const key = scanner.until("</arg_key>").trim();
    scanner.skip().expect("<arg_value>");
    members.push([key, scanner.until("</arg_value>")]);
  }
  return [{ name, arguments: jsonOf(members, schemas.get(name)) }];
};

/** `<function=NAME>`, then `<parameter=KEY>` with values on lines of their own. */
export const readMarkup: Reader = (body, schemas) => {
  const scanner = new Scanner(body).skip();
  const calls: Call[] = [];
  for (; !scanner.ended; scanner.skip()) {
    scanner.expect("<function=");
    const name = scanner.until(">").trim();
    const members: [string, string][] = [];
    while (!scanner.skip().has("</function>")) {
      scanner.expect("<parameter=");
      const key = scanner.until(">").trim();
      members.push([key, scanner.until("</parameter>").replace(/^\n/, "").replace(/\n$/, "")]);
    }
    if (!name) throw new Broken("expected a name");
    calls.push({ name, arguments: jsonOf(members, schemas.get(name)) });
  }
  if (!calls.length) throw new Broken("expected a call");
  return calls;
};

/** `NAME">`, then parameters that say whether they are text or JSON. */
export const readInvoke: Reader = (body) => {
  const scanner = new Scanner(body);
  const name = scanner.until('">');
  const members: string[] = [];
  while (!scanner.skip().ended) {
    scanner.expect('<\uff5cDSML\uff5cparameter name="');
    const key = scanner.until('" string="');
    const isText = scanner.until('">') === "true";
    const text = scanner.until("</\uff5cDSML\uff5cparameter>");
    if (!isText && !isJson(text)) throw new Broken("expected JSON");
    members.push(`${JSON.stringify(key)}: ${isText ? JSON.stringify(text) : text}`);
  }
  if (!name) throw new Broken("expected a name");
  return [{ name, arguments: `{${members.join(", ")}}` }];
};

/** A list of JSON with ids; or `NAME`, perhaps `[CALL_ID]ID`, `[ARGS]` and an object, and the mark before each further one. */
export const readNamed: Reader = (body) => {
  if (/^\s*\[\s*\{/.test(body)) return scanCalls(body, "");
  const calls: Call[] = [];
  const scanner = new Scanner(body);
  do {
    const [, name, , id] = /^\s*([^\s[{]+)(\[CALL_ID\](\w+))?$/.exec(scanner.until("[ARGS]")) ?? [];
    if (!name) throw new Broken("expected a name");
    const from = scanner.skip().at;
    scanMembers(scanner);
    calls.push({ name, id, arguments: scanner.text.slice(from, scanner.at) });
  } while (!scanner.skip().ended && scanner.has("[TOOL_CALLS]"));
  if (!scanner.ended) throw new Broken("expected an end");
  return calls;
};

/** `NAME">`, then parameters of bare text, perhaps in CDATA. */
export const readParams: Reader = (body, schemas) => {
  const scanner = new Scanner(body);
  const name = scanner.until('">');
  const members: [string, string][] = [];
  while (!scanner.skip().ended) {
    scanner.expect('<param name="');
    const key = scanner.until('">');
    const quoted = scanner.has("<![CDATA[");
    members.push([key, scanner.until(quoted ? "]]></param>" : "</param>")]);
  }
  if (!name) throw new Broken("expected a name");
  return [{ name, arguments: jsonOf(members, schemas.get(name)) }];
};

/** `NAME>`, then an object. */
export const readTagged: Reader = (body) => {
  const scanner = new Scanner(body);
  const name = scanner.until(">");
  if (!/^\S+$/.test(name)) throw new Broken("expected a name");
  return [{ name, arguments: object(scanner.text.slice(scanner.at)) }];
};

/** Whether a text may yet become an object whose first member is one of a call: as long as it may, nothing is said of it. */
export function mayBeCall(text: string): boolean {
  const first = /^\s*\{\s*"(\w*)("?)/.exec(text);
  if (!first) return /^\s*(?:\{\s*)?$/.test(text);
  const [, key = "", closed] = first;
  return callKeys.some((name) => (closed ? name === key : name.startsWith(key) && text.endsWith(key)));
}

const callKeys = ["name", "type", "function", "parameters", "arguments", "id"];
