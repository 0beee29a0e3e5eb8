/** What a finished run leaves in the store, and how it is read back from machines and versions that may be others. */
import { z } from "zod";
import type { RunRecord } from "../lab/run.ts";
import { FormatError } from "../tensor/error.ts";
import type { Store } from "./store.ts";

const count = z.int().nonnegative();

/** A list as it was read. A copy by zod, which makes lists of all kinds in one place, would hold a box of 16 bytes for each number. */
const listOf = <T>(holds: (value: unknown) => value is T, words: string) =>
  z.custom<T[]>((value) => Array.isArray(value) && value.every(holds), `expected a list of ${words}`);
const isStep = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isLoss = (value: unknown): value is number | null => value === null || Number.isFinite(value);

const curve = z
  .object({ steps: listOf(isStep, "steps"), losses: listOf(isLoss, "losses") })
  .refine(({ steps, losses }) => steps.length === losses.length, "as many losses as steps");
const rate = z.number().positive();

const record = z.object({
  seed: z.int().positive(),
  rate,
  loss: z.number().nullable(),
  accuracy: z.number().min(0).max(1).optional(),
  training: curve,
  heldOut: curve,
  tokensPerSecond: rate,
  mfu: rate.optional(),
  sample: z.object({ prompt: z.string(), text: z.string() }).nullable(),
  speeds: z
    .object({
      prefill: z.array(z.object({ form: z.string(), tokens: count, tokensPerSecond: rate })),
      decode: z.array(z.object({ form: z.string(), context: count, tokensPerSecond: rate })),
      memory: z.array(z.object({ context: count, bytes: z.number().nonnegative() })),
    })
    .nullable(),
}) satisfies z.ZodType<RunRecord>;

const finished = z.object({
  experiment: z.string().describe("The hash of the experiment it belongs to"),
  key: z.string(),
  engine: z.string().describe("What trained it"),
  versions: z.record(z.string(), z.string()),
  machine: z.record(z.string(), z.json()),
  finished: z.string(),
  record,
});

/** A finished run: what came out, where and by which versions. */
export type Finished = z.infer<typeof finished>;

const nameOf = (key: string) => `${key}/record.json`;

/** Keeps a finished run; what is there already stays, since it is the same run. */
export async function keepRecord(store: Store, made: Finished): Promise<void> {
  await store.create(nameOf(made.key), `${JSON.stringify(made)}\n`);
}

/**
 * The finished run of this key, or undefined where it is not finished.
 * Throws FormatError for a file that is torn, or of another experiment.
 */
export async function readRecord(store: Store, key: string, experiment: string): Promise<Finished | undefined> {
  const bytes = await store.read(nameOf(key));
  if (!bytes) return undefined;
  const name = `${store.where}/${nameOf(key)}`;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new FormatError(
      `${name}: got ${bytes.length} bytes that are no JSON, expected a finished run; remove it and do the run again`,
      {
        cause: error,
      },
    );
  }
  const parsed = finished.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new FormatError(
      `${name}: ${issue?.path.join(".") || "the whole"}: ${issue?.message}; it was written by another version or is damaged: remove it and do the run again`,
    );
  }
  if (parsed.data.experiment !== experiment)
    throw new FormatError(
      `${name}: got a run of another experiment (${parsed.data.experiment}), expected one of ${experiment}; name another folder with --out`,
    );
  return parsed.data;
}
