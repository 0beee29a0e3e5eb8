import { z } from "zod";
import type { Opened } from "../checkpoint/open.ts";
import type { Config } from "../family/config.ts";
import { type ByteSource, readWhole } from "../file/bytes.ts";
import type { Files } from "../file/files.ts";
import { readJson } from "../file/folder.ts";
import type { Gguf } from "../file/gguf.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";
import { describedTokenizer, describeTokenizer } from "../tokenizer/ggml.ts";
import { chooseTemplate, openTemplate, refusedTemplate, type Template } from "../tokenizer/template.ts";
import { byteTokenizer, parseTokenizer, TOKENIZER_LIMIT, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { expectedOf, type Sampling } from "./sampling.ts";

/** What stands beside the weights of a checkpoint folder. */
export interface Beside {
  readonly tokenizer: Tokenizer | undefined;
  readonly template: Template | undefined;
  /** Special tokens by their names in tokenizer_config.json, such as bos_token. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly end: readonly number[];
  readonly sampling: Sampling;
  /** What is there and cannot be used, a sentence each. */
  readonly notes: readonly string[];
}

const LIMIT = 16_000_000;
const idOrIds = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish();
/** A token as a name, or as an object that holds it. */
const named = z.union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)]);

/** Sampling under the keys of generation_config.json. */
const samplingKeys = {
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
} as const satisfies Partial<Record<keyof Sampling, string>>;

const record = z.record(z.string(), z.unknown());

/**
 * Reads a folder's tokenizer, chat template, end tokens and sampling defaults; what is not there is undefined or empty. A setting
 * that cannot be used is left out, and a note says so; a template that cannot be used refuses by its name once it is asked for.
 *
 * Errors: FormatError naming the file for what is damaged as a whole.
 */
export async function filesBeside(files: Files): Promise<Beside> {
  const open = async <T>(name: string, schema: z.ZodType<T>) =>
    files.names.has(name) ? readJson(await files.open(name), LIMIT, schema) : undefined;
  const generation = (await open("generation_config.json", record)) ?? {};
  const config = (await open("tokenizer_config.json", record)) ?? {};
  const tokenizer = await readTokenizer(files);
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    const token = key.endsWith("_token") ? named.safeParse(value) : undefined;
    if (token?.success) tokens[key] = token.data;
  }
  const last = tokens.eos_token === undefined ? undefined : tokenizer?.id(tokens.eos_token);
  const notes: string[] = [];
  const subject = `${files.name}/generation_config.json`;
  const end = endsOf(subject, generation, notes);
  if (last !== undefined) end.push(last);
  const sampling = samplingOf(subject, generation, notes);
  return { tokenizer, tokens, template: await readTemplate(files, config, tokens), end, sampling, notes };
}

/** The same of a GGUF file, which has all of it but sampling defaults in its metadata. Errors: FormatError naming the file. */
export function metadataBeside({ file, metadata }: Gguf): Beside {
  if (!metadata.has("tokenizer.ggml.model"))
    return { tokenizer: undefined, template: undefined, tokens: {}, end: [], sampling: {}, notes: [] };
  const described = describeTokenizer(file, metadata);
  const { chat_template: template, ...tokens } = described.config;
  return {
    tokenizer: describedTokenizer(file, described),
    template: template === undefined ? undefined : templateOf(() => openTemplate(file, template, tokens)),
    tokens,
    end: described.end,
    sampling: {},
    notes: [],
  };
}

/** A checkpoint's tokenizer alone; one of bytes where a model trained here needs no other. Errors: FormatError naming the file. */
export async function tokenizerBeside({ gguf, files, config, model }: Opened): Promise<Tokenizer | undefined> {
  if (!gguf) return (await readTokenizer(files!)) ?? bytesOf(config, model);
  const { file, metadata } = gguf;
  if (!metadata.has("tokenizer.ggml.model")) return bytesOf(config, model);
  return describedTokenizer(file, describeTokenizer(file, metadata));
}

/** The tokenizer of a model that was trained here on bytes. */
export const bytesOf = (config: Config, model: Model): Tokenizer | undefined =>
  config.model_type === "biform" && model.vocabulary === 256 && config.ids !== "symbols" ? byteTokenizer : undefined;

/** The ids that a configuration names as ends, one or several. What is no id is left out, and `notes` get to know. */
export function endsOf(file: string, config: Readonly<Record<string, unknown>>, notes: string[]): number[] {
  const { data, success } = idOrIds.safeParse(config.eos_token_id);
  if (!success) notes.push(leftOut(file, "eos_token_id", config.eos_token_id, "a token id, or a list of them"));
  return [data ?? []].flat();
}

/** What a note says of a setting that cannot be used. */
function leftOut(file: string, key: string, value: unknown, expected: string): string {
  return `${file}: ${key}: got ${formatJson(value).slice(0, 80)}, expected ${expected}; it is left out`;
}

async function readTokenizer(files: Files): Promise<Tokenizer | undefined> {
  if (!files.names.has("tokenizer.json")) return undefined;
  const read = async (name: string, limit: number) => readText(await files.open(name), limit);
  const text = await read("tokenizer.json", TOKENIZER_LIMIT);
  const config = files.names.has("tokenizer_config.json") ? await read("tokenizer_config.json", LIMIT) : undefined;
  return parseTokenizer(`${files.name}/tokenizer.json`, text, config);
}

async function readText(source: ByteSource, limit: number): Promise<string> {
  const bytes = await readWhole(source, limit);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(`${source.name}: got no UTF-8 text, expected JSON; fetch the file again`, { cause: error });
  }
}

/** A file of its own, as newer checkpoints have, goes before the one in tokenizer_config.json. */
async function readTemplate(
  files: Files,
  config: Readonly<Record<string, unknown>>,
  tokens: Readonly<Record<string, string>>,
): Promise<Template | undefined> {
  const own = files.names.has("chat_template.jinja");
  const file = `${files.name}/${own ? "chat_template.jinja" : "tokenizer_config.json"}`;
  const bytes = own ? await readWhole(await files.open("chat_template.jinja"), LIMIT) : undefined;
  return templateOf(() => {
    const text = bytes ? new TextDecoder().decode(bytes) : chooseTemplate(file, config.chat_template);
    return text === undefined ? undefined : openTemplate(file, text, tokens);
  });
}

/** A template, or one that refuses where it cannot be used: only a conversation needs it. */
function templateOf(open: () => Template | undefined): Template | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof FormatError) return refusedTemplate(error);
    throw error;
  }
}

function samplingOf(file: string, given: Readonly<Record<string, unknown>>, notes: string[]): Sampling {
  const sampling: Partial<Record<keyof Sampling, number>> = {};
  for (const [name, key] of Object.entries(samplingKeys) as [keyof typeof samplingKeys, string][]) {
    const value = given[key];
    if (value === undefined || value === null) continue;
    const expected = expectedOf(name, value);
    if (expected === undefined) sampling[name] = value as number;
    else notes.push(leftOut(file, key, value, expected));
  }
  const { do_sample: sample } = given;
  if (sample === false) sampling.temperature = 0;
  else if (sample !== undefined && sample !== null && sample !== true)
    notes.push(leftOut(file, "do_sample", sample, "true or false"));
  return sampling;
}
