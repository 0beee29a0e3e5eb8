import { readModel } from "../checkpoint/load.ts";
import { openModel } from "../checkpoint/open.ts";
import { commonMachine, type Machine } from "../cost/crossover.ts";
import { type DeviceName, openDevice } from "../device/open.ts";
import type { Files } from "../file/files.ts";
import { machineFor } from "../file/rates.ts";
import type { Model } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { FormatError } from "../tensor/error.ts";
import type { Device } from "../tensor/tensor.ts";
import type { Template } from "../tokenizer/template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { bytesOf, endsOf, filesBeside, metadataBeside } from "./beside.ts";
import { rehearse, standIns } from "./rehearse.ts";
import type { Sampling } from "./sampling.ts";
import type { SessionOptions } from "./session.ts";
import { openSession, resumeSession, type TextSession } from "./text.ts";

/** Where and how to load. */
export interface LoadOptions {
  /**
   * "wasm" (float32, on threads) unless given; "webgpu" is float32 on a GPU, "reference" float64 and slow. A device of the caller's
   * stays open on `close`.
   */
  readonly device?: DeviceName | Device | undefined;
  /** Threads of a wasm device; as many as the machine has unless given. */
  readonly threads?: number | undefined;
  /** How weights lie in memory: "packed", as their file has them, for inference, unless given; "plain" as numbers, for training on. */
  readonly weights?: "packed" | "plain" | undefined;
  /** Sees how many of the weights' numbers have been read. */
  readonly watch?: ((done: number, total: number) => void) | undefined;
  /** Ends the loading, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Whose speed decides in which form attention runs; what `biform tune` has measured here, or a common one, unless given. */
  readonly machine?: Machine | undefined;
  /** Sees a line about each thing beside the weights that cannot be used, or that is taken otherwise than a file says. */
  readonly warn?: ((line: string) => void) | undefined;
}

/** A model on a device, and what belongs to it. */
export interface LoadedModel {
  readonly path: string;
  readonly model: Model;
  readonly weights: Weights;
  readonly device: Device;
  /** Bytes that the weights take on the device. */
  readonly bytes: number;
  readonly machine: Machine;
  /** config.json as it stands, or what a GGUF file says in the same keys. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Undefined where the checkpoint brings none: ids still work. */
  readonly tokenizer: Tokenizer | undefined;
  /** How messages become text, where the checkpoint says. */
  readonly template: Template | undefined;
  /** Special tokens by their names in tokenizer_config.json, such as bos_token. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Tokens after which nothing follows: those of generation_config.json, config.json and tokenizer_config.json. */
  readonly end: ReadonlySet<number>;
  /** What generation_config.json says of sampling. */
  readonly sampling: Sampling;
  /** Tokens that the model was made for, where its config says. */
  readonly context: number | undefined;
  /** A new session, empty. Its context is what the model was made for, as far as memory goes, unless given. */
  session(options?: SessionOptions): TextSession;
  /** A session that goes on from a file that `save` wrote, or from what `encode` gave. */
  resume(saved: string | Uint8Array, options?: SessionOptions): Promise<TextSession>;
  /** Frees the weights, and closes the device if `load` opened it. */
  close(): void;
}

/**
 * Loads a checkpoint folder or a GGUF file with its tokenizer, chat template, end tokens and sampling defaults. In a page, a GGUF
 * file or the files (`chosenFiles`) that the visitor chose: only headers are read before the weights, and these one after the other.
 *
 * Errors: FormatError naming the file for anything missing, damaged, unsupported or at odds; DeviceError where the model does not
 * fit into memory.
 */
export async function load(given: string | File | Files, options: LoadOptions = {}): Promise<LoadedModel> {
  // What is small is read first, so that what is wrong with it costs no wait.
  const opened = await openModel(given);
  const path = typeof given === "string" ? given : (opened.gguf?.file ?? given.name);
  const beside = await (opened.gguf ? metadataBeside(opened.gguf) : filesBeside(opened.files!));
  const { model, config } = opened;
  const { warn } = options;
  const notes = [...opened.notes, ...beside.notes];
  const ends = [...beside.end, ...endsOf(path, config, notes)];
  for (const note of notes) warn?.(note);
  const tokenizer = beside.tokenizer ?? bytesOf(config, model);
  if (tokenizer && tokenizer.vocabulary > model.vocabulary)
    throw new FormatError(
      `${path}: got a tokenizer of ${tokenizer.vocabulary} tokens and an embedding of ${model.vocabulary}, expected the ` +
        "embedding to have a row for each; tokenizer and weights do not belong together",
    );
  const { device: wanted = "wasm", threads } = options;
  const own = typeof wanted === "string";
  const device = own ? await openDevice(wanted, threads) : wanted;
  try {
    const before = device.liveBytes;
    // A vocabulary leaves several times its size behind: where Node has its collector exposed, that goes before the weights come.
    globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
    const machine =
      options.machine ??
      (device.build
        ? await machineFor({ build: device.build, threads: device.threads }, { warn: options.warn })
        : commonMachine);
    const lay = options.weights ?? "packed";
    // A device gets ready while the weights come. What fails in it is told once they are there.
    const ready = rehearse(device, model, () => standIns(opened, device, lay === "packed"), { machine });
    ready.catch(() => {});
    const { weights, more } = await readModel(opened, device, {
      weights: lay,
      another: () => openDevice(own ? wanted : "wasm", threads),
      watch(done, total) {
        options.signal?.throwIfAborted();
        options.watch?.(done, total);
      },
    });
    // Moonshot's configs have the second.
    const positions = config.max_position_embeddings ?? config.model_max_length;
    const context = typeof positions === "number" && positions > 0 ? positions : undefined;
    const end = new Set(ends.filter((id) => id < model.vocabulary));
    await ready;
    const bytes = [device, ...more].reduce((sum, { liveBytes }) => sum + liveBytes, -before);
    const speaker = { model, weights, tokenizer, end, context, machine };
    const { template, tokens, sampling } = beside;
    return loadedModel(
      { path, device, config, ...speaker, bytes, template, tokens, sampling },
      own ? [device, ...more] : more,
    );
  } catch (error) {
    if (own) device.close();
    throw error;
  }
}

/** What `load` gives. Made apart from it: what reads a model would be held as long as a function that was made beside it. */
function loadedModel(
  parts: Omit<LoadedModel, "session" | "resume" | "close">,
  devices: readonly Device[],
): LoadedModel {
  return {
    ...parts,
    session: (wanted) => openSession(parts, wanted),
    resume: (file, wanted) => resumeSession(parts, file, wanted),
    close() {
      parts.template?.close();
      for (const t of parts.weights.values()) t.free();
      for (const device of devices) device.close();
    },
  };
}
