import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { chapterOf } from "../convert/card.ts";
import { Conversion, type ConvertOptions, type Price } from "../convert/convert.ts";
import { addToCard, writtenTypes } from "../convert/files.ts";
import { methods, targetVariants } from "../convert/method.ts";
import { selections } from "../convert/select.ts";
import { type ArchitectureName, architectures } from "../convert/target.ts";
import { type WriteOptions, type Written, writeConversion } from "../convert/write.ts";
import { writeAtomic } from "../file/atomic.ts";
import { type CheckpointResult, holdBeside } from "../lab/beside.ts";
import { type Foreseen, foresee } from "../lab/foresee.ts";
import { checkpointTables } from "../lab/standing.ts";
import { FormatError } from "../tensor/error.ts";
import { aside, type Certificate, certificateMarkdown, certificateTable, certify } from "../verify/certify.ts";
import { interruptible } from "./interrupt.ts";
import { positiveOption, wholeOption } from "./option.ts";
import { printPrice } from "./price.ts";
import { inParts } from "./progress.ts";

interface Options {
  to: string;
  out?: string;
  method?: (typeof methods)[number];
  select: (typeof selections)[number];
  split?: true;
  fold?: number;
  balance: number;
  context: number;
  budget?: number;
  byLayer?: true;
  text?: string[];
  tokens: number;
  test?: string;
  testTokens: number;
  length: number;
  type: (typeof writtenTypes)[number];
  as?: ArchitectureName;
  biases?: true;
  threads?: number;
  certify?: true;
  dryRun?: true;
  picture?: string;
  json?: true;
}

const help = `
--to MLA is the same function: every pair of every key head keeps its rotation, and nothing is left out. MLA:c128:r64 has a
latent of 128 numbers and one turned key of 64.
GQLA is the same whose heads share what the latent unfolds to, as groups did: fewer weights, and a prompt's keys per group.
GQA:g2 leaves two groups of heads with the mean keys and values of those that they take the place of, for comparison.
GLA has as many latents as g says (2 unless said), each for its own heads, c numbers each, so that devices can share them out.
--method biform keeps turned what matters most to scores, meets the rest by the mean rotation, and leaves out of the latent what
changes the output least; transmla, mha2mla and care are these papers' own recipes; care-sequential factors layer after layer, each by
what the ones converted before it give it on --text, care-separate keys and values each for half of the latent.
What is written is the first of deepseek_v3, minicpm3, youtu and Biform's own format that computes just this, a folder or a GGUF file;
README.md in the folder has the figures. A second run of the same command goes on where a first one was stopped.

Examples:
  biform convert llama/ --to MLA --out llama-mla --certify                     the same function, and the proof
  biform convert llama/ --to MLA:c192:r64 --text book.txt --dry-run            what it would lose, layer by layer
  biform convert model.gguf --to MLA:c192:r64 --text book.txt --out small --test other.txt
  biform convert llama/ --to MLA:c192:r64 --method transmla --text book.txt --out small.gguf --type Q8_0   for llama.cpp
  biform convert llama/ --to MLA --budget 128 --text book.txt --out third          a third of 384 numbers, shared as text says
  biform convert llama/ --to MLA --budget 128 --by-layer --text book.txt --out own  and each layer with a rank of its own
  biform convert llama/ --to MLA:c128:r48 --method mha2mla --select uniform --out kept --json`;

/** `biform convert`: a checkpoint of grouped heads becomes MLA. */
export function convertCommand(command: Command): void {
  command
    .argument("<model>", "a folder or a GGUF file")
    .requiredOption(
      "--to <spec>",
      "MLA, or MLA:cRANK:rDIMS, with :qRANK where queries get a bottleneck; or GQLA; or GLA, with :gLATENTS; or GQA:gGROUPS",
    )
    .option("--out <path>", "the folder to write, or a file ending in .gguf")
    .addOption(new Option("--method <name>", "how (default: exact for MLA alone, else biform)").choices(methods))
    .addOption(new Option("--select <name>", "which pairs mha2mla keeps").choices(selections).default("high"))
    .option("--split", "let mha2mla factor keys and values apart, each for half of the latent")
    .option("--fold <n>", "neighbouring frequencies that transmla takes for one", wholeOption("--fold"))
    .option("--balance <x>", "how long transmla's keys are beside values", positiveOption("--balance"), 1)
    .option("--context <n>", "tokens that biform takes turns over", wholeOption("--context"), 2048)
    .option(
      "--budget <n>",
      "numbers of a token in the cache of a layer, instead of sizes: biform shares them",
      wholeOption("--budget"),
    )
    .option("--by-layer", "let layers have latents of different ranks, as biform and care find them worth")
    .option("--text <file...>", "text that says what keys and values are like")
    .option("--tokens <n>", "tokens of it to look at", wholeOption("--tokens"), 8192)
    .option("--length <n>", "tokens of a sequence", wholeOption("--length", 2), 512)
    .option(
      "--test <file>",
      "text that tells perplexity, divergence and greedy agreement, before and after (a dry run: --text)",
    )
    .option("--test-tokens <n>", "tokens of it", wholeOption("--test-tokens"), 2048)
    .addOption(new Option("--type <name>", "numbers of the matrices").choices(writtenTypes).default("F32"))
    .addOption(
      new Option("--as <name>", "the architecture, where not the first that computes this").choices(architectures),
    )
    .option("--biases", "let biform's latent leave out the mean of text: biases, which transformers alone reads")
    .option("--threads <n>", "threads", wholeOption("--threads"))
    .option(
      "--certify",
      "run what is written, and the other kind of file, in engines at hand, and say how far they are off",
    )
    .option("--dry-run", "only say what it would lose")
    .option("--picture <file>", "draw what is lost against the cache, as SVG")
    .option("--json", "print JSON")
    .addHelpText("after", help)
    .action(convert);
}

/** Sizes of a spec. Throws FormatError. */
export function readTarget(
  spec: string,
): Pick<ConvertOptions["wanted"], "variant" | "latents" | "groups" | "c" | "r" | "q"> {
  const merged = /^GQA:g(\d+)$/.exec(spec.trim());
  if (merged) return { groups: Number(merged[1]) };
  const match = /^(MLA|GQLA|GLA)((?::[crqg]\d+)*)$/.exec(spec.trim());
  if (!match || (match[1] !== "GLA" && match[2]!.includes("g")))
    throw new FormatError(
      `--to: got ${JSON.stringify(spec)}, expected ${targetVariants.join(" or ")}, with sizes or without: MLA:c128:r64, GLA:g2:c64:r64; or GQA:g2`,
    );
  const sizes = match[2]!.split(":").filter(Boolean);
  const of = (letter: string) => {
    const found = sizes.find((size) => size.startsWith(letter));
    return found === undefined ? undefined : Number(found.slice(1));
  };
  const variant = targetVariants.find((name) => name === match[1] && name !== "MLA");
  return { variant, latents: of("g"), c: of("c"), r: of("r"), q: of("q") };
}

async function convert(path: string, options: Options): Promise<void> {
  const { out, dryRun } = options;
  if (!out && !dryRun) throw new FormatError("--out: got nothing, expected a folder to write; or add --dry-run");
  const start = performance.now();
  const display = inParts();
  const interrupt = interruptible();
  let price: Price;
  let written: Written | undefined;
  let certificate: Certificate | undefined;
  let losses: CheckpointResult[] | undefined;
  let conversion: Conversion | undefined;
  try {
    const watch = (what: string, done: number, total: number) => display.watch(`${path}: ${what}`, done, total);
    conversion = await Conversion.open(path, await asked(options, watch, interrupt.signal));
    if (dryRun) {
      const read = await foreseenText(options);
      price = await conversion.price(undefined, !read);
      losses = read && (await foresee(conversion, read, watch));
    } else {
      const { type, as } = options;
      const how = { type, as, signal: interrupt.signal, watch };
      if (options.certify) [written, certificate] = await writeCertified(conversion, out!, how);
      else written = await writeConversion(conversion, out!, how);
      price = written.price;
      await conversion.close(true);
    }
  } catch (error) {
    if (!interrupt.signal.aborted || error !== interrupt.signal.reason) throw error;
    process.stderr.write("interrupted; the same command goes on from the layers that are finished\n");
    process.exitCode = 130;
    return;
  } finally {
    await conversion?.close();
    interrupt.end();
    await display.finish();
  }
  const seconds = (performance.now() - start) / 1000;
  if (options.picture) {
    const { svgText } = await import("../draw/file.ts");
    const { pricePicture } = await import("../convert/picture.ts");
    await writeAtomic(options.picture, [svgText(760, (canvas) => pricePicture(price, canvas))]);
  }
  if (options.test && !dryRun) losses = await measure(path, out!, options);
  const chapters = [
    ...(losses ? [chapterOf("Measured", `\`\`\`text\n${checkpointTables(losses).join("\n\n")}\n\`\`\``)] : []),
    ...(certificate ? [chapterOf("Certificate", certificateMarkdown(certificate))] : []),
  ];
  if (written) await addToCard(out!, chapters);
  if (options.json) {
    const { target, found } = written ?? {};
    console.log(
      JSON.stringify({ path, out: dryRun ? undefined : out, ...price, target, found, losses, certificate, seconds }),
    );
  } else printPrice(path, price, losses);
  if (certificate && !options.json) console.log(`${certificateTable(certificate)}\n`);
  if (written && !options.json) tell(out!, written, seconds);
}

/** Writes, and runs what was written beside the same as the other kind of file, which is removed again. */
function writeCertified(conversion: Conversion, out: string, how: WriteOptions): Promise<[Written, Certificate]> {
  return aside(async (dir) => {
    const also = join(dir, out.endsWith(".gguf") ? "as-folder" : "as-file.gguf");
    const written = await writeConversion(conversion, out, { ...how, also });
    const paths = written.hindered === undefined ? [out, also] : [out];
    const watch = (what: string) => how.watch?.(what, 0, 1);
    const lossy = conversion.wanted.method !== "exact";
    const certificate = await certify(conversion.path, paths, { lossy, watch });
    const { hindered: silent } = written;
    const rows = silent === undefined ? certificate.rows : [...certificate.rows, { engine: "none", of: also, silent }];
    return [written, { ...certificate, rows }];
  });
}

async function asked(options: Options, watch: ConvertOptions["watch"], signal: AbortSignal): Promise<ConvertOptions> {
  const { groups, variant, latents, c, r, q } = readTarget(options.to);
  const sized = [c, r, q, options.budget].some((size) => size !== undefined);
  const method = options.method ?? (groups !== undefined ? "merge" : sized ? "biform" : "exact");
  if ((method === "merge") !== (groups !== undefined))
    throw new FormatError(
      `--method: got ${method} for ${options.to}, expected merge for GQA:g2 and the like, and for nothing else`,
    );
  const texts = await Promise.all((options.text ?? []).map(readText));
  return {
    wanted: {
      method,
      variant,
      latents,
      groups,
      c,
      r,
      q,
      selection: options.select,
      split: options.split,
      fold: options.fold,
      balance: options.balance,
      context: options.context,
      biases: options.biases,
    },
    budget: options.budget,
    byLayer: options.byLayer,
    text: texts.length ? texts.join("\n\n") : undefined,
    tokens: options.tokens,
    length: options.length,
    threads: options.threads,
    // Beside what is written, so that a second run of the same command finds it.
    look: options.dryRun ? undefined : options.out,
    watch,
    signal,
  };
}

function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: Error) => {
    throw new FormatError(`${path}: ${error.message}; name a text file`);
  });
}

/** What a dry run reads as the model would be: the text that tests, or else the one that says what keys and values are like. */
async function foreseenText({
  test,
  text,
  testTokens,
  tokens,
  length,
  threads,
}: Options): Promise<Foreseen | undefined> {
  const files = test ? [test] : text;
  if (!files) return undefined;
  const texts = await Promise.all(files.map(readText));
  return {
    name: files.length > 1 ? `${files.length} texts` : files[0]!,
    text: texts.join("\n\n"),
    tokens: test ? testTokens : Math.min(testTokens, tokens),
    length,
    threads,
  };
}

/** Both checkpoints on the same tokens. */
async function measure(path: string, out: string, options: Options): Promise<CheckpointResult[]> {
  const { test, testTokens: tokens, length, threads } = options;
  const display = inParts();
  const settings = { texts: [{ name: test!, text: await readText(test!) }], needles: [], needlesEach: 0, contexts: [] };
  try {
    return await holdBeside([path, out], { ...settings, tokens, length, threads }, display);
  } finally {
    await display.finish();
  }
}

function tell(out: string, { target, found }: Written, seconds: number): void {
  for (const reason of target.refused) console.log(`not ${reason}`);
  if (found) console.log(`${found} layers were finished by an earlier run`);
  console.log(`${out}: ${target.architecture}, written in ${seconds.toFixed(1)} s`);
}
