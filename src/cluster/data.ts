/** What an experiment's models learn from: generated from a seed, or texts that are told by their hashes. */
import { z } from "zod";
import { type Source, seeded } from "../data/source.ts";
import { openTask } from "../data/task.ts";
import { type NamedText, readTexts, textSource } from "../data/text.ts";
import { FormatError } from "../tensor/error.ts";
import { createHash, relative, resolve } from "../tensor/node.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";

const [seed, whole] = [z.int().nonnegative(), z.int().positive()];
const file = z.strictObject({
  path: z.string().min(1).describe("From the experiment's file on, or absolute"),
  bytes: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

export const dataSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("story"), seed }),
  z.strictObject({
    kind: z.literal("recall"),
    seed,
    pairs: whole,
    queries: whole.optional(),
    vocabulary: whole.optional(),
  }),
  z.strictObject({ kind: z.literal("copying"), seed, items: whole, vocabulary: whole.optional() }),
  z.strictObject({
    kind: z.literal("text"),
    seed,
    files: z.array(file).min(1),
    tokenizer: file.optional(),
  }),
]);

/** What an experiment learns from. */
export type Data = z.infer<typeof dataSchema>;

type DataFile = z.infer<typeof file>;

/** A file as an experiment in `folder` names it. Throws FormatError where it cannot be read. */
export async function describeFile(path: string, folder: string): Promise<DataFile> {
  const [{ bytes }] = (await readTexts([path])) as [NamedText];
  return { path: relative(folder, resolve(path)), bytes: bytes.length, sha256: hash(bytes) };
}

/**
 * The source of each training seed, as `biform compare` has it. `at` finds a named file on this machine.
 * Throws FormatError where a file is missing or is not the one that the experiment was laid out with.
 */
export async function openData(
  data: Data,
  length: number,
  at: (path: string) => string,
): Promise<(seed: number) => Source> {
  if (data.kind !== "text") return seeded(openTask(data));
  const texts = await readKnown(data.files, at);
  if (data.tokenizer) await readKnown([data.tokenizer], at);
  const tokenizer = data.tokenizer ? await loadTokenizer(at(data.tokenizer.path)) : undefined;
  return seeded(textSource(texts, { seed: data.seed, length, tokenizer }));
}

/** Files of an experiment, each the one that it was laid out with. */
async function readKnown(files: readonly DataFile[], at: (path: string) => string): Promise<NamedText[]> {
  const texts = await readTexts(files.map(({ path }) => at(path)));
  for (const [i, { name, bytes }] of texts.entries())
    if (hash(bytes) !== files[i]!.sha256)
      throw new FormatError(
        `${name}: got other text (${bytes.length} bytes), expected the ${files[i]!.bytes} bytes that the experiment was laid out with; copy that file here`,
      );
  return texts;
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
