// Filters of lists and other sequences.
import { itemOf } from "./attribute.ts";
import { type Filter, filters } from "./filters.ts";
import { bind, isGiven } from "./given.ts";
import { Lazy } from "./method.ts";
import { countOf } from "./number.ts";
import { compareValues, isEqual, operate } from "./operate.ts";
import { passes } from "./tests.ts";
import { boundText, toText } from "./text.ts";
import {
  Dict,
  type Given,
  hash,
  isTrue,
  iterate,
  kindOf,
  LIST_LIMIT,
  listOf,
  Markup,
  pointsOf,
  sizeOf,
  TemplateFault,
  Thing,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

type Key = (item: Value) => Value;

const fold: Key = (value) => {
  const text = textOf(value);
  return text === undefined ? value : text.toLowerCase();
};

/** Reads `a.b.0` of an item; the item itself where no attribute is given. */
function reader(attribute: Value | undefined, other?: Value): Key {
  if (attribute === undefined || attribute === null) return (item) => item;
  const text = textOf(attribute);
  const path =
    text === undefined ? [attribute] : text.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  return (item) =>
    (path as Value[]).reduce<Value>((value, part) => {
      const found = itemOf(value, part);
      return found instanceof Undefined && other !== undefined && other !== null ? other : found;
    }, item);
}

/** The key of an item to sort by; small letters as capitals unless they are to be told apart. */
const keyBy = (attribute: Value | undefined, caseSensitive: Value | undefined, other?: Value): Key => {
  const read = reader(attribute, other);
  return isGiven(caseSensitive) ? read : (item) => fold(read(item));
};

/** Sorts by a key; what is equal stays in its order, also from the last to the first. */
function sortBy(items: readonly Value[], key: Key, reverse: boolean): Value[] {
  const order = reverse ? -1 : 1;
  return items
    .map((item) => [key(item), item] as const)
    .sort(([a], [b]) => order * (compareValues(a, b) || 0))
    .map(([, item]) => item);
}

/** A generator over what a value gives. */
function lazily(value: Value, make: (items: Iterable<Value>) => Generator<Value>): Value {
  const items = { [Symbol.iterator]: () => iterate(value) };
  return new Lazy(make(items));
}

const extreme = (name: string, sign: number): Filter => {
  return (value, given) => {
    const [caseSensitive, attribute] = bind(given, name, "case_sensitive? attribute?");
    const items = listOf(value);
    if (!items.length) return new Undefined("No aggregated item, sequence was empty.");
    const key = keyBy(attribute, caseSensitive);
    let best: Value = items[0]!;
    let bestKey = key(best);
    for (const item of items.slice(1)) {
      const own = key(item);
      if (sign * compareValues(own, bestKey) > 0) [best, bestKey] = [item, own];
    }
    return best;
  };
};

/** `select`, `reject` and their likes for attributes. */
const choose = (name: string, keeps: boolean, byAttribute: boolean): Filter => {
  return (value, given) => {
    // What is false, such as None, gives nothing.
    if (!isTrue(value)) return new Lazy([][Symbol.iterator]());
    const [first, ...more] = given.positional;
    if (byAttribute && first === undefined) throw new TemplateFault(`${name}: got no attribute, expected its name`);
    const read = byAttribute ? reader(first) : (item: Value) => item;
    const [test, ...rest] = byAttribute ? more : given.positional;
    const own: Given = { positional: rest, named: given.named };
    return lazily(value, function* (items) {
      for (const item of items) if (passes(test, read(item), own) === keeps) yield item;
    });
  };
};

function map(value: Value, given: Given): Value {
  if (!isTrue(value)) return new Lazy([][Symbol.iterator]());
  const [name, ...rest] = given.positional;
  if (name === undefined && given.named.has("attribute")) {
    const [attribute, other] = bind(given, "map", "*attribute *default?");
    const read = reader(attribute, other);
    return lazily(value, function* (items) {
      for (const item of items) yield read(item);
    });
  }
  const filter = filters.get(textOf(name) ?? "");
  if (!filter)
    throw new TemplateFault(
      `map: got ${name === undefined ? "no filter" : toText(name).slice(0, 40)}, expected a filter's name`,
    );
  return lazily(value, function* (items) {
    for (const item of items) yield filter(item, { positional: rest, named: given.named });
  });
}

function groupBy(value: Value, given: Given): Value {
  const [attribute, other, caseSensitive] = bind(given, "groupby", "attribute default? case_sensitive?");
  const [key, read] = [keyBy(attribute, caseSensitive, other), reader(attribute, other)];
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sortBy(listOf(value), key, false)) {
    const last = groups.at(-1);
    if (last && isEqual(last.key, key(item))) last.items.push(item);
    else groups.push({ key: key(item), items: [item] });
  }
  return groups.map(({ items }) => new Tuple([read(items[0]!), items], ["grouper", "list"]));
}

function sort(value: Value, given: Given): Value {
  const [reverse, caseSensitive, attribute] = bind(given, "sort", "reverse? case_sensitive? attribute?");
  const text = textOf(attribute);
  const keys = (text === undefined ? [attribute] : text.split(",")).map((one) => keyBy(one, caseSensitive));
  return sortBy(listOf(value), (item) => keys.map((key) => key(item)), isGiven(reverse));
}

function dictSort(value: Value, given: Given): Value {
  const [caseSensitive, by = "key", reverse] = bind(given, "dictsort", "case_sensitive? by? reverse?");
  if (!(value instanceof Dict)) throw new TemplateFault(`dictsort: got a ${kindOf(value)}, expected a mapping`);
  if (by !== "key" && by !== "value")
    throw new TemplateFault('dictsort: got another word for by, expected "key" or "value"');
  const pairs = value.pairs().map((pair) => new Tuple(pair));
  return sortBy(pairs, keyBy(by === "key" ? 0 : 1, caseSensitive), isGiven(reverse));
}

function join(value: Value, given: Given): Value {
  const [separator = "", attribute] = bind(given, "join", "d? attribute?");
  const read = reader(attribute);
  let text = "";
  for (const [at, item] of listOf(value).entries())
    text = boundText(text + (at ? toText(separator) : "") + toText(read(item)));
  return text;
}

function* batch(items: Iterable<Value>, count: number, fill: Value): Generator<Value> {
  let part: Value[] = [];
  for (const item of items) {
    if (part.length === count) {
      yield part;
      part = [];
    }
    part.push(item);
  }
  if (!part.length) return;
  if (fill !== null && count <= LIST_LIMIT) while (part.length < count) part.push(fill);
  yield part;
}

function* slices(items: readonly Value[], count: number, fill: Value): Generator<Value> {
  const size = Math.floor(items.length / count);
  const longer = items.length % count;
  for (let at = 0; at < count; at++) {
    const from = at * size + Math.min(at, longer);
    const part = items.slice(from, from + size + (at < longer ? 1 : 0));
    if (fill !== null && at >= longer) part.push(fill);
    yield part;
  }
}

function* unique(items: Iterable<Value>, key: Key): Generator<Value> {
  const seen = new Set<unknown>();
  for (const item of items) {
    const own = hash(key(item));
    if (seen.has(own)) continue;
    seen.add(own);
    yield item;
  }
}

function length(value: Value): Value {
  const size = sizeOf(value);
  if (size === undefined) throw new TemplateFault(`object of type '${kindOf(value)}' has no len()`);
  return size;
}

function last(value: Value): Value {
  const isOnce = value instanceof Thing && (value.size === undefined || value.kind === "LoopContext");
  if (isOnce) throw new TemplateFault(`'${kindOf(value)}' object is not reversible`);
  const item = listOf(value).at(-1);
  return item === undefined ? new Undefined("No last item, sequence was empty.") : item;
}

function reverse(value: Value): Value {
  const text = textOf(value);
  if (text !== undefined) {
    const turned = pointsOf(text).toReversed().join("");
    return value instanceof Markup ? new Markup(turned) : turned;
  }
  const items = listOf(value).reverse();
  return value instanceof Thing && value.size === undefined
    ? items
    : new Lazy(items[Symbol.iterator](), `${kindOf(value)}_reverseiterator`);
}

/** A filter without arguments. */
const plain = (name: string, filter: (value: Value) => Value): Filter => {
  return (value, given) => {
    bind(given, name, "");
    return filter(value);
  };
};

export const listFilters: Readonly<Record<string, Filter>> = {
  batch(value, given) {
    const [count, fill = null] = bind(given, "batch", "linecount fill_with?");
    return lazily(value, (items) => batch(items, countOf(count, "batch"), fill));
  },
  count: plain("count", length),
  dictsort: dictSort,
  first: plain("first", (value) => {
    const next = iterate(value).next();
    return next.done ? new Undefined("No first item, sequence was empty.") : next.value;
  }),
  groupby: groupBy,
  items: plain("items", (value) => {
    if (value instanceof Undefined) return new Lazy([][Symbol.iterator]());
    if (!(value instanceof Dict)) throw new TemplateFault("Can only get item pairs from a mapping.");
    return new Lazy(
      value
        .pairs()
        .map((pair) => new Tuple(pair))
        [Symbol.iterator](),
    );
  }),
  join,
  last: plain("last", last),
  length: plain("length", length),
  list: plain("list", listOf),
  map,
  max: extreme("max", 1),
  min: extreme("min", -1),
  reject: choose("reject", false, false),
  rejectattr: choose("rejectattr", false, true),
  reverse: plain("reverse", reverse),
  select: choose("select", true, false),
  selectattr: choose("selectattr", true, true),
  slice(value, given) {
    const [count, fill = null] = bind(given, "slice", "slices fill_with?");
    const parts = countOf(count, "slice");
    if (parts < 1 || parts > LIST_LIMIT)
      throw new TemplateFault(`slice: got ${parts} slices, expected from 1 to ${LIST_LIMIT}`);
    const items = listOf(value);
    return new Lazy(slices(items, parts, fill));
  },
  sort,
  sum(value, given) {
    const [attribute, start = 0] = bind(given, "sum", "attribute? start?");
    if (textOf(start) !== undefined) throw new TemplateFault("sum() can't sum strings");
    return listOf(value)
      .map(reader(attribute))
      .reduce((sum, item) => operate("+", sum, item), start);
  },
  unique(value, given) {
    const [caseSensitive, attribute] = bind(given, "unique", "case_sensitive? attribute?");
    return lazily(value, (items) => unique(items, keyBy(attribute, caseSensitive)));
  },
};
