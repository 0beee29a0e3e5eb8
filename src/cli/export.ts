import { type Command, Option } from "commander";
import { type Exported, exported, exportModel } from "../convert/export.ts";
import { type WrittenType, writtenTypes } from "../convert/files.ts";

interface Options {
  out: string;
  as?: Exported;
  type: WrittenType;
  json?: true;
}

/** `biform export`: a model trained here becomes a checkpoint of a stock architecture. */
export function exportCommand(command: Command): void {
  command
    .argument("<model>", "a checkpoint folder of biform train")
    .requiredOption("--out <path>", "the folder to write, or a file ending in .gguf")
    .addOption(new Option("--as <name>", "the architecture, where not the first that computes this").choices(exported))
    .addOption(new Option("--type <name>", "numbers of the matrices").choices(writtenTypes).default("F32"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
MHA, GQA and MQA become llama, with norms on queries and keys qwen3, MLA deepseek_v3: what is written is read again and compared
with the model, size by size. Any other variant is refused, naming what each architecture would have otherwise; --as biform writes
it in Biform's own format, which other engines refuse. Models of bytes get a tokenizer of bytes.

Examples:
  biform train --attention MLA --text book.txt --minutes 10 --out runs/mla
  biform export runs/mla --out mla                     a folder for transformers, vLLM
  biform export runs/mla --out mla.gguf --type BF16    a file for llama.cpp
  biform export runs/gla --as biform --out gla.gguf --json`,
    )
    .action(run);
}

async function run(path: string, { out, as, type, json }: Options): Promise<void> {
  const { architecture, refused } = await exportModel(path, out, { as, type });
  if (json) console.log(JSON.stringify({ path, out, architecture, type, refused }));
  else {
    for (const reason of refused) console.log(`not ${reason}`);
    console.log(`${out}: ${architecture}`);
  }
}
