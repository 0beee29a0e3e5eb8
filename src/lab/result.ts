/**
 * What one comparison found: the shape of `--json`, of the stored results and of what the report is drawn from.
 * One schema gives the type, the check of a file read back, and the published JSON Schema.
 */
import { z } from "zod";
import { FormatError } from "../tensor/error.ts";

const count = z.int().nonnegative();
const positive = z.number().positive();
const rate = positive.describe("Tokens per second");

/** Ends are null where they are undefined: one seed has no interval. The mean is null where a seed diverged. */
const interval = z.strictObject({
  mean: z.number().nullable(),
  low: z.number().nullable().describe("Lower end of the 95 % interval (Student's t over the seeds); null for one seed"),
  high: z.number().nullable(),
});

/** A line of a curve: as many losses as steps; null where the loss was not finite. */
const curve = z
  .strictObject({ steps: z.array(count), losses: z.array(z.number().nullable()) })
  .refine(({ steps, losses }) => steps.length === losses.length, "as many losses as steps")
  .describe("Loss in nats per token after each of the listed steps");

const share = z
  .number()
  .min(0)
  .max(1)
  .describe("Held-out targets that are the likeliest of all ids, of all that are counted; where the data are a task");

const seed = z.strictObject({
  seed: z.int(),
  loss: z.number().nullable().describe("Held-out loss after the last step, nats per token; null: diverged"),
  bitsPerByte: z.number().optional(),
  accuracy: share.optional(),
  training: curve.optional(),
  heldOut: curve.optional(),
});

const sample = z.strictObject({ seed: z.int().optional(), prompt: z.string().optional(), text: z.string() });

const variant = z.strictObject({
  spec: z.string().min(1).describe("The variant's name in the notation every command accepts"),
  parameters: count.describe("Parameters of the whole model"),
  cacheValuesPerTokenPerLayer: z.number().nonnegative().describe("Numbers one token leaves in one layer's cache"),
  cacheBytes: z.number().nonnegative().optional().describe("Bytes one token leaves in the cache, all layers together"),
  stateBytes: z
    .number()
    .nonnegative()
    .optional()
    .describe("Bytes of state that a sequence of any length has, all layers together"),
  trainFlops: z.number().nonnegative().describe("Floating-point operations of one seed's training, forward and back"),
  steps: count.optional(),
  tokens: count.optional().describe("Tokens one seed was trained on"),
  dims: z
    .record(z.string(), z.number())
    .optional()
    .describe("Sizes by axis letter: d width, h heads, g groups, n content, r rotary, v value, c/q/o ranks"),
  intermediate: count.optional().describe("Width of the MLP, which the solver sets to match parameters"),
  unmatched: z.array(z.string()).optional().describe("What the solver could not match, one sentence each"),
  seeds: z.array(seed).min(1),
  loss: interval.describe("Held-out loss over the seeds, nats per token"),
  bitsPerByte: interval.optional(),
  accuracy: interval.optional().describe("Over the seeds; ends may lie beyond 0 and 1"),
  versus: interval
    .extend({ spec: z.string() })
    .optional()
    .describe("Held-out loss minus that of the named variant, paired by seed"),
  train: z.strictObject({
    tokensPerSecond: rate,
    mfu: positive
      .optional()
      .describe("Share of the device's FLOP/s that training reached, by Biform's FLOPs; where its peak was given"),
  }),
  prefill: z.array(z.strictObject({ form: z.string(), tokens: count, tokensPerSecond: rate })),
  decode: z.array(
    z.strictObject({ form: z.string(), context: count.describe("Tokens in the cache"), tokensPerSecond: rate }),
  ),
  memory: z
    .array(z.strictObject({ context: count, bytes: z.number().nonnegative() }))
    .optional()
    .describe("Cache of the whole model at several context lengths"),
  samples: z.array(sample).optional().describe("Text the trained model wrote"),
});

const equal = z.strictObject({
  unit: z.enum(["FLOPs", "seconds"]).describe("Of training, forward and back; seconds are those of steps alone"),
  amount: positive.describe("What each variant has had: all that a run of the cheapest one takes"),
  place: z
    .record(z.string(), z.json())
    .optional()
    .describe("Of seconds: the machine and engine that all runs counted here were trained with; others are left out"),
  variants: z
    .array(
      z.strictObject({
        spec: z.string(),
        steps: z.number().nonnegative().describe("Steps taken by then; between two of them as a rule"),
        share: positive.max(1).describe("Of all its steps: below 1 its learning rate had not come down yet"),
        loss: interval.describe("Held-out loss there, on the line between two evaluations; null before the first one"),
        versus: interval.extend({ spec: z.string() }).optional().describe("Minus that of the first, paired by seed"),
      }),
    )
    .min(2),
});

const agreement = z.strictObject({
  spec: z.string(),
  forms: z.array(z.string()).optional(),
  float64: z.number().nonnegative().describe("Largest difference between the forms' outputs, in float64"),
  float32: z.number().nonnegative().describe("The same in float32 on the device that trained"),
  trials: count.optional().describe("Geometries tried"),
});

const comparison = z
  .strictObject({
    machine: z
      .object({
        cpu: z.string().exactOptional(),
        cores: count.exactOptional(),
        threads: count.exactOptional(),
        memoryBytes: count.exactOptional(),
        device: z.string().exactOptional(),
      })
      .catchall(z.json())
      .describe("Facts about the machine; anything beyond the named ones is shown as given"),
    settings: z
      .object({
        data: z.string().exactOptional().describe("The text or the generator"),
        steps: count.exactOptional(),
        layers: count.exactOptional(),
        width: count.exactOptional(),
        match: z.string().exactOptional().describe("What was held equal between the variants"),
      })
      .catchall(z.json())
      .describe("Every setting of the run; anything beyond the named ones is shown as given"),
    versions: z.record(z.string(), z.string()).optional(),
    command: z.string().optional(),
    date: z.string().optional(),
    started: z.string().optional().describe("ISO 8601"),
    finished: z.string().optional().describe("ISO 8601"),
    variants: z.array(variant).min(1).describe("In the order asked for; the first is the reference"),
    equal: z
      .array(equal)
      .optional()
      .describe("Losses where all variants have had as many FLOPs, or as much time on one machine"),
    agreement: z.array(agreement).optional().describe("How far apart the forms of one variant are on this machine"),
  })
  .superRefine(({ variants }, context) => {
    const specs = variants.map(({ spec }) => spec);
    variants.forEach(({ spec, versus }, index) => {
      if (specs.indexOf(spec) < index)
        context.addIssue({ code: "custom", path: ["variants", index, "spec"], message: "a name no other variant has" });
      if (versus && !specs.includes(versus.spec))
        context.addIssue({ code: "custom", path: ["variants", index, "versus", "spec"], message: "a variant's name" });
    });
  });

/** The result of one comparison. Losses are nats per token; rates tokens per second; sizes bytes. */
export type Comparison = z.infer<typeof comparison>;

/** One variant's part of a comparison. */
export type VariantResult = Comparison["variants"][number];

/** The JSON Schema (draft 2020-12) of a comparison, as published with the package. */
export function comparisonSchema(): Record<string, unknown> {
  return { title: "biform comparison", ...z.toJSONSchema(comparison, { io: "input" }) };
}

/** `variants[1].loss.mean` from the parts of a path. */
function joinPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

/** What stands at `path`, short enough for a message. */
function found(value: unknown, path: readonly PropertyKey[]): string {
  let here = value;
  for (const part of path)
    here = here === null ? undefined : (here as Record<PropertyKey, unknown> | undefined)?.[part];
  const text = here === undefined ? "nothing" : (JSON.stringify(here) ?? String(here));
  return text.length > 40 ? `${text.slice(0, 37)}...` : text;
}

/**
 * Checks that `value` (parsed JSON) is a comparison. `source` names it in the error.
 * @throws FormatError naming up to three places that are wrong, what stands there and what should.
 */
export function parseComparison(value: unknown, source = "comparison"): Comparison {
  const parsed = comparison.safeParse(value, { reportInput: false });
  if (parsed.success) return parsed.data;
  const places = parsed.error.issues.slice(0, 3).map((issue) => {
    const expected = issue.message.replace(/^Invalid input: expected /, "").replace(/, received .*$/, "");
    return `${joinPath(issue.path) || "the whole"}: got ${found(value, issue.path)}, expected ${expected}`;
  });
  const rest = parsed.error.issues.length - places.length;
  const more = rest > 0 ? `; and ${rest} more` : "";
  throw new FormatError(`${source}: ${places.join("; ")}${more}; write it with \`biform compare --json\``);
}
