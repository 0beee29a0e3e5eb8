import { type Command, Option } from "commander";
import { exportModel } from "../convert/export.ts";
import { type WrittenType, writtenTypes } from "../convert/files.ts";
import { type Exported, exported } from "../convert/stock.ts";
import { ShapeError } from "../tensor/error.ts";
import { torchCommand } from "./torch.ts";

interface Options {
  out?: string;
  as?: Exported;
  type: WrittenType;
  json?: true;
}

/** `biform export`: a model trained here becomes a checkpoint of a stock architecture. */
export function exportCommand(command: Command): void {
  command
    // What stands behind torch is torch's.
    .enablePositionalOptions()
    .usage("[options] <model>")
    .argument("<model>", "a checkpoint folder of biform train")
    .option("--out <path>", "the folder to write, or a file ending in .gguf (required)")
    .addOption(new Option("--as <name>", "the architecture, where not the first that computes this").choices(exported))
    .addOption(new Option("--type <name>", "numbers of the matrices").choices(writtenTypes).default("F32"))
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
MHA, GQA and MQA become llama, with norms on queries and keys qwen3, MLA deepseek_v3, with an indexer and a rank of queries
deepseek_v32, MLA without positions, alone or beside KDA, kimi_linear: what is written is read again and compared with the model,
size by size. Any other variant is refused, naming what each architecture would have otherwise; --as biform writes it in Biform's
own format, which other engines refuse. The tokenizer of the text goes along; models of bytes get one of bytes.

Examples:
  biform train --attention MLA --text book.txt --minutes 10 --out runs/mla
  biform export runs/mla --out mla                     a folder for transformers, vLLM
  biform export runs/mla --out mla.gguf --type BF16    a file for llama.cpp
  biform export runs/gla --as biform --out gla.gguf --json
  biform export torch MLA mla                          the same model in PyTorch (biform export torch --help)`,
    )
    .action(run);
  torchCommand(
    command.command("torch").description("write a model as a package of Python, from the definition of its attention"),
  );
}

async function run(path: string, { out, as, type, json }: Options): Promise<void> {
  if (out === undefined)
    throw new ShapeError(
      `--out: got nothing, expected the folder or the .gguf file that ${path} is written to; add --out PATH`,
    );
  const { architecture, refused } = await exportModel(path, out, { as, type });
  if (json) console.log(JSON.stringify({ path, out, architecture, type, refused }));
  else {
    for (const reason of refused) console.log(`not ${reason}`);
    console.log(`${out}: ${architecture}`);
  }
}
