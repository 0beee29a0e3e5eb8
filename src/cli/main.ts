// The command line: one file per command, and how errors end it.
import { createRequire } from "node:module";
import { Command } from "commander";
import { DeviceError, FormatError, ShapeError } from "../tensor/error.ts";
import { chatCommand } from "./chat.ts";
import { compareCommand } from "./compare.ts";
import { makeCommand } from "./make.ts";
import { planCommand } from "./plan.ts";
import { runCommand } from "./run.ts";
import { trainCommand } from "./train.ts";
import { tuneCommand } from "./tune.ts";
import { variantsCommand } from "./variants.ts";
import { verifyCommand } from "./verify.ts";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

const program = new Command("biform")
  .description("Attention with a small KV cache: every variant defined once, in every form, trained and compared.")
  .version(version)
  .showHelpAfterError("(add --help for what there is)")
  .configureHelp({ helpWidth: 100 });
runCommand(program);
chatCommand(program);
compareCommand(program);
trainCommand(program);
verifyCommand(program);
variantsCommand(program);
planCommand(program);
makeCommand(program);
tuneCommand(program);

// A reader that has seen enough, such as head, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit();
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  const own = error instanceof ShapeError || error instanceof FormatError || error instanceof DeviceError;
  // A user's mistake is told in a line; a mistake of ours keeps its stack.
  if (own && !error.message.startsWith("internal:")) console.error(`biform: ${error.message}`);
  else console.error(error);
  process.exitCode = 1;
}
