// Loops at work, and the names that a template calls.
import { bind, Callable } from "./given.ts";
import { isEqual } from "./operate.ts";
import { represent, toText } from "./text.ts";
import {
  Dict,
  type Given,
  iterate,
  listOf,
  sizeOf,
  TemplateFault,
  Thing,
  Tuple,
  Undefined,
  type Value,
} from "./value.ts";

/** The variable `loop`. */
export class Loop extends Thing {
  readonly kind = "LoopContext";
  readonly #depth: number;
  readonly #again: ((items: Value, depth: number) => Value) | undefined;
  #iterator: Iterator<Value>;
  #length: number | undefined;
  #index = -1;
  #before: Value | undefined;
  #current: Value | undefined;
  #after: Value | undefined;
  #changed: Tuple | undefined;

  /** `again` renders the loop's body for other items, where the loop says that it is recursive. */
  constructor(items: Value, again?: (items: Value, depth: number) => Value, depth = 0) {
    super();
    this.#iterator = iterate(items);
    this.#length = sizeOf(items);
    this.#again = again;
    this.#depth = depth;
  }

  #take(): Value | undefined {
    const next = this.#iterator.next();
    return next.done ? undefined : next.value;
  }

  #peek(): Value | undefined {
    if (this.#after === undefined) this.#after = this.#take();
    return this.#after;
  }

  /** Moves to the next item; undefined behind the last. */
  next(): Value | undefined {
    const item = this.#after === undefined ? this.#take() : this.#after;
    this.#after = undefined;
    if (item === undefined) return undefined;
    this.#index++;
    this.#before = this.#current;
    this.#current = item;
    return item;
  }

  override get size(): number {
    if (this.#length === undefined) {
      const rest: Value[] = [];
      for (let item = this.#take(); item !== undefined; item = this.#take()) rest.push(item);
      this.#iterator = rest[Symbol.iterator]();
      this.#length = rest.length + this.#index + 1 + (this.#after === undefined ? 0 : 1);
    }
    return this.#length;
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return this.#index + 1;
      case "index0":
        return this.#index;
      case "revindex":
        return this.size - this.#index;
      case "revindex0":
        return this.size - this.#index - 1;
      case "first":
        return this.#index === 0;
      case "last":
        return this.#peek() === undefined;
      case "length":
        return this.size;
      case "depth":
        return this.#depth + 1;
      case "depth0":
        return this.#depth;
      case "previtem":
        return this.#index === 0 ? new Undefined("there is no previous item") : this.#before;
      case "nextitem": {
        const next = this.#peek();
        return next === undefined ? new Undefined("there is no next item") : next;
      }
      case "cycle":
        return new Callable(({ positional }) => {
          if (!positional.length) throw new TemplateFault("loop.cycle: got no items, expected some");
          return positional[this.#index % positional.length]!;
        });
      case "changed":
        return new Callable(({ positional }) => {
          const value = new Tuple(positional);
          if (this.#changed && isEqual(this.#changed, value)) return false;
          this.#changed = value;
          return true;
        });
    }
    return undefined;
  }

  override get callable() {
    return true;
  }

  override call(given: Given): Value {
    if (!this.#again) throw new TemplateFault("got a call of loop, expected a loop that is marked as recursive");
    return this.#again(bind(given, "loop", "iterable")[0]!, this.#depth + 1);
  }

  override show() {
    return `<LoopContext ${this.#index + 1}/${this.size}>`;
  }
}

/** Variables that loops and macros can change for what is around them. */
export class Namespace extends Thing {
  readonly kind = "TemplateNamespace";
  readonly #values = new Map<string, Value>();
  constructor(given: Given) {
    super();
    for (const [name, value] of makeDict(given).pairs()) this.set(toText(name), value);
  }
  set(name: string, value: Value): void {
    if (name.startsWith("_"))
      throw new TemplateFault(`namespace: got the name ${name.slice(0, 40)}, expected none that begins with _`);
    this.#values.set(name, value);
  }
  override attribute(name: string): Value | undefined {
    return this.#values.get(name);
  }
  override show() {
    return `<Namespace ${represent(Dict.of(this.#values))}>`;
  }
}

/** Python's dict(): from a dict or from pairs, and from names. */
export function makeDict(given: Given): Dict {
  const [source] = given.positional;
  if (given.positional.length > 1) throw new TemplateFault("dict: got several arguments, expected at most one");
  const pairs = source === undefined ? [] : source instanceof Dict ? source.pairs() : listOf(source).map(readPair);
  return Dict.of([...pairs, ...given.named]);
}

function readPair(value: Value): [Value, Value] {
  const pair = listOf(value);
  if (pair.length !== 2)
    throw new TemplateFault(`dict: got ${pair.length} values in a row, expected a key and its value`);
  return pair as [Value, Value];
}

/** cycler(): its items one after another, from the first again behind the last. */
export class Cycler extends Thing {
  readonly kind = "Cycler";
  readonly #items: readonly Value[];
  #at = 0;
  constructor(given: Given) {
    super();
    this.#items = given.positional;
    if (!this.#items.length || given.named.size) throw new TemplateFault("cycler: got no items, expected at least one");
  }
  override attribute(name: string): Value | undefined {
    switch (name) {
      case "current":
        return this.#items[this.#at];
      case "pos":
        return this.#at;
      case "items":
        return new Tuple(this.#items);
      case "next":
        return new Callable(() => {
          const item = this.#items[this.#at]!;
          this.#at = (this.#at + 1) % this.#items.length;
          return item;
        });
      case "reset":
        return new Callable(() => {
          this.#at = 0;
          return null;
        });
    }
    return undefined;
  }
}

/** joiner(): nothing at its first call, then the separator. */
export function makeJoiner(given: Given): Value {
  const [separator = ", "] = bind(given, "joiner", "sep?");
  let used = false;
  return new Callable((none) => {
    bind(none, "joiner", "");
    if (used) return separator;
    used = true;
    return "";
  }, "Joiner");
}
