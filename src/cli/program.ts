// The command line: one file per command, and how errors end it.
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import { DeviceError, FormatError, ShapeError } from "../tensor/error.ts";

interface Entry {
  /** The arguments that it has once it is loaded; empty where it has none. */
  readonly usage: string;
  readonly about: string;
  /** Gives a command its arguments, its options and what it does. */
  readonly load: () => Promise<(command: Command) => void>;
}

/**
 * The commands as help lists them. Only the one that is asked for is loaded, since kernels and libraries take a while; help, a word
 * that is no command and no word load none.
 */
const commands: Readonly<Record<string, Entry>> = {
  run: {
    usage: "<model>",
    about: "load a model and continue a prompt; text goes to standard output, all else to standard error",
    load: async () => (await import("./run.ts")).runCommand,
  },
  chat: {
    usage: "<model>",
    about: "load a model and talk with it by its own chat template; answers go to standard output",
    load: async () => (await import("./chat.ts")).chatCommand,
  },
  serve: {
    usage: "[models...]",
    about: "serve models by OpenAI's API: chat, completions, token ids, log probabilities; batched over latent caches",
    load: async () => (await import("./serve.ts")).serveCommand,
  },
  compare: {
    usage: "[names...]",
    about:
      "train several variants at a matched budget with several seeds, or hold checkpoints beside the first of them",
    load: async () => (await import("./compare.ts")).compareCommand,
  },
  train: {
    usage: "",
    about: "train one model; --out keeps it, and the same command goes on where it stopped",
    load: async () => (await import("./train.ts")).trainCommand,
  },
  verify: {
    usage: "[spec...]",
    about: "check that the forms of a variant are the same function on this machine, or run golden vectors",
    load: async () => (await import("./verify.ts")).verifyCommand,
  },
  variants: {
    usage: "",
    about: "list the variants, their forms and their costs at a size",
    load: async () => (await import("./variants.ts")).variantsCommand,
  },
  convert: {
    usage: "<model>",
    about: "turn a checkpoint of grouped heads (Llama, Qwen) into MLA that stock engines read, and say what it costs",
    load: async () => (await import("./convert.ts")).convertCommand,
  },
  heal: {
    usage: "<model>",
    about: "train a converted model on beside the one that it came from, until it says what that says",
    load: async () => (await import("./heal.ts")).healCommand,
  },
  export: {
    usage: "<model>",
    about: "write a model that was trained here as one that other engines load, where one computes just this",
    load: async () => (await import("./export.ts")).exportCommand,
  },
  plan: {
    usage: "[models...]",
    about: "how much context fits, how fast a model can be, and what engines keep: counted, on any machine",
    load: async () => (await import("./plan/plan.ts")).planCommand,
  },
  "make-model": {
    usage: "<path>",
    about: "write a model with random weights: a Hugging Face folder, or a GGUF file where the path ends so",
    load: async () => (await import("./make.ts")).makeCommand,
  },
  tune: {
    usage: "",
    about: "measure this machine, so that attention runs in the faster form",
    load: async () => (await import("./tune.ts")).tuneCommand,
  },
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
  // It may come after another word: biform help run.
  const asked = words.find((word) => Object.hasOwn(commands, word));
  for (const [name, { usage, about, load }] of Object.entries(commands)) {
    const command = program.command(name).description(about);
    if (name === asked) (await load())(command);
    else if (usage) command.arguments(usage);
  }
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
