// What a template computes with: Python's values, since templates are written for Python.

/** What goes wrong in a template, in words for whoever gave it or its messages. */
export class TemplateFault extends Error {}

/** A Python float; a JavaScript number stands for an int that is safe, a bigint for a longer one. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A str that is marked as HTML, which `escape` and `safe` give: what is added to it is escaped. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A Python tuple; a JavaScript array stands for a list. */
export class Tuple {
  readonly items: readonly Value[];
  /** Names of its fields, for a named tuple. */
  readonly names: readonly string[] | undefined;
  constructor(items: readonly Value[], names?: readonly string[]) {
    this.items = items;
    this.names = names;
  }
}

/** Positional and named arguments of a call. */
export interface Given {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** Everything else that Python has as an object: it shows a template only what it names here. */
export abstract class Thing {
  /** Python's name of its type. */
  abstract readonly kind: string;
  attribute(_name: string): Value | undefined {
    return undefined;
  }
  item(_key: Value): Value | undefined {
    return undefined;
  }
  call(_given: Given): Value {
    throw new TemplateFault(`'${this.kind}' object is not callable`);
  }
  get callable(): boolean {
    return false;
  }
  iterate(): Iterator<Value> | undefined {
    return undefined;
  }
  /** Undefined for what has no length. */
  get size(): number | undefined {
    return undefined;
  }
  get truth(): boolean {
    return this.size !== 0;
  }
  /** Python's repr; most things would print an address, which no two runs share. */
  show(): string {
    throw new TemplateFault(`a ${this.kind} has no text of its own; turn it into a list or a string first`);
  }
}

export type Value = null | boolean | number | bigint | string | Float | Markup | Value[] | Tuple | Dict | Thing;

/** What stands for a value that is not there: empty text, false, no items; nearly all else fails. */
export class Undefined extends Thing {
  readonly kind = "Undefined";
  /** What is missing, in words. */
  readonly reason: string;
  constructor(reason: string) {
    super();
    this.reason = reason;
  }
  /** Throws what is missing. */
  fail(): never {
    throw new TemplateFault(this.reason);
  }
  override call(): never {
    this.fail();
  }
  override get callable() {
    return true;
  }
  override iterate(): Iterator<Value> {
    return [][Symbol.iterator]();
  }
  override get size() {
    return 0;
  }
  override show() {
    return "Undefined";
  }
}

type Hash = string | number | bigint | symbol | null | object;

/** What two keys share if and only if Python finds them equal. Throws for what cannot be a key. */
export function hash(value: Value): Hash {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "bigint")
    return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (value instanceof Markup) return value.text;
  if (value instanceof Float)
    return Number.isInteger(value.value) && !Number.isSafeInteger(value.value) ? BigInt(value.value) : value.value;
  if (value instanceof Tuple) {
    const parts = value.items.map((item) => {
      const part = hash(item);
      if (typeof part === "object" && part !== null) throw new TemplateFault("a tuple of objects cannot be a key here");
      return `${typeof part}:${JSON.stringify(String(part))}`;
    });
    return Symbol.for(`tuple(${parts.join(",")})`);
  }
  if (value instanceof Undefined) return Undefined;
  if (value instanceof Thing) return value;
  throw new TemplateFault(`unhashable type: '${kindOf(value)}'`);
}

/** A Python dict: keys of any type that has a hash, in the order in which they came. */
export class Dict {
  readonly #entries = new Map<Hash, [Value, Value]>();
  static of(pairs: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of pairs) dict.set(key, value);
    return dict;
  }
  get size(): number {
    return this.#entries.size;
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(hash(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(hash(key));
  }
  set(key: Value, value: Value): void {
    const own = hash(key);
    const entry = this.#entries.get(own);
    if (entry) entry[1] = value;
    else this.#entries.set(own, [key, value]);
  }
  pairs(): [Value, Value][] {
    return [...this.#entries.values()];
  }
  keys(): Value[] {
    return this.pairs().map(([key]) => key);
  }
}

/** Python's name of a value's type. */
export function kindOf(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number" || typeof value === "bigint") return "int";
  if (typeof value === "string") return "str";
  if (value instanceof Float) return "float";
  if (value instanceof Markup) return "Markup";
  if (Array.isArray(value)) return "list";
  if (value instanceof Tuple) return "tuple";
  return value instanceof Dict ? "dict" : value.kind;
}

/** Python's truth of a value. */
export function isTrue(value: Value): boolean {
  if (value === null || typeof value !== "object") return Boolean(value);
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Markup) return value.text !== "";
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Tuple) return value.items.length > 0;
  return value instanceof Dict ? value.size > 0 : value.truth;
}

/** The text of a str or Markup; undefined for all else. */
export function textOf(value: Value | undefined): string | undefined {
  return typeof value === "string" ? value : value instanceof Markup ? value.text : undefined;
}

/** The items of a list or tuple; undefined for all else. */
export function itemsOf(value: Value): readonly Value[] | undefined {
  return Array.isArray(value) ? value : value instanceof Tuple ? value.items : undefined;
}

/** Walks over a value as Python's `for` does: a dict by keys, a str by characters. */
export function iterate(value: Value): Iterator<Value> {
  const items = itemsOf(value) ?? textOf(value) ?? (value instanceof Dict ? value.keys() : undefined);
  const iterator = items?.[Symbol.iterator]() ?? (value instanceof Thing ? value.iterate() : undefined);
  if (!iterator) throw new TemplateFault(`'${kindOf(value)}' object is not iterable`);
  return iterator;
}

/** Most items of a list that a template makes. */
export const LIST_LIMIT = 1_000_000;

/** All that a value gives, one after another. */
export function listOf(value: Value): Value[] {
  const iterator = iterate(value);
  const list: Value[] = [];
  for (let next = iterator.next(); !next.done; next = iterator.next()) {
    if (list.push(next.value) > LIST_LIMIT) throw new TemplateFault(`a list of more than ${LIST_LIMIT} items`);
  }
  return list;
}

/** Python's `len`: characters, not UTF-16 units. Undefined for what has none. */
export function sizeOf(value: Value): number | undefined {
  const text = textOf(value);
  if (text !== undefined) return countPoints(text);
  if (value instanceof Dict || value instanceof Thing) return value.size;
  return itemsOf(value)?.length;
}

/** Characters that take two UTF-16 units. */
const pair = /[\ud800-\udbff][\udc00-\udfff]/;

/** Whether each of a text's characters is one UTF-16 unit. */
export const isPlain = (text: string) => !pair.test(text);

/** How many characters, as Python counts them, a text has. */
export function countPoints(text: string): number {
  if (isPlain(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** The characters of a text. */
export const pointsOf = (text: string): readonly string[] => (isPlain(text) ? text.split("") : Array.from(text));
