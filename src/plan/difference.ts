import { z } from "zod";
import { ShapeError } from "../tensor/error.ts";
import { type Plan, planSchema } from "./schema.ts";

const unit = z.enum(["layers", "numbers", "parameters", "values", "bytes", "FLOPs", "tokens", "seconds"]);
/** null: without a limit; absent: one of the models has no such number. */
const value = z.number().nullable().optional();

const change = z.object({
  part: z.enum(["sizes", "parameters", "weights", "cache", "engines", "work", "machines", "layouts"]),
  /** What is counted, by the names that a plan has: "absorbed, float16: of a token". */
  what: z.string(),
  unit,
  a: value,
  b: value,
  /** b / a, where both are numbers and a is not 0. */
  ratio: z.number().optional(),
  /** Whether it is of the types that were asked for, rather than of others that a plan also counts. */
  asked: z.boolean(),
});

const kind = z.object({ variant: z.string(), count: z.int() });

/** A kind of layers of one model beside what the other has in its place. */
const layers = z.object({
  /** Absent where one model has nothing to set beside it. */
  a: kind.optional(),
  b: kind.optional(),
  /** What differs in one layer, by a plan's names: sizes.c, window, cache.absorbed, state, parameters. Empty: only how many there are. */
  changed: z.array(z.object({ what: z.string(), a: z.number().optional(), b: z.number().optional() })),
});

/** What `biform plan A --diff B` prints with --json. */
export const differenceSchema = z.object({
  format: z.literal("biform plan difference 1"),
  settings: planSchema.shape.settings,
  a: planSchema.shape.model,
  b: planSchema.shape.model,
  /** Kinds of layers, those left out that both models have as many of. */
  layers: z.array(layers),
  /** Numbers that are not the same in both plans. */
  changes: z.array(change),
});
/** What differs between two plans, in the fields that docs/difference.schema.json describes. */
export type Difference = z.infer<typeof differenceSchema>;
export type Change = Difference["changes"][number];

/** The JSON Schema (draft 2020-12) of a difference, as published with the package. */
export function differenceJsonSchema(): Record<string, unknown> {
  return { title: "biform plan --diff", ...z.toJSONSchema(differenceSchema, { io: "input" }) };
}

/** What differs between two plans for the same settings and machines. Throws ShapeError where the settings differ. */
export function comparePlans(a: Plan, b: Plan): Difference {
  if (JSON.stringify(a.settings) !== JSON.stringify(b.settings))
    throw new ShapeError(
      `comparePlans: got settings ${JSON.stringify(a.settings)} and ${JSON.stringify(b.settings)}, expected the same; plan both alike`,
    );
  return {
    format: "biform plan difference 1",
    settings: a.settings,
    a: a.model,
    b: b.model,
    layers: compareLayers(a.layers, b.layers),
    changes: compareFacts(factsOf(a), factsOf(b)),
  };
}

type Fact = Pick<Change, "part" | "what" | "unit" | "asked"> & { readonly value: number | null };

function compareFacts(a: readonly Fact[], b: readonly Fact[]): Change[] {
  const keyOf = ({ part, what, unit }: Fact) => `${part} ${what} ${unit}`;
  const others = new Map(b.map((fact) => [keyOf(fact), fact]));
  const own = new Set(a.map(keyOf));
  const pairs = [
    ...a.map((fact) => [fact, others.get(keyOf(fact))] as const),
    ...b.filter((fact) => !own.has(keyOf(fact))).map((fact) => [undefined, fact] as const),
  ];
  return pairs.flatMap(([first, second]) => {
    const { part, what, unit, asked } = (first ?? second)!;
    const values = { a: first?.value, b: second?.value };
    if (isSame(values.a, values.b)) return [];
    const ratio = values.a && typeof values.b === "number" ? { ratio: values.b / values.a } : {};
    return [{ part, what, unit, ...values, ...ratio, asked }];
  });
}

/** Seconds are sums of many rounded numbers, so that the last digits say nothing. */
function isSame(a: number | null | undefined, b: number | null | undefined): boolean {
  if (typeof a !== "number" || typeof b !== "number") return a === b;
  return Math.abs(a - b) <= 1e-12 * Math.max(Math.abs(a), Math.abs(b));
}

/** The numbers of a plan by name, in the order in which they are told. */
function factsOf(plan: Plan): Fact[] {
  return [
    ...sizes(plan),
    ...weights(plan),
    ...cache(plan),
    ...engines(plan),
    ...work(plan),
    ...machines(plan),
    ...layouts(plan),
  ];
}

function sizes({ model, parameters }: Plan): Fact[] {
  const one = (what: string, unit: Fact["unit"], value: number): Fact => ({
    part: "sizes",
    what,
    unit,
    value,
    asked: true,
  });
  const count = (what: string, value: number): Fact => ({
    part: "parameters",
    what,
    unit: "parameters",
    value,
    asked: true,
  });
  return [
    one("layers", "layers", model.layers),
    one("width", "numbers", model.width),
    one("vocabulary", "tokens", model.vocabulary),
    ...(model.maxContext === undefined ? [] : [one("declared context", "tokens", model.maxContext)]),
    count("in all", parameters.total),
    count("at work on a token", parameters.active),
  ];
}

function weights({ weights, settings }: Plan): Fact[] {
  return weights.map(({ dtype, bytes }) => ({
    part: "weights",
    what: dtype,
    unit: "bytes",
    value: bytes,
    asked: dtype === settings.weightType,
  }));
}

function cache({ cache, layers, settings }: Plan): Fact[] {
  const types = [...new Set(cache.map(({ dtype }) => dtype))];
  const rows = types.flatMap((dtype) => {
    const own = cache.filter((row) => row.dtype === dtype);
    const least = own.toSorted((a, b) => a.bytes - b.bytes)[0]!;
    return [{ ...least, form: "the smallest form" }, ...own];
  });
  const states = layers.reduce((sum, { count, state }) => sum + count * state, 0);
  return [
    ...rows.flatMap(({ form, dtype, valuesPerTokenPerLayer, bytesPerToken, bytes }): Fact[] => {
      const one = (what: string, unit: Fact["unit"], value: number): Fact => ({
        part: "cache",
        what: `${form}${unit === "bytes" ? `, ${dtype}` : ""}: ${what}`,
        unit,
        value,
        asked: dtype === settings.cacheType,
      });
      return [
        ...(dtype === settings.cacheType ? [one("of a token and layer", "values", valuesPerTokenPerLayer)] : []),
        one("of a token", "bytes", bytesPerToken),
        one("in all", "bytes", bytes),
      ];
    }),
    { part: "cache", what: "states of a sequence", unit: "values", value: states, asked: true },
  ];
}

function engines({ engines }: Plan): Fact[] {
  return engines.map(({ engine, version, bytes }) => ({
    part: "engines",
    what: `${engine} ${version}`,
    unit: "bytes",
    value: bytes,
    asked: true,
  }));
}

function work({ costs }: Plan): Fact[] {
  return costs.flatMap(({ phase, cached, form, context, flops, bytes }): Fact[] => {
    const one = (unit: Fact["unit"], value: number): Fact => ({
      part: "work",
      what: `${phase}, ${form} over ${cached}, ${context} tokens`,
      unit,
      value,
      asked: false,
    });
    return [one("FLOPs", flops), one("bytes", bytes)];
  });
}

function machines({ machines, cache, settings }: Plan): Fact[] {
  const form = cache.filter(({ dtype }) => dtype === settings.cacheType).toSorted((a, b) => a.bytes - b.bytes)[0]!.form;
  return machines.flatMap(({ machine, longestContext, prefill, decode, crossover }): Fact[] => {
    const one = (what: string, unit: Fact["unit"], value: number | null | undefined, asked = true): Fact[] =>
      value === undefined ? [] : [{ part: "machines", what: `${machine}: ${what}`, unit, value, asked }];
    const longest = longestContext.find((row) => row.form === form && row.dtype === settings.cacheType);
    return [
      ...one("most tokens", "tokens", longest?.tokens),
      ...one("prefill", "seconds", prefill[0]?.seconds),
      ...one("decoding step", "seconds", decode[0]?.seconds),
      ...one("absorbed decodes faster from", "tokens", crossover?.decodeContext, false),
    ];
  });
}

function layouts({ layouts }: Plan): Fact[] {
  return layouts.flatMap(({ layout, weightBytesPerRank, cacheBytesPerRank, communicationBytesPerStep }): Fact[] => {
    const one = (what: string, value: number): Fact => ({
      part: "layouts",
      what: `${layout}: ${what}`,
      unit: "bytes",
      value,
      asked: true,
    });
    return [
      one("weights of a rank", weightBytesPerRank),
      one("cache of a rank", cacheBytesPerRank),
      one("sent by a rank for a step", communicationBytesPerStep),
    ];
  });
}

type Layer = Plan["layers"][number];

/** Kinds that are alike beside each other, then those of one variant, then what is left, in their order. */
function compareLayers(a: readonly Layer[], b: readonly Layer[]): Difference["layers"] {
  const others = [...b];
  const beside = new Map<Layer, Layer>();
  const pair = (suits: (own: Layer, other: Layer) => boolean): void => {
    for (const own of a) {
      const at = beside.has(own) ? -1 : others.findIndex((other) => suits(own, other));
      if (at >= 0) beside.set(own, others.splice(at, 1)[0]!);
    }
  };
  pair(
    (own, other) => own.variant === other.variant && own.count === other.count && differing(own, other).length === 0,
  );
  pair((own, other) => own.variant === other.variant && differing(own, other).length === 0);
  pair((own, other) => own.variant === other.variant);
  pair(() => true);
  const kindOf = (layer: Layer | undefined) => layer && { variant: layer.variant, count: layer.count };
  return [...a.map((own) => [own, beside.get(own)] as const), ...others.map((other) => [undefined, other] as const)]
    .map(([own, other]) => ({ a: kindOf(own), b: kindOf(other), changed: own && other ? differing(own, other) : [] }))
    .filter(({ a, b, changed }) => a?.count !== b?.count || a?.variant !== b?.variant || changed.length > 0);
}

/** The numbers of a kind of layer but how many there are, by their place in a plan. */
function numbersOf({ count: _, ...layer }: Layer): Map<string, number> {
  const found = new Map<string, number>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === "number" || typeof value === "boolean") found.set(path, Number(value));
    else if (typeof value === "object" && value !== null)
      for (const [key, inner] of Object.entries(value)) walk(inner, path ? `${path}.${key}` : key);
  };
  walk(layer, "");
  return found;
}

function differing(a: Layer, b: Layer): Difference["layers"][number]["changed"] {
  const [first, second] = [numbersOf(a), numbersOf(b)];
  return [...new Set([...first.keys(), ...second.keys()])]
    .map((what) => ({ what, a: first.get(what), b: second.get(what) }))
    .filter(({ a, b }) => a !== b);
}
