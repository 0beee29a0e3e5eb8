import { ggufHeader, type Recast, tableTensors, typedTensor } from "../checkpoint/recast.ts";
import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import { describeGguf } from "../family/header.ts";
import type { Sources } from "../family/source.ts";
import { type FolderFile, writeAtomic, writeFolder } from "../file/atomic.ts";
import { readSmall } from "../file/disk.ts";
import type { Metadata } from "../file/metadata.ts";
import { safetensorsChunks } from "../file/safetensors.ts";
import { writeGguf } from "../file/writer.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { join } from "../tensor/node.ts";

/** The types of matrices that are written; a folder takes the first two. */
export const writtenTypes = ["F32", "BF16", "F16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"] as const;
export type WrittenType = (typeof writtenTypes)[number];

/** A checkpoint to be written, whatever kind of file it becomes. */
export interface Checkpoint {
  readonly config: Config;
  /** The tensors of that model, where its parameters are to lie. */
  tensors(model: Model, targets: Sources): Recast[];
  /** README.md of a folder, the description of a GGUF file. */
  readonly card: string;
  readonly name: string;
  /** Tokenizer, template and settings, as files and as a header's entries. */
  files(): Promise<readonly FolderFile[]>;
  tokenizer(): Promise<Metadata>;
  /** Parameters that stay float32 in a GGUF file of another type. */
  exact?(parameter: string): boolean;
}

/** What a model is called after its path. */
export const nameOf = (path: string) => path.split("/").filter(Boolean).at(-1) ?? path;

/**
 * Writes a checkpoint, a GGUF file where `out` ends so and else a folder, whole or not at all. Errors: FormatError for a type that a
 * folder does not have and for what GGUF has no words for, DeviceError of the disk.
 */
export async function writeCheckpoint(out: string, type: WrittenType, checkpoint: Checkpoint): Promise<void> {
  if (out.endsWith(".gguf")) await writeFile(out, type, checkpoint);
  else await writeDirectory(out, type, checkpoint);
}

/** Adds chapters to a written folder's card. A GGUF file, whose card is in its header, stays as it is. Errors: as `writeAtomic`. */
export async function addToCard(out: string, chapters: readonly string[]): Promise<void> {
  if (out.endsWith(".gguf") || !chapters.length) return;
  const path = join(out, "README.md");
  await writeAtomic(path, [await readSmall(path, 1 << 20), ...chapters]);
}

async function writeDirectory(out: string, type: WrittenType, checkpoint: Checkpoint): Promise<void> {
  if (type !== "F32" && type !== "BF16")
    throw new FormatError(`--type: got ${type}, expected F32 or BF16 in a folder; name a .gguf file`);
  const config: Config = { ...checkpoint.config, torch_dtype: { F32: "float32", BF16: "bfloat16" }[type] };
  const family = findFamily(config);
  const model = family.model(config);
  const tensors = checkpoint
    .tensors(model, family.sources(model, config))
    .map(({ name, shape, plain, data, pieces }) => ({
      name,
      shape,
      data: pieces ?? data,
      dtype: plain || shape.length < 2 ? ("F32" as const) : type,
    }));
  await writeFolder(out, [
    { name: "config.json", chunks: [`${JSON.stringify(config, null, 1)}\n`] },
    ...(await checkpoint.files()),
    { name: "README.md", chunks: [checkpoint.card] },
    { name: "model.safetensors", chunks: safetensorsChunks("model.safetensors", tensors, { format: "pt" }) },
  ]);
}

async function writeFile(out: string, type: WrittenType, checkpoint: Checkpoint): Promise<void> {
  const { config, name, card, exact } = checkpoint;
  const { tables, sources } = describeGguf(config, "absorbed");
  const tensors = checkpoint.tensors(findFamily(config).model(config), sources);
  const metadata: Metadata = new Map([
    ...ggufHeader(config, await checkpoint.tokenizer(), type, "absorbed", name),
    ["general.description", { type: "string", value: card }],
  ]);
  const typed = tensors.map((tensor) => typedTensor(tensor, type, exact));
  await writeGguf(out, metadata, [...tableTensors(tables), ...typed]);
}
