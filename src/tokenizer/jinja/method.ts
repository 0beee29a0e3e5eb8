// Methods of dicts, lists and tuples, and what makes sequences: ranges, views, generators.
import { bind, Callable } from "./given.ts";
import { countOf } from "./number.ts";
import { isEqual } from "./operate.ts";
import { represent } from "./text.ts";
import { Dict, type Given, listOf, TemplateFault, Thing, Tuple, type Value } from "./value.ts";

/** The keys, values or pairs of a dict, as it is when they are looked at. */
export class View extends Thing {
  readonly kind: string;
  readonly #list: () => Value[];
  constructor(kind: "dict_keys" | "dict_values" | "dict_items", list: () => Value[]) {
    super();
    this.kind = kind;
    this.#list = list;
  }
  override iterate() {
    return this.#list()[Symbol.iterator]();
  }
  override get size() {
    return this.#list().length;
  }
  override show() {
    return `${this.kind}(${represent(this.#list())})`;
  }
}

/** Values that come one by one, once. */
export class Lazy extends Thing {
  readonly kind: string;
  readonly #iterator: Iterator<Value>;
  constructor(iterator: Iterator<Value>, kind = "generator") {
    super();
    this.#iterator = iterator;
    this.kind = kind;
  }
  override iterate() {
    return this.#iterator;
  }
}

/** Most numbers of a range, as the sandbox of Jinja2 has it. */
const RANGE_LIMIT = 100_000;

/** What `range` gives: whole numbers that are counted, not kept. */
export class Range extends Thing {
  readonly kind = "range";
  readonly start: number;
  readonly step: number;
  readonly #size: number;
  constructor(given: Given) {
    super();
    if (given.named.size) throw new TemplateFault("range: got a named argument, expected none");
    const numbers = given.positional.map((value) => countOf(value, "range"));
    if (numbers.length < 1 || numbers.length > 3)
      throw new TemplateFault(`range: got ${numbers.length} arguments, expected 1 to 3`);
    const [start, stop, step = 1] = (numbers.length === 1 ? [0, numbers[0]] : numbers) as [number, number, number?];
    if (step === 0) throw new TemplateFault("range: got a step of 0, expected another");
    this.start = start;
    this.step = step;
    this.#size = Math.max(0, Math.ceil((stop - start) / step));
    if (this.#size > RANGE_LIMIT)
      throw new TemplateFault(`range: got ${this.size} numbers, expected at most ${RANGE_LIMIT}`);
  }
  override get size() {
    return this.#size;
  }
  override *iterate() {
    for (let at = 0; at < this.size; at++) yield this.start + at * this.step;
  }
  override item(key: Value): Value | undefined {
    if (typeof key !== "number") return undefined;
    const at = key < 0 ? key + this.size : key;
    return at >= 0 && at < this.size ? this.start + at * this.step : undefined;
  }
  override attribute(name: string): Value | undefined {
    return name === "start" ? this.start : name === "step" ? this.step : undefined;
  }
  override show() {
    const stop = this.start + this.size * this.step;
    return `range(${this.start}, ${stop}${this.step === 1 ? "" : `, ${this.step}`})`;
  }
}

const changing = (kind: string, name: string) =>
  new Callable(() => {
    throw new TemplateFault(`${kind}.${name} changes its ${kind}, which a template may not`);
  });

/** Methods of a dict. Those that would change it are there, and refuse. */
export function dictMethod(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case "items":
    case "keys":
    case "values":
      return new Callable((given) => {
        bind(given, `dict.${name}`, "");
        if (name === "items") return new View("dict_items", () => dict.pairs().map((pair) => new Tuple(pair)));
        if (name === "keys") return new View("dict_keys", () => dict.keys());
        return new View("dict_values", () => dict.pairs().map(([, value]) => value));
      });
    case "get":
      return new Callable((given) => {
        const [key, other = null] = bind(given, "dict.get", "key default?");
        const value = dict.get(key!);
        return value === undefined ? other : value;
      });
    case "copy":
      return new Callable(() => Dict.of(dict.pairs()));
    case "fromkeys":
      return dictFromKeys;
    case "clear":
    case "pop":
    case "popitem":
    case "setdefault":
    case "update":
      return changing("dict", name);
  }
  return undefined;
}

/** dict.fromkeys. */
export const dictFromKeys = new Callable((given) => {
  const [keys, value = null] = bind(given, "dict.fromkeys", "iterable value?");
  return Dict.of(listOf(keys!).map((key) => [key, value] as const));
});

const changers = new Set(["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"]);

/** Methods of a list. Those that would change it are there, and refuse. */
export function listMethod(list: readonly Value[], name: string): Value | undefined {
  if (changers.has(name)) return changing("list", name);
  if (name === "copy") return new Callable(() => [...list]);
  return search(list, name, "list");
}

/** Methods and named fields of a tuple. */
export function tupleMethod(tuple: Tuple, name: string): Value | undefined {
  const at = tuple.names?.indexOf(name) ?? -1;
  return at < 0 ? search(tuple.items, name, "tuple") : tuple.items[at];
}

function search(items: readonly Value[], name: string, kind: string): Value | undefined {
  if (name === "count")
    return new Callable((given) => {
      const [value] = bind(given, `${kind}.count`, "value");
      return items.filter((item) => isEqual(item, value!)).length;
    });
  if (name !== "index") return undefined;
  return new Callable((given) => {
    const [value, start, stop] = bind(given, `${kind}.index`, "value start? stop?");
    const from = start === undefined ? 0 : countOf(start, "index");
    const end = stop === undefined ? items.length : countOf(stop, "index");
    const clip = (at: number) => (at < 0 ? Math.max(0, at + items.length) : at);
    const found = items.findIndex((item, at) => at >= clip(from) && at < clip(end) && isEqual(item, value!));
    if (found < 0) throw new TemplateFault(`${kind}.index: got what is not in the ${kind}, expected one of its items`);
    return found;
  });
}
