import type { Config } from "../family/config.ts";
import { architectureOf, architectures, findFamily } from "../family/families.ts";
import type { Architecture, GgufHeader } from "../family/gguf.ts";
import type { Sources } from "../family/source.ts";
import { ggufSources } from "../family/table.ts";
import { blobSource } from "../file/bytes.ts";
import { openGguf } from "../file/disk.ts";
import { type Files, firstGguf } from "../file/files.ts";
import { folderFiles, readFolder } from "../file/folder.ts";
import { type Gguf, readGguf } from "../file/gguf.ts";
import { clip } from "../file/header.ts";
import { joinParts } from "../file/parts.ts";
import type { TensorReader } from "../file/safetensors.ts";
import { type Model, type Parameter, parametersOf } from "../model/model.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { stat } from "../tensor/node.ts";
import { chooseHead } from "./head.ts";

/** A model on disk: what it is and where its parameters lie. Nothing of their size has been read. */
export interface Opened {
  /** config.json, or what stands for it in a GGUF file's metadata, in the same keys. */
  readonly config: Config;
  readonly model: Model;
  readonly parameters: readonly Parameter[];
  readonly sources: Sources;
  readonly tensors: TensorReader;
  /** Whether a tensor beside the parameters changes nothing. */
  ignores(tensor: string): boolean;
  /** What stands beside the weights, where it is a folder. */
  readonly files?: Files | undefined;
  /** The file's own header, where it is a GGUF file. */
  readonly gguf?: Gguf | undefined;
  /** What was taken otherwise than the config says, a sentence each. */
  readonly notes: readonly string[];
}

/**
 * Opens a Hugging Face style folder or a GGUF file, in parts or whole, and works out its model; a page's file is a GGUF file, and
 * its files are either. `override` replaces keys of the config.
 *
 * Errors: FormatError naming the file and the key or tensor.
 */
export async function openModel(given: string | File | Files, override: Config = {}): Promise<Opened> {
  if (typeof given === "string") {
    const there = await stat(given).catch(() => undefined);
    return there?.isFile()
      ? openArchitecture(await openGguf(given), override)
      : openFamily(await folderFiles(given), override);
  }
  if ("open" in given) return given.names.has("config.json") ? openFamily(given, override) : openParts(given, override);
  return openArchitecture(await readGguf(blobSource(given.name, given)), override);
}

async function openParts(files: Files, override: Config): Promise<Opened> {
  // Parts are found by their names, before which errors have the folder's.
  const read = async (path: string) => readGguf(await files.open(path.split("/").at(-1)!));
  return openArchitecture(await joinParts(await read(firstGguf(files)), read), override);
}

async function openFamily(files: Files, override: Config): Promise<Opened> {
  const { dir, config: stored, tensors } = await readFolder(files);
  const config = { ...stored, ...override };
  const file = `${dir}/config.json`;
  const family = blame(file, () => findFamily(config));
  const described = blame(file, () => {
    const model = family.model(config);
    parametersOf(model);
    return model;
  });
  const { model, notes } = await chooseHead(described, config, family, tensors);
  const [parameters, sources] = blame(file, () => [parametersOf(model), family.sources(model, config)]);
  const ignores = (name: string) => family.ignores(name, model, config);
  return { config, model, parameters, sources, tensors, ignores, files, notes };
}

async function openArchitecture(gguf: Gguf, override: Config): Promise<Opened> {
  const { file: path, metadata, tensors } = gguf;
  const name = metadata.get("general.architecture")?.value;
  const architecture = architectureOf(name);
  if (!architecture)
    throw new FormatError(
      `${path}: general.architecture: got ${clip(formatJson(name))}, ` +
        `expected one of ${architectures.map((known) => known.name).join(", ")}; other models are not supported`,
    );
  const header = await headerOf(gguf, architecture);
  const { config, model, parameters, sources } = blame(path, () => {
    const config = { ...architecture.config(header), ...override };
    const family = findFamily(config);
    const model = family.model(config);
    const parameters = parametersOf(model);
    // A vocabulary of another size than the embedding would ask for rows that are not there.
    const tokens = metadata.get("tokenizer.ggml.tokens");
    if (tokens?.type === "string[]" && tokens.value.length !== model.vocabulary)
      throw new FormatError(
        `tokenizer.ggml.tokens: got ${tokens.value.length} tokens, expected ${model.vocabulary}, one for each row of ` +
          "token_embd.weight; tokenizer and weights do not belong together",
      );
    return { config, model, parameters, sources: ggufSources(family.places(model), (name) => tensors.has(name)) };
  });
  const ignores = (tensor: string) => architecture.ignores(tensor, model);
  return { config, model, parameters, sources, tensors, ignores, gguf, notes: [] };
}

/** The most numbers that a tensor among the settings may have. */
const TABLE_LIMIT = 2 ** 17;

async function headerOf({ file, metadata, tensors }: Gguf, { name, tables }: Architecture): Promise<GgufHeader> {
  const own = [...metadata].filter(([key]) => key.startsWith(`${name}.`));
  const found = new Map<string, readonly number[]>();
  for (const table of tables.filter((tensor) => tensors.has(tensor))) {
    const { elements } = tensors.entry(table);
    if (elements > TABLE_LIMIT)
      throw new FormatError(
        `${file}: ${table}: got ${elements} numbers, expected at most ${TABLE_LIMIT}, one for each rotary pair`,
      );
    found.set(table, Array.from(await tensors.read(table)));
  }
  return {
    settings: Object.fromEntries(own.map(([key, { value }]) => [key.slice(name.length + 1), value])),
    tables: found,
    shapeOf: (tensor) => (tensors.has(tensor) ? tensors.entry(tensor).shape : undefined),
  };
}

/** Puts the file's name before what is wrong with its settings. */
function blame<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof ShapeError) || error.message.startsWith(file)) throw error;
    throw new FormatError(`${file}: ${error.message}`, { cause: error });
  }
}
