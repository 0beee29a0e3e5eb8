// What `x.name` and `x[key]` find: as Python's sandbox of Jinja2, methods before keys with a dot, keys before methods with brackets.
import { dictMethod, listMethod, tupleMethod } from "./method.ts";
import { countOf, intOf } from "./number.ts";
import { stringMethod } from "./string.ts";
import { represent } from "./text.ts";
import {
  Dict,
  Float,
  itemsOf,
  kindOf,
  Markup,
  pointsOf,
  TemplateFault,
  Thing,
  Tuple,
  textOf,
  Undefined,
  type Value,
} from "./value.ts";

/** Attributes that every object of Python has, behind which its machinery lies: none is shown. */
const hidden = new Set(
  (
    "__class__ __delattr__ __dict__ __dir__ __doc__ __eq__ __format__ __ge__ __getattribute__ __getstate__ __gt__ __hash__ __init__ " +
    "__init_subclass__ __le__ __lt__ __module__ __ne__ __new__ __reduce__ __reduce_ex__ __repr__ __setattr__ __sizeof__ __str__ " +
    "__subclasshook__ __contains__ __getitem__ __iter__ __len__ __call__ __add__ __mul__ __mod__ __globals__ __code__ __func__ " +
    "__self__ __closure__ __annotations__ __bases__ __base__ __mro__ __subclasses__ __setitem__ __delitem__ __or__"
  ).split(" "),
);

/** What Python's getattr finds and a template may see. */
function find(value: Value, name: string): Value | undefined {
  if (name.startsWith("_"))
    return hidden.has(name) ? new Undefined(`access to attribute ${name} of ${kindOf(value)} is unsafe`) : undefined;
  if (typeof value === "string" || value instanceof Markup) return stringMethod(value, name);
  if (value instanceof Dict) return dictMethod(value, name);
  if (Array.isArray(value)) return listMethod(value, name);
  if (value instanceof Tuple) return tupleMethod(value, name);
  if (value instanceof Thing) return value.attribute(name);
  if (value === null) return undefined;
  if (name === "real") return typeof value === "boolean" ? Number(value) : value;
  if (name === "imag") return value instanceof Float ? new Float(0) : 0;
  return undefined;
}

/** What Python's obj[key] finds; undefined for what it does not. */
function findItem(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return isKey(key) ? value.get(key) : undefined;
  if (value instanceof Thing) return value.item(key);
  const at = intOf(key);
  if (at === undefined) return undefined;
  const items = itemsOf(value) ?? (textOf(value) === undefined ? undefined : pointsOf(textOf(value)!));
  return items?.at(countOf(at, "an index"));
}

const isKey = (key: Value) => !Array.isArray(key) && !(key instanceof Dict);

function missing(value: Value, key: Value): Undefined {
  return new Undefined(
    typeof key === "string"
      ? `'${kindOf(value)} object' has no attribute '${key}'`
      : `${kindOf(value)} object has no element ${represent(key).slice(0, 60)}`,
  );
}

/** `value.name`. Of something missing it fails. */
export function attributeOf(value: Value, name: string): Value {
  if (value instanceof Undefined) return value.fail();
  const own = find(value, name);
  if (own !== undefined) return own;
  // None is a value too.
  const item = findItem(value, name);
  return item === undefined ? missing(value, name) : item;
}

/** `value[key]`. Of something missing it fails. */
export function itemOf(value: Value, key: Value): Value {
  if (value instanceof Undefined) return value.fail();
  const name = textOf(key);
  const item = findItem(value, key);
  if (item !== undefined) return item;
  const own = name === undefined ? undefined : find(value, name);
  return own === undefined ? missing(value, name ?? key) : own;
}

/** `value|attr(name)`: an attribute only, no key. */
export function onlyAttribute(value: Value, name: string): Value {
  const own = find(value, name);
  return own === undefined ? missing(value, name) : own;
}

/** `value[start:stop:step]`. */
export function sliceOf(value: Value, bounds: readonly (Value | undefined)[]): Value {
  if (value instanceof Undefined) return value.fail();
  const text = textOf(value);
  const items: readonly Value[] | undefined = itemsOf(value) ?? (text === undefined ? undefined : pointsOf(text));
  if (!items) throw new TemplateFault(`'${kindOf(value)}' object cannot be sliced`);
  const [start, stop, step = 1] = bounds.map((bound) =>
    bound === undefined || bound === null ? undefined : countOf(bound, "a slice"),
  );
  if (step === 0) throw new TemplateFault("slice step cannot be zero");
  const count = items.length;
  const clip = (at: number | undefined, rest: number): number => {
    if (at === undefined) return rest;
    const from = at < 0 ? at + count : at;
    return step > 0 ? Math.min(Math.max(from, 0), count) : Math.min(Math.max(from, -1), count - 1);
  };
  const first = clip(start, step > 0 ? 0 : count - 1);
  const end = clip(stop, step > 0 ? count : -1);
  const taken: Value[] = [];
  for (let at = first; step > 0 ? at < end : at > end; at += step) taken.push(items[at]!);
  if (text !== undefined) return value instanceof Markup ? new Markup(taken.join("")) : taken.join("");
  return value instanceof Tuple ? new Tuple(taken) : taken;
}
