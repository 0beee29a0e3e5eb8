import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { readSmall } from "../file/disk.ts";
import { readJson } from "../file/folder.ts";
import type { Gguf } from "../file/gguf.ts";
import { describedTokenizer, describeTokenizer } from "../tokenizer/gguf.ts";
import { chooseTemplate, openTemplate, type Template } from "../tokenizer/template.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Sampling } from "./sample.ts";

/** What stands beside the weights of a checkpoint folder. */
export interface Beside {
  readonly tokenizer: Tokenizer | undefined;
  readonly template: Template | undefined;
  /** Special tokens by their names in tokenizer_config.json, such as bos_token. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly end: readonly number[];
  readonly sampling: Sampling;
}

const LIMIT = 16_000_000;
const idOrIds = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish();
/** A token as a name, or as an object that holds it. */
const named = z.union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)]);

const generationSchema = z.looseObject({
  eos_token_id: idOrIds,
  do_sample: z.boolean().nullish(),
  temperature: z.number().nonnegative().nullish(),
  top_k: z.int().nonnegative().nullish(),
  top_p: z.number().positive().max(1).nullish(),
  min_p: z.number().nonnegative().max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
});

/**
 * Reads a folder's tokenizer, chat template, end tokens and sampling defaults; what is not there is undefined or empty.
 *
 * Errors: FormatError naming the file for what is there and damaged.
 */
export async function filesBeside(dir: string): Promise<Beside> {
  const files = new Set(await readdir(dir).catch(() => []));
  const open = async <T>(name: string, schema: z.ZodType<T>) =>
    files.has(name) ? readJson(join(dir, name), LIMIT, schema) : undefined;
  const generation = await open("generation_config.json", generationSchema);
  const config = await open("tokenizer_config.json", z.record(z.string(), z.unknown()));
  const tokenizer = files.has("tokenizer.json") ? await loadTokenizer(join(dir, "tokenizer.json")) : undefined;
  const tokens: Record<string, string> = {};
  for (const [key, value] of Object.entries(config ?? {})) {
    const token = key.endsWith("_token") ? named.safeParse(value) : undefined;
    if (token?.success) tokens[key] = token.data;
  }
  const last = tokens.eos_token === undefined ? undefined : tokenizer?.id(tokens.eos_token);
  return {
    tokenizer,
    tokens,
    template: await readTemplate(dir, files, config ?? {}, tokens),
    end: [...endsOf(generation ?? {}), ...(last === undefined ? [] : [last])],
    sampling: generation ? samplingOf(generation) : {},
  };
}

/** The same of a GGUF file, which has all of it but sampling defaults in its metadata. Errors: FormatError naming the file. */
export function metadataBeside({ file, metadata }: Gguf): Beside {
  if (!metadata.has("tokenizer.ggml.model"))
    return { tokenizer: undefined, template: undefined, tokens: {}, end: [], sampling: {} };
  const described = describeTokenizer(file, metadata);
  const { chat_template: template, ...tokens } = described.config;
  return {
    tokenizer: describedTokenizer(file, described),
    template: template === undefined ? undefined : openTemplate(file, template, tokens),
    tokens,
    end: described.end,
    sampling: {},
  };
}

/** The ids that a configuration names as ends, one or several. */
export function endsOf(config: Readonly<Record<string, unknown>>): number[] {
  const { data } = idOrIds.safeParse(config.eos_token_id);
  return [data ?? []].flat();
}

/** A file of its own, as newer checkpoints have, goes before the one in tokenizer_config.json. */
async function readTemplate(
  dir: string,
  files: ReadonlySet<string>,
  config: Readonly<Record<string, unknown>>,
  tokens: Readonly<Record<string, string>>,
): Promise<Template | undefined> {
  if (files.has("chat_template.jinja")) {
    const file = join(dir, "chat_template.jinja");
    return openTemplate(file, new TextDecoder().decode(await readSmall(file, LIMIT)), tokens);
  }
  const file = join(dir, "tokenizer_config.json");
  const text = chooseTemplate(file, config.chat_template);
  return text === undefined ? undefined : openTemplate(file, text, tokens);
}

function samplingOf(given: z.infer<typeof generationSchema>): Sampling {
  const temperature = given.do_sample === false ? 0 : given.temperature;
  const { top_k: topK, top_p: topP, min_p: minP, repetition_penalty: repetitionPenalty } = given;
  const all = { temperature, topK, topP, minP, repetitionPenalty };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== null));
}
