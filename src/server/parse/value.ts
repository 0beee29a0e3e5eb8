import { isJson } from "./json.ts";
import { literalAsJson } from "./literal.ts";

/** The types that a schema allows, as far as it says so in itself; none where it says nothing. */
export function typesOf(schema: unknown): ReadonlySet<string> {
  const types = new Set<string>();
  if (typeof schema !== "object" || schema === null) return types;
  const { type, anyOf, oneOf, enum: values } = schema as Record<string, unknown>;
  for (const name of Array.isArray(type) ? type : [type]) if (typeof name === "string") types.add(name);
  for (const list of [anyOf, oneOf])
    if (Array.isArray(list)) for (const part of list) for (const name of typesOf(part)) types.add(name);
  if (Array.isArray(values)) for (const value of values) types.add(typeOf(value));
  return types;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/**
 * A value that stands as bare text, as JSON: by its schema's types where there are any, otherwise as JSON if it is that, else a string.
 * Where there is a type, it may also be a literal of Python, as which some templates write what is no text.
 */
function jsonValue(text: string, schema: unknown): string {
  const types = typesOf(schema);
  const plain = text.trim();
  const json = (types.size && !isJson(plain) ? literalAsJson(plain) : undefined) ?? plain;
  if (isJson(json)) {
    const type = typeOf(JSON.parse(json));
    const fits = types.has(type) || (type === "number" && types.has("integer"));
    if (types.size === 0 || (type !== "string" && fits)) return json;
    if (!types.has("string")) return json;
  }
  return JSON.stringify(text);
}

/** An object of JSON from keys and bare values; `schema` is that of the whole object. */
export function jsonOf(members: readonly (readonly [string, string])[], schema: unknown): string {
  const { properties } = (typeof schema === "object" && schema !== null ? schema : {}) as { properties?: unknown };
  const known = (typeof properties === "object" && properties !== null ? properties : {}) as Record<string, unknown>;
  const one = ([key, value]: readonly [string, string]) =>
    `${JSON.stringify(key)}: ${jsonValue(value, Object.hasOwn(known, key) ? known[key] : undefined)}`;
  return `{${members.map(one).join(", ")}}`;
}
