import type { Opened } from "../checkpoint/open.ts";
import { tokenizerEntries } from "../checkpoint/words.ts";
import type { FolderFile } from "../file/atomic.ts";
import { readSmall } from "../file/disk.ts";
import type { Metadata } from "../file/metadata.ts";
import { join, readdir } from "../tensor/node.ts";
import { describeTokenizer } from "../tokenizer/ggml.ts";
import { TOKENIZER_LIMIT } from "../tokenizer/tokenizer.ts";

/** Files of a folder that have nothing to do with its weights. */
const COMPANIONS =
  /^(tokenizer.*\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|generation_config\.json|chat_template\.(jinja|json))$/;

/** Tokenizer, chat template and generation settings of a checkpoint as files of a folder. Throws FormatError. */
export async function filesAlong(path: string, { gguf }: Opened): Promise<FolderFile[]> {
  if (!gguf) {
    const names = (await readdir(path)).filter((name) => COMPANIONS.test(name));
    const files: FolderFile[] = [];
    for (const name of names.sort()) files.push({ name, chunks: [await readSmall(join(path, name), TOKENIZER_LIMIT)] });
    return files;
  }
  if (!gguf.metadata.has("tokenizer.ggml.model")) return [];
  const { tokenizer, config, end } = describeTokenizer(gguf.file, gguf.metadata);
  const json = (name: string, value: unknown): FolderFile => ({
    name,
    chunks: [`${JSON.stringify(value, null, 1)}\n`],
  });
  return [
    json("tokenizer.json", tokenizer),
    json("tokenizer_config.json", { ...config, tokenizer_class: "PreTrainedTokenizerFast" }),
    ...(end.length ? [json("generation_config.json", { eos_token_id: end.length > 1 ? end : end[0] })] : []),
  ];
}

/** The same as entries of a GGUF file's metadata. Throws FormatError for a tokenizer that such files have no words for. */
export async function entriesAlong(path: string, { gguf, model }: Opened): Promise<Metadata> {
  if (gguf) return new Map([...gguf.metadata].filter(([key]) => key.startsWith("tokenizer.")));
  const names = new Set(await readdir(path));
  if (!names.has("tokenizer.json")) return new Map();
  const read = async (name: string) =>
    names.has(name) ? new TextDecoder().decode(await readSmall(join(path, name), TOKENIZER_LIMIT)) : undefined;
  return tokenizerEntries(
    {
      file: join(path, "tokenizer.json"),
      tokenizer: (await read("tokenizer.json"))!,
      config: await read("tokenizer_config.json"),
      template: await read("chat_template.jinja"),
    },
    model.vocabulary,
  );
}
