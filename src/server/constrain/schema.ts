import { FormatError } from "../../tensor/error.ts";
import { formatGrammar } from "./format.ts";
import { integerGrammar, numberGrammar } from "./number.ts";
import { overlap, type Schema } from "./overlap.ts";
import { regexGrammar } from "./regex.ts";
import { Rules } from "./rules.ts";
import { textOf } from "./set.ts";

/** Schemas in all, and schemas in schemas. */
const COUNT_LIMIT = 5000;
const DEPTH_LIMIT = 64;
/** Items and characters that a bound may ask for at least; of more at most, as many are written. */
const LEAST_LIMIT = 1000;
const ITEM_LIMIT = 1000;
const CHARACTER_LIMIT = 10_000;

/** Keywords that say nothing of what is valid. */
const annotations = new Set(
  "title description default examples example deprecated readOnly writeOnly $schema $id $comment $defs definitions".split(
    " ",
  ),
);

/** Keywords by the type that they bound. */
const keywords: Readonly<Record<string, readonly string[]>> = {
  string: ["minLength", "maxLength", "pattern", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  object: ["properties", "required", "additionalProperties", "propertyNames", "unevaluatedProperties"],
  boolean: [],
  null: [],
};

/**
 * Writes JSON Schemas (2020-12) as rules of EBNF. All that the rules allow is valid by the schema; where a schema allows more than
 * is worth writing, they allow less: members stand in the order of `properties`, objects that declare some have no others, lists
 * have all of `prefixItems`, numbers within bounds have eight decimals at most. A keyword that bounds and is not known is refused.
 */
export class SchemaRules {
  readonly rules: Rules;
  readonly #subject: string;
  readonly #root: unknown;
  #count = 0;
  /** References whose rule has not come to a member or an item yet. */
  readonly #open = new Set<string>();

  /** `root` is what references point into; `rules` may have others' too, told apart by their subjects. */
  constructor(subject: string, root: unknown, rules = new Rules()) {
    this.#subject = subject;
    this.#root = root;
    this.rules = rules;
  }

  /** The expression of a schema. Throws FormatError naming the place and the keyword that is refused. */
  value(schema: unknown, path = "", depth = 0): string {
    if (++this.#count > COUNT_LIMIT || depth > DEPTH_LIMIT)
      this.#fail(path, `more than ${COUNT_LIMIT} schemas, or ${DEPTH_LIMIT} in each other`, "fewer");
    if (schema === true) return this.rules.json();
    if (typeof schema !== "object" || schema === null || Array.isArray(schema))
      return this.#fail(path, schema === false ? "false, which nothing fits" : typeof schema, "a schema");
    const keys = Object.keys(schema).filter((key) => !annotations.has(key) && !key.startsWith("x-"));
    const alone = (...beside: string[]) => {
      const other = keys.find((key) => !beside.includes(key));
      if (other !== undefined) this.#fail(path, `${other} beside ${beside[0]}`, "one of them");
    };
    const node = schema as Schema;
    const has = (key: string) => Object.hasOwn(node, key);
    if (keys.length === 0) return this.rules.json();
    if (has("$ref")) {
      alone("$ref");
      return this.#reference(node.$ref, path, depth);
    }
    if (has("const") || has("enum")) {
      alone(has("const") ? "const" : "enum", "type");
      return this.#values(has("const") ? [node.const] : node.enum, node, path);
    }
    for (const key of ["anyOf", "oneOf", "allOf"])
      if (has(key)) {
        alone(key);
        return this.#combine(key, node[key], path, depth);
      }
    return this.#typed(node, keys, path, depth);
  }

  #fail(path: string, got: string, expected: string): never {
    throw new FormatError(
      `${this.#subject}${path && `, at ${path}`}: got ${got.slice(0, 200)}, expected ${expected}; change the schema`,
    );
  }

  #reference(pointer: unknown, path: string, depth: number): string {
    if (typeof pointer !== "string" || !/^#(?:\/|$)/.test(pointer))
      return this.#fail(path, `the reference ${JSON.stringify(pointer)}`, "one into this schema, as #/$defs/NAME");
    if (this.#open.has(pointer)) this.#fail(path, `${pointer}, which is itself`, "a member or an item in between");
    const known = this.rules.find(`${this.#subject} ${pointer}`);
    if (known !== undefined) return known;
    const target = resolve(this.#root, pointer);
    if (target === undefined) this.#fail(path, `the reference ${pointer}`, "one that is there");
    this.#open.add(pointer);
    const name = this.rules.name(`${this.#subject} ${pointer}`);
    this.rules.set(name, this.value(target, pointer, depth + 1));
    this.#open.delete(pointer);
    return name;
  }

  #values(values: unknown, { type }: Schema, path: string): string {
    const types = type === undefined ? undefined : [type].flat();
    const fits = (value: unknown) =>
      !types || types.some((name) => (name === "integer" ? Number.isInteger(value) : name === typeOf(value)));
    const list = Array.isArray(values) ? values.filter(fits) : [];
    if (!list.length) this.#fail(path, "an enum without a value of its type", "one value at least");
    if (list.length > COUNT_LIMIT) this.#fail(path, `${list.length} values`, `at most ${COUNT_LIMIT}`);
    return `(${list.map((value) => textOf(JSON.stringify(value))).join(" | ")})`;
  }

  #combine(key: string, value: unknown, path: string, depth: number): string {
    if (!Array.isArray(value) || !value.length) return this.#fail(path, `${key} without a list`, "schemas");
    if (key === "allOf" && value.length > 1)
      this.#fail(path, `allOf of ${value.length}`, "one schema that says it all");
    if (key === "oneOf")
      for (const [i, a] of value.entries())
        for (const b of value.slice(i + 1))
          if (overlap(a, b, (pointer) => resolve(this.#root, pointer)))
            this.#fail(
              path,
              "oneOf with alternatives that may hold at once",
              "anyOf, or a member that tells them apart",
            );
    const options = value.map((option, i) => this.value(option, `${path}/${key}/${i}`, depth + 1));
    return `(${options.join(" | ")})`;
  }

  #typed(node: Schema, keys: readonly string[], path: string, depth: number): string {
    const implied = Object.keys(keywords).filter((type) => keys.every((key) => keywords[type]!.includes(key)));
    // integer and number are bounded alike.
    const types = node.type === undefined ? implied.slice(-1) : [node.type].flat();
    const known = (key: string) => key === "type" || types.some((type) => keywords[String(type)]?.includes(key));
    const unknown = keys.find((key) => !known(key) && !isIdle(key, node[key]));
    if (unknown !== undefined)
      this.#fail(path, `${unknown}${types.length ? ` of ${types.join(" or ")}` : ""}`, "keywords that can be heeded");
    if (!types.length) this.#fail(path, "no type", "one");
    const options = types.map((type) => {
      if (type === "object" || type === "array") {
        // What lies in here may refer to what lies around it.
        const outside = [...this.#open];
        this.#open.clear();
        const name = this.rules.name(`${this.#subject} at ${path}`);
        this.rules.set(name, type === "object" ? this.#object(node, path, depth) : this.#array(node, path, depth));
        for (const pointer of outside) this.#open.add(pointer);
        return name;
      }
      if (type === "string") return this.#string(node, path);
      if (type === "null") return '"null"';
      if (type === "boolean") return '("true" | "false")';
      if (type !== "integer" && type !== "number")
        return this.#fail(path, `the type ${JSON.stringify(type)}`, "one that JSON has");
      return this.#number(type, node, path);
    });
    return options.length === 1 ? options[0]! : `(${options.join(" | ")})`;
  }

  #number(type: "integer" | "number", node: Schema, path: string): string {
    const bounds = Object.fromEntries(keywords.number!.map((key) => [key, this.#finite(node, key, path)]));
    if (keywords.number!.every((key) => bounds[key] === undefined)) return this.rules[type]();
    const found = (type === "integer" ? integerGrammar : numberGrammar)(bounds);
    return found ?? this.#fail(path, "bounds that no number is within", "some");
  }

  #finite(node: Schema, key: string, path: string): number | undefined {
    const value = node[key];
    if (value === undefined || (typeof value === "number" && Math.abs(value) < 1e20))
      return value as number | undefined;
    return this.#fail(path, `${key} ${JSON.stringify(value)}`, "a number below 1e20");
  }

  #string(node: Schema, path: string): string {
    const [least, most] = this.#extent(node, "minLength", "maxLength", CHARACTER_LIMIT, path);
    const bounded = least > 0 || most !== undefined;
    const { pattern, format } = node;
    if ([bounded, pattern !== undefined, format !== undefined].filter(Boolean).length > 1)
      this.#fail(path, "more than one of a length, a pattern and a format", "one of them");
    const subject = `${this.#subject}${path && `, at ${path}`}`;
    if (format !== undefined) return formatGrammar(subject, format);
    if (pattern !== undefined && typeof pattern !== "string") this.#fail(path, "a pattern that is no text", "one");
    if (typeof pattern === "string")
      return `"\\u0022" ${regexGrammar(`${subject}: pattern`, pattern, "string")} "\\u0022"`;
    return bounded ? `"\\u0022" ${this.rules.character()}{${least},${most ?? ""}} "\\u0022"` : this.rules.string();
  }

  /** Two whole numbers: at least, and at most where that bounds. */
  #extent(node: Schema, low: string, high: string, limit: number, path: string): [number, number | undefined] {
    const { [low]: least = 0, [high]: most } = node;
    const whole = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;
    if (!whole(least) || least > LEAST_LIMIT)
      return this.#fail(path, `${low} ${JSON.stringify(least)}`, `0 to ${LEAST_LIMIT}`);
    if (most === undefined) return [least, undefined];
    if (!whole(most) || most < least) return this.#fail(path, `${high} ${JSON.stringify(most)}`, `${least} or more`);
    return [least, Math.min(most, limit)];
  }

  #array(node: Schema, path: string, depth: number): string {
    const { prefixItems = [], items } = node;
    if (!Array.isArray(prefixItems)) return this.#fail(path, "prefixItems that are no list", "schemas");
    const [least, most] = this.#extent(node, "minItems", "maxItems", ITEM_LIMIT, path);
    const first = prefixItems.slice(0, most).map((item, i) => this.value(item, `${path}/prefixItems/${i}`, depth + 1));
    const more = Math.max(0, least - first.length);
    // Where nothing is said of what follows a list of items, nothing needs to.
    const closed = items === false || (items === undefined && first.length > 0 && more === 0) || most === first.length;
    if (closed && more > 0) this.#fail(path, `minItems ${least} with ${first.length} items`, "as many");
    if (closed) return this.rules.list(first, undefined, 0, 0);
    const rest = this.value(items ?? true, `${path}/items`, depth + 1);
    return this.rules.list(first, rest, more, most === undefined ? undefined : most - first.length);
  }

  #object(node: Schema, path: string, depth: number): string {
    const members = this.members(node, path, depth);
    if (members.length) return this.rules.object(members, path);
    const additional = node.additionalProperties ?? node.unevaluatedProperties ?? true;
    if (additional === false) return this.rules.list([], undefined, 0, 0, "{", "}");
    const key =
      node.propertyNames === undefined
        ? this.rules.string()
        : this.value({ type: "string", ...(node.propertyNames as object) }, `${path}/propertyNames`, depth + 1);
    const value = this.value(additional, `${path}/additionalProperties`, depth + 1);
    return this.rules.list([], this.rules.pair(key, value), 0, undefined, "{", "}");
  }

  /** The members that an object declares, in order. Throws as `value`. */
  members({ properties = {}, required = [] }: Schema, path = "", depth = 0): Member[] {
    if (typeof properties !== "object" || properties === null)
      return this.#fail(path, "properties that are no object", "one");
    const names = Array.isArray(required) ? required : [];
    const absent = names.find((name) => typeof name !== "string" || !Object.hasOwn(properties, name));
    if (absent !== undefined || names !== required)
      this.#fail(path, `required ${JSON.stringify(absent ?? required)}`, "names of properties that are declared");
    return Object.entries(properties).map(([name, schema]) => ({
      name,
      schema,
      value: this.value(schema, `${path}/properties/${name}`, depth + 1),
      required: names.includes(name),
    }));
  }
}

/** A member that an object declares. */
export interface Member {
  readonly name: string;
  readonly schema: unknown;
  /** The expression of its value. */
  readonly value: string;
  readonly required: boolean;
}

/** Values that leave everything as it is. */
const isIdle = (key: string, value: unknown): boolean =>
  value === false && ["uniqueItems", "nullable", "additionalItems"].includes(key);

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** What a pointer into a document points to; undefined where nothing is. */
export function resolve(root: unknown, pointer: string): unknown {
  let at = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}
