/** What others measured while serving models, beside what a plan predicts of the same: `conformance/serving.json`. */
import { z } from "zod";
import { achieved } from "../cost/achieve.ts";
import { groupOf } from "../cost/group.ts";
import { offloadOn, parseOffload } from "../cost/offload.ts";
import { decodeOn, prefillOn } from "../cost/serve.ts";
import { parseSplit } from "../cost/split.ts";
import { type Dtype, dtypes } from "../cost/type.ts";
import { compact, context as tokensText } from "../draw/quantity.ts";
import { FormatError } from "../tensor/error.ts";
import { presetOf } from "./preset/preset.ts";
import { blueprintOfConfig } from "./read/config.ts";

const dtype = z.enum(Object.keys(dtypes) as [Dtype, ...Dtype[]]);
const many = z.int().positive();

const point = z
  .object({
    /** A preset's name, and a machine or group as the command line has it. */
    model: z.string(),
    machine: z.string(),
    /** How a group is laid out, or what is offloaded. */
    layout: z.string().optional(),
    offload: z.string().optional(),
    /** Reading `context` tokens; a decoding step after them; or reading them and then writing `output` tokens. */
    phase: z.enum(["prefill", "decode", "generate"]),
    context: many,
    output: many.optional(),
    /** Sequences at a time, of all devices together. */
    batch: many,
    /** Requests of the whole run, all alike and sent at once: as many as there may be at a time begin together, the rest after them. */
    requests: many.optional(),
    step: many.optional(),
    accepted: z.number().positive().optional(),
    /** "file": as `quantization_config` says, or as the preset is shipped. */
    weightType: z.union([dtype, z.literal("file")]),
    cacheType: dtype,
    /** What the weights were shipped in, as a config says it. */
    quantization_config: z.record(z.string(), z.unknown()).optional(),
    /** Measured, of all devices together: tokens read, or written. */
    tokensPerSecond: z.number().positive(),
    source: z.string(),
    /** What the source leaves open. */
    assumed: z.string().optional(),
    /** Why what is predicted is off by more than 2 times, where it is. */
    reason: z.string().optional(),
  })
  .strict();

/** The file's records. */
export const servingSchema = z.object({ points: z.array(point).min(1) }).strict();

/** One measurement. */
export type ServingPoint = z.infer<typeof point>;

/** Tokens per second that a plan predicts of a point, all devices together. Throws ShapeError for a layout or machine that is none. */
export function predictServing(at: ServingPoint): number {
  const { context, output = 0, batch, requests = batch, step = 1, accepted = step, weightType, cacheType, phase } = at;
  const preset = presetOf(at.model);
  if (!preset) throw new FormatError(`serving: got model "${at.model}", expected the name of a preset`);
  const { quantization_config } = at;
  const config = quantization_config ? { ...preset.config, quantization_config } : preset.config;
  const blueprint = blueprintOfConfig(config, preset.name);
  const group = groupOf(at.machine);
  const load = { context, batch, step, weightType, cacheType };
  if (at.offload) {
    const found = offloadOn(blueprint, group, parseOffload(at.offload), load);
    return phase === "prefill" ? (batch * context) / found.prefill.seconds : (batch * accepted) / found.decode.seconds;
  }
  const split = parseSplit(at.layout ?? "tp1");
  const reading = (batch: number) => prefillOn(blueprint, group, split, { ...load, batch }).seconds;
  if (phase === "prefill") return (batch * context) / reading(batch);
  // While tokens are written the cache grows: its middle stands for all steps.
  const middle = context + Math.floor(output / 2);
  const writing = (batch: number) => decodeOn(blueprint, group, split, { ...load, batch, context: middle }).seconds;
  if (phase === "decode") return (batch * accepted) / writing(batch);
  const run = (batch: number) => reading(batch) + (output / accepted) * writing(batch);
  const rest = requests % batch;
  const seconds = Math.floor(requests / batch) * run(batch) + (rest ? run(rest) : 0);
  return (requests * output) / seconds;
}

/** A point with what is predicted, and how many times too much that is (below 1: too little). */
export interface Held {
  readonly point: ServingPoint;
  readonly predicted: number;
  readonly ratio: number;
}

/** Every point beside its prediction. */
export function holdServing(points: readonly ServingPoint[]): Held[] {
  return points.map((point) => {
    const predicted = predictServing(point);
    return { point, predicted, ratio: predicted / point.tokensPerSecond };
  });
}

/** By how many times a prediction is off, either way, in the middle of all. */
export function medianError(held: readonly Held[]): number {
  const off = held.map(({ ratio }) => Math.max(ratio, 1 / ratio)).toSorted((a, b) => a - b);
  return (off[(off.length - 1) >> 1]! + off[off.length >> 1]!) / 2;
}

/** The points as a document. */
export function servingText(points: readonly ServingPoint[]): string {
  const held = holdServing(points);
  const within = held.filter(({ ratio }) => Math.max(ratio, 1 / ratio) <= 2).length;
  const rows = held.map(({ point, predicted, ratio }) => {
    const { model, machine, layout, offload, phase, context, output, batch, step, accepted } = point;
    const work = {
      prefill: `read ${tokensText(context)}`,
      decode: `write after ${tokensText(context)}`,
      generate: `read ${context}, write ${output}`,
    }[phase];
    const proposed = step ? `, ${accepted} of ${step} accepted` : "";
    const weights = point.quantization_config ? "mixed" : point.weightType === "file" ? "as shipped" : point.weightType;
    const types = `${weights} / ${point.cacheType}`;
    const said = [point.source, point.assumed && `assumed: ${point.assumed}`, point.reason && `why: ${point.reason}`];
    return `| ${model} | ${machine}, ${layout ?? offload} | ${work} x ${batch}${proposed} | ${types} | ${compact(point.tokensPerSecond)} | ${compact(predicted)} | ${ratio.toFixed(2)} | ${said.filter(Boolean).join("; ")} |`;
  });
  return `# Predictions beside public measurements

What \`biform plan\` predicts of groups of machines, held against what others published, as tokens per second of all devices together. ${held.length} points, ${within} of them within 2 times; the median is off by ${medianError(held).toFixed(2)} times. Nothing is fitted to any of them: datasheets, and one share for each kind of work (${achieved.compute} of arithmetic, ${achieved.memory} of memory, ${achieved.network} of links, ${achieved.op * 1e6} us to start a kernel, from the microbenchmarks that \`src/cost/achieve.ts\` names), what kernels between contractions read and write (\`src/cost/between.ts\`), and products in the type of each part's weights (\`productOf\` in \`src/cost/part.ts\`). Not in it: uneven experts and routers that keep a token to some nodes, overlap of work and sending, an engine's scheduling. The points are in \`conformance/serving.json\`; \`test/serving.test.ts\` holds them, and a point that is off by more than 2 times has to say why.

| model | machine, layout | work x sequences | weights / cache | measured | predicted | times | source |
|---|---|---|---|---|---|---|---|
${rows.join("\n")}
`;
}
