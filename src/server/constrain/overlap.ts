/** A schema that is an object. */
export type Schema = Readonly<Record<string, unknown>>;

/** A schema as far as two of them may be told apart: references followed, of which a cycle ends. */
function follow(schema: unknown, resolve: (pointer: string) => unknown): Schema {
  let at = schema;
  for (let step = 0; step < 16; step++) {
    if (typeof at !== "object" || at === null) return {};
    const { $ref } = at as Schema;
    if (typeof $ref !== "string") return at as Schema;
    at = resolve($ref);
  }
  return {};
}

/** The values that a schema lists, as JSON; undefined where it lists none. */
function valuesOf(schema: Schema): Set<string> | undefined {
  const list = Object.hasOwn(schema, "const") ? [schema.const] : schema.enum;
  return Array.isArray(list) ? new Set(list.map((value) => JSON.stringify(value))) : undefined;
}

/** The types that a schema names; undefined where it names none. */
function typesOf({ type }: Schema): Set<unknown> | undefined {
  if (type === undefined) return undefined;
  return new Set([type].flat().map((name) => (name === "integer" ? "number" : name)));
}

/** Whether a value may fit both schemas, as far as types, listed values and members that both require tell. */
export function overlap(a: unknown, b: unknown, resolve: (pointer: string) => unknown): boolean {
  const [one, other] = [follow(a, resolve), follow(b, resolve)];
  const apart = (x: Set<unknown> | undefined, y: Set<unknown> | undefined) =>
    !!x && !!y && [...x].every((value) => !y.has(value));
  if (apart(typesOf(one), typesOf(other)) || apart(valuesOf(one), valuesOf(other))) return false;
  const required = (schema: Schema) => (Array.isArray(schema.required) ? (schema.required as unknown[]) : []);
  const member = (schema: Schema, name: unknown) =>
    follow((schema.properties as Schema | undefined)?.[String(name)], resolve);
  const shared = required(one).filter((name) => required(other).includes(name));
  return !shared.some((name) => apart(valuesOf(member(one, name)), valuesOf(member(other, name))));
}
