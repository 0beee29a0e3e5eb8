import { numbersIn, parameterCount, present } from "../attention/define.ts";
import { achieved } from "../cost/achieve.ts";
import { type Blueprint, countParameters, draftOf, type LayerKind } from "../cost/blueprint.ts";
import {
  bytesPerToken,
  cacheBytes,
  formsOf,
  layerValues,
  stepBytes,
  stepFlops,
  valuesPerLayer,
  waysOf,
  weightBytes,
  weightsRead,
} from "../cost/cost.ts";
import type { Group } from "../cost/group.ts";
import type { Host } from "../cost/host.ts";
import { type CachedForm, keptOf } from "../cost/keep.ts";
import { layOut } from "../cost/layout.ts";
import type { Offload } from "../cost/offload.ts";
import { type Dtype, dtypes, type WeightType } from "../cost/type.ts";
import { ShapeError } from "../tensor/error.ts";
import { spansOf, typesFrom } from "./asked.ts";
import type { EngineSettings } from "./engine/engine.ts";
import { enginesOf } from "./engine/known.ts";
import { lackingOf } from "./engine/lacking.ts";
import { groupRow, offloadRow } from "./group.ts";
import { machineRows } from "./machine.ts";
import type { Plan } from "./schema.ts";

/** What a plan is asked for. */
export interface PlanSettings {
  /** Tokens per sequence. */
  readonly context: number;
  /** Sequences at a time. */
  readonly batch: number;
  /** New tokens of a sequence in one decoding step (more than one: speculative decoding). */
  readonly step: number;
  /** Tokens of a sequence that such a step adds on average, from 1 to `step`; all of them unless given. */
  readonly accepted?: number | undefined;
  /** "file": as they are shipped, by files or a config (bfloat16 where neither says). */
  readonly weightType: WeightType;
  readonly cacheType: Dtype;
  readonly hosts: readonly Host[];
  /** As "tp8", "dp8", "cp4", "tp4,dp2". */
  readonly layouts: readonly string[];
  /** Machines as they are bought, whose layouts are looked for. */
  readonly groups?: readonly Group[] | undefined;
  /** How engines are started, where not as usual (`startOf` reads it from text). */
  readonly engine?: Partial<EngineSettings> | undefined;
  /** What groups with a processor beside them leave to it. */
  readonly offload?: Offload | undefined;
}

export type { Blueprint };

/** The most tokens, and sequences, that are planned for. */
const [MOST_TOKENS, MOST_SEQUENCES] = [2 ** 40, 2 ** 20];

/** All that follows from a model's sizes and what is asked for. Throws ShapeError where a setting or a layout makes no sense. */
export function plan(blueprint: Blueprint, settings: PlanSettings): Plan {
  check("context", settings.context, MOST_TOKENS);
  check("batch", settings.batch, MOST_SEQUENCES);
  check("step", settings.step, MOST_SEQUENCES);
  for (const [name, type] of [
    ["weightType", settings.weightType === "file" ? "float32" : settings.weightType],
    ["cacheType", settings.cacheType],
  ] as const)
    if (!Object.hasOwn(dtypes, type))
      throw new ShapeError(`plan: ${name} got "${type}", expected one of ${Object.keys(dtypes).join(", ")}`);
  const { context, batch, step, accepted = step, weightType, cacheType, groups = [], engine } = settings;
  if (!(accepted >= 1 && accepted <= step))
    throw new ShapeError(
      `plan: accepted got ${accepted}, expected from 1 to the ${step} new tokens of a step; propose more with --step`,
    );
  const { name, architecture, source, vocabulary, width, layers, maxContext } = blueprint;
  const { total, active, hosted } = countParameters(blueprint);
  return {
    format: "biform plan 1",
    model: {
      name,
      architecture,
      source,
      vocabulary,
      width,
      layers: layers.reduce((sum, { count }) => sum + count, 0),
      maxContext,
    },
    settings: { context, batch, step, accepted, weightType, cacheType, engine },
    parameters: { total, active, hosted },
    tables: [...(blueprint.tables ?? [])],
    draft: draftRow(blueprint, settings),
    weights: weightsOf(blueprint, weightType),
    layers: layers.map(layerRow),
    cache: cacheRows(blueprint, settings),
    engines: enginesOf(blueprint, cacheType, {
      context,
      batch,
      rooms: roomsOf(blueprint, settings),
      start: engine,
    }),
    costs: costRows(blueprint, settings),
    machines: machineRows(blueprint, settings),
    layouts: settings.layouts.map((layout) => layOut(blueprint, layout, settings)),
    groups: groups
      .filter(({ count, beside }) => count > 1 || !settings.offload || !beside)
      .map((group) => groupRow(blueprint, group, settings)),
    offloads: groups.flatMap((group) => offloadRow(blueprint, group, settings)),
    notes: [...notesOf(blueprint, settings), ...lackingOf(blueprint)],
  };
}

/** Machines that say their memory, and what they have of it beside the weights. */
function roomsOf(blueprint: Blueprint, { hosts, weightType }: PlanSettings) {
  const weights = weightBytes(blueprint, weightType);
  return hosts.flatMap(({ name, memory }) =>
    memory === undefined ? [] : { machine: name, room: Math.max(0, memory - weights) },
  );
}

function check(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new ShapeError(`plan: ${name} got ${value}, expected a whole number from 1 to ${most}`);
}

/** What was assumed of this model and these settings, and what is not counted. */
function notesOf(
  { layers, maxContext, weightBytes, shipped, assumed, tables, draft }: Blueprint,
  settings: PlanSettings,
): string[] {
  const { context, step, accepted = step, weightType, cacheType, hosts, groups = [] } = settings;
  const notes: string[] = [...(assumed ?? [])];
  const note = (holds: boolean, text: string) => void (holds && notes.push(text));
  note(
    maxContext !== undefined && context > maxContext,
    `the model is declared for ${maxContext} tokens; ${context} were asked for`,
  );
  note(
    layers.some(({ attention }) => attention.window),
    "a layer with a window keeps no more tokens than that",
  );
  note(
    layers.some(({ keeping }) => keeping?.every),
    "layers with pooled entries keep one for so many tokens, and the last tokens whole",
  );
  note(
    layers.some(({ keeping }) => keeping?.owner !== undefined),
    "some layers read another layer's cache and keep none",
  );
  note(
    (tables ?? []).length > 0,
    "tables of which a token reads a row may lie in the host's memory; here they are counted among weights, but in groups they lie there",
  );
  note(
    draft !== undefined,
    "layers that propose further tokens stand apart: only groups count them, where a step has several new tokens",
  );
  note(
    layers.some(({ feed }) => feed.experts),
    "a step reads the experts that its tokens are expected to visit, where each visits all alike",
  );
  note(
    layers.some((kind) => keptOf(kind).expanded.state),
    "states of fixed size are float32",
  );
  note(weightType === "file" && shipped !== undefined, `weights are as they are shipped: ${shipped}`);
  note(
    weightType === "file" && weightBytes === undefined,
    "neither a file nor a config says their types: weights are counted as bfloat16",
  );
  note(
    ["int8", "int4", "float8"].some((type) => type === weightType || type === cacheType),
    "scales are not counted, but for those of engines",
  );
  note(hosts.length > 0, "activations and an engine's own buffers are not counted, nor is what several devices send");
  note(
    hosts.some(({ measured }) => !measured),
    "times on machines that were not measured are what published rates allow",
  );
  note(
    step > 1,
    `a decoding step has ${step} new tokens of each sequence, of which ${accepted === step ? "all" : accepted} count as accepted`,
  );
  note(
    groups.length > 0,
    `groups: kernels achieve ${achieved.compute * 100} % of the arithmetic, ${achieved.memory * 100} % of the memory's and ${achieved.network * 100} % of the links' rates of datasheets and start in ${achieved.op * 1e6} us, as published on H800 and H100 (FlashMLA, DeepEP, Hazy Research), one share for all; experts are visited alike, work and sending do not overlap`,
  );
  return notes;
}

/** Bytes of all weights by type: the one asked for first, then the others, then as the file has them. */
function weightsOf(blueprint: Blueprint, asked: WeightType): Plan["weights"] {
  const types: WeightType[] = [
    ...typesFrom(asked),
    ...(blueprint.weightBytes === undefined ? [] : (["file"] as const)),
  ];
  return [...new Set([asked, ...types])].map((dtype) => ({ dtype, bytes: weightBytes(blueprint, dtype) }));
}

function cacheRows(blueprint: Blueprint, { context, batch, cacheType }: PlanSettings): Plan["cache"] {
  return typesFrom(cacheType).flatMap((dtype) =>
    formsOf(blueprint).map((form) => ({
      form,
      dtype,
      valuesPerTokenPerLayer: valuesPerLayer(blueprint, form),
      bytesPerToken: bytesPerToken(blueprint, form, dtype),
      bytes: batch * cacheBytes(blueprint, form, dtype, context),
    })),
  );
}

function layerRow(kind: LayerKind): Plan["layers"][number] {
  const { count, attention } = kind;
  const { variant, sizes, window } = attention;
  const kept = keptOf(kind);
  return {
    count,
    variant: variant.name,
    sizes: Object.fromEntries(
      Object.entries(sizes).filter(([letter, size]) => letter !== "eps" && typeof size === "number" && size > 0),
    ) as Record<string, number>,
    window,
    parameters: parameterCount(variant, sizes),
    cache: Object.fromEntries((Object.keys(kept) as CachedForm[]).map((form) => [form, layerValues(kind, form)])),
    keeping: kind.keeping,
    state: kept.expanded.state,
    states: Object.fromEntries(
      present(variant.state?.(sizes) ?? {}).map(([part, axes]) => [part, numbersIn(axes, sizes)]),
    ),
  };
}

/** What layers that propose further tokens add to the model, where they are used. */
function draftRow(blueprint: Blueprint, settings: PlanSettings): Plan["draft"] {
  const draft = draftOf(blueprint);
  if (!draft) return undefined;
  const { total: parameters, active } = countParameters(draft);
  return {
    name: draft.name,
    layers: draft.layers.reduce((sum, { count }) => sum + count, 0),
    parameters: { total: parameters, active },
    weights: weightsOf(draft, settings.weightType),
    cache: cacheRows(draft, settings),
  };
}

/** The context asked for, and some below it, falling. */
function contextsTo(context: number): number[] {
  const below = [];
  for (let tokens = 1024; tokens < context; tokens *= 4) below.push(tokens);
  return [context, ...below.reverse()];
}

function costRows(blueprint: Blueprint, settings: PlanSettings): Plan["costs"] {
  const { context, weightType } = settings;
  const steps = contextsTo(context).flatMap((tokens) => {
    const { prefill, decode } = spansOf({ ...settings, context: tokens });
    return [
      { phase: "prefill", context: tokens, span: prefill, weights: weightsRead(blueprint, prefill, weightType) },
      { phase: "decode", context: tokens, span: decode, weights: weightsRead(blueprint, decode, weightType) },
    ] as const;
  });
  return waysOf(blueprint).flatMap((way) =>
    steps.map(({ phase, context, span, weights }) => {
      const flops = stepFlops(blueprint, way, span);
      const { read, written, unfolded } = stepBytes(blueprint, way, span, settings, weights);
      const bytes = weights + read + written + unfolded;
      return { phase, ...way, context, flops, bytes, intensity: flops / bytes };
    }),
  );
}
