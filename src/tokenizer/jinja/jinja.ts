// Jinja templates as Python's transformers sets them up for chats.

import { compileBody, enterScope } from "./execute.ts";
import { bind, Callable, textGiven } from "./given.ts";
import { Cycler, makeDict, makeJoiner, Namespace } from "./loop.ts";
import { dictFromKeys, Range } from "./method.ts";
import { parseTemplate } from "./parse.ts";
import { type Execute, type Frame, Output, Run } from "./run.ts";
import { Code, Scope } from "./scope.ts";
import { toText } from "./text.ts";
import { formatDate } from "./time.ts";
import { Dict, Float, type Given, TemplateFault, Thing, type Value } from "./value.ts";

/** The name `dict`, which can be called and has one method. */
class DictType extends Thing {
  readonly kind = "TemplateDict";
  override get callable() {
    return true;
  }
  override call(given: Given): Value {
    return makeDict(given);
  }
  override attribute(name: string): Value | undefined {
    return name === "fromkeys" ? dictFromKeys : undefined;
  }
}

/** What a template can call without being given it. */
function makeGlobals(date: Date): [string, Value][] {
  const callable = (name: string, call: (given: Given) => Value): [string, Value] => [name, new Callable(call)];
  return [
    ["dict", new DictType()],
    callable("cycler", (given) => new Cycler(given)),
    callable("joiner", makeJoiner),
    callable("lipsum", () => {
      throw new TemplateFault("lipsum is not supported here, since it gives another text each time; leave it out");
    }),
    callable("namespace", (given) => new Namespace(given)),
    callable("raise_exception", (given) => {
      throw new TemplateFault(toText(bind(given, "raise_exception", "message")[0]!));
    }),
    callable("range", (given) => new Range(given)),
    callable("strftime_now", (given) =>
      formatDate(date, textGiven(bind(given, "strftime_now", "format")[0], "strftime_now")),
    ),
  ];
}

/** A template that can be rendered. */
export class Jinja {
  readonly #enter: (frame: Frame) => void;
  readonly #write: Execute;

  /** Throws TemplateFault for a text that is no template. */
  constructor(text: string) {
    const body = parseTemplate(text);
    const scope = new Scope(new Code(0));
    scope.readAll(body);
    this.#enter = enterScope(scope);
    this.#write = compileBody(body, { scope, isLoop: false });
  }

  /**
   * Renders with values by name, which are data as JSON has it; a Float stays a float, a bigint an int. `date` is the local time that
   * `strftime_now` tells.
   *
   * Errors: TemplateFault for what Jinja2 would refuse too, in the template's own words where it raises an exception itself, and for
   * what takes too many steps or writes too much.
   */
  render(values: Readonly<Record<string, unknown>>, date = new Date()): string {
    const given = Object.entries(values).filter(([, value]) => value !== undefined);
    const context = new Map([...makeGlobals(date), ...given.map(([name, value]) => [name, fromData(value)] as const)]);
    const frame: Frame = { run: new Run(context, date), outer: undefined, slots: [] };
    const output = new Output();
    this.#enter(frame);
    this.#write(frame, output);
    return output.text;
  }
}

/** Data as values: objects as dicts, whole numbers as ints. */
export function fromData(data: unknown): Value {
  if (data === null || data === undefined) return null;
  if (typeof data === "string" || typeof data === "boolean" || typeof data === "bigint" || data instanceof Float)
    return data;
  if (typeof data === "number") {
    if (Number.isSafeInteger(data)) return Object.is(data, -0) ? 0 : data;
    return new Float(data);
  }
  if (Array.isArray(data)) return data.map(fromData);
  if (typeof data !== "object") throw new TemplateFault(`got a ${typeof data}, expected data`);
  return Dict.of(
    Object.entries(data)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, fromData(value)] as const),
  );
}
