// The command line: one file per command, and how errors end it.
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { DeviceError, FormatError, ShapeError } from "../tensor/error.ts";

/** Where each command is; only the one that is asked for is loaded, since kernels and libraries take a while. */
const commands: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  run: async () => (await import("./run.ts")).runCommand,
  chat: async () => (await import("./chat.ts")).chatCommand,
  serve: async () => (await import("./serve.ts")).serveCommand,
  compare: async () => (await import("./compare.ts")).compareCommand,
  train: async () => (await import("./train.ts")).trainCommand,
  verify: async () => (await import("./verify.ts")).verifyCommand,
  variants: async () => (await import("./variants.ts")).variantsCommand,
  convert: async () => (await import("./convert.ts")).convertCommand,
  plan: async () => (await import("./plan/plan.ts")).planCommand,
  "make-model": async () => (await import("./make.ts")).makeCommand,
  tune: async () => (await import("./tune.ts")).tuneCommand,
};

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

/**
 * Does what the words after `biform` ask for, and sets the exit code. What is wrong is told on standard error; nothing is thrown,
 * and the process is ended by none but a second Ctrl-C.
 */
export async function execute(words: readonly string[]): Promise<void> {
  const program = new Command("biform")
    .description("Attention with a small KV cache: every variant defined once, in every form, trained and compared.")
    .version(version)
    .exitOverride()
    .showHelpAfterError("(add --help for what there is)")
    .configureHelp({ helpWidth: 100 });
  const asked = words[0] ?? "";
  const wanted = Object.hasOwn(commands, asked) ? [commands[asked]!] : Object.values(commands);
  for (const load of wanted) (await load())(program);
  try {
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has said what there is to say.
      process.exitCode = error.exitCode;
      return;
    }
    const own = error instanceof ShapeError || error instanceof FormatError || error instanceof DeviceError;
    // A user's mistake is told in a line; a mistake of ours keeps its stack.
    if (own && !error.message.startsWith("internal:")) console.error(`biform: ${error.message}`);
    else console.error(error);
    process.exitCode = 1;
  }
}
