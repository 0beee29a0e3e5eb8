import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { writeAtomic } from "../file/atomic.ts";
import { type BesideSettings, holdBeside } from "../lab/beside.ts";
import { checkpointTables } from "../lab/standing.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import type { CompareOptions } from "./comparison.ts";
import { interruptible } from "./interrupt.ts";
import { commandText } from "./option.ts";
import { inParts } from "./progress.ts";
import { versions } from "./version.ts";

/** Options that mean something where checkpoints are compared: nothing is trained. */
const meant = new Set(["text", "tokens", "length", "contexts", "needles", "json", "threads"]);

/** Tokens of each text, and of a sequence, unless given: as many as a small model reads in half a minute on two cores. */
const TOKENS = 4096;
const LENGTH = 512;
/** Needles of each length. */
const EACH = 5;

/** `biform compare CHECKPOINT...`: each beside the first, on the same tokens. */
export async function compareCheckpoints(
  paths: readonly string[],
  options: CompareOptions,
  command: Command,
): Promise<void> {
  const given = (name: string) => command.getOptionValueSource(name) === "cli";
  const odd = command.options.find((option) => given(option.attributeName()) && !meant.has(option.attributeName()));
  if (odd) throw new ShapeError(`${odd.long}: got it beside checkpoints, which are not trained; leave it out`);
  if (!options.text?.length)
    throw new ShapeError("--text: got nothing, expected text to compare checkpoints on; name a file");
  if (new Set(paths).size !== paths.length)
    throw new ShapeError(`checkpoints: got ${paths.join(" ")}, expected each once`);
  const settings: BesideSettings = {
    texts: await Promise.all(options.text.map(async (name) => ({ name, text: await readText(name) }))),
    tokens: given("tokens") ? options.tokens! : TOKENS,
    length: given("length") ? options.length : LENGTH,
    needles: options.needles ?? [],
    needlesEach: EACH,
    contexts: given("contexts") ? options.contexts : [],
    threads: options.threads,
  };
  const interrupt = interruptible();
  const display = inParts();
  try {
    const results = await holdBeside(paths, settings, {
      signal: interrupt.signal,
      watch(what, done, total) {
        interrupt.signal.throwIfAborted();
        display.watch(what, done, total);
      },
    });
    await display.finish();
    if (options.json) {
      const { texts, ...rest } = settings;
      const result = {
        settings: { ...rest, texts: texts.map(({ name }) => name), cores: availableParallelism() },
        versions: versions(),
        command: commandText(),
        date: new Date().toISOString().slice(0, 10),
        checkpoints: results,
      };
      await writeAtomic(options.json, [`${JSON.stringify(result, null, 2)}\n`]);
    }
    console.log(checkpointTables(results).join("\n\n"));
    if (options.json) console.log(`\nresult: ${options.json}`);
  } catch (error) {
    await display.finish("stopped");
    if (!interrupt.signal.aborted || error !== interrupt.signal.reason) throw error;
    process.exitCode = 130;
  } finally {
    interrupt.end();
  }
}

function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: Error) => {
    throw new FormatError(`${path}: ${error.message}; name a text file`);
  });
}
