/** The model that is open, in the worker: from files or an address, over one session whose cache stays, saved after every answer. */
import {
  type Chosen,
  type Conversation,
  chosenFiles,
  conversation,
  DeviceError,
  type Files,
  type LoadedModel,
  load,
  type Machine,
  type Measured,
  type Message,
  type Preset,
  presetConfig,
  sampleGguf,
  type TextSession,
} from "biform/run";
import { deviceText, figuresOf, machineOf, openDevice, type PageDevice, tuneHere, type Where } from "./place.ts";
import { type RemoteFiles, remoteFiles } from "./remote.ts";

/** Where a model comes from: files that were chosen or dropped, an address, or random weights. */
export type Given = { readonly files: readonly Chosen[] } | { readonly address: string } | { readonly preset: Preset };

/** What is to be opened, where it is to run, and what was measured of devices before. */
export interface Wish {
  readonly given: Given;
  readonly on: Where;
  readonly figures: readonly Measured[];
}

/** What was opened. */
export interface About {
  readonly name: string;
  readonly layers: number;
  /** Bytes that the weights take. */
  readonly bytes: number;
  /** What it runs on, in words. */
  readonly device: string;
  /** Whether forms are chosen by what was measured of this device. */
  readonly measured: boolean;
  /** Forms that attention may run in, those of all layers together. */
  readonly forms: readonly string[];
  /** Whether it answers; otherwise it goes on from a text. */
  readonly chats: boolean;
  /** Tokens of a conversation that was restored. */
  readonly restored: number;
}

/** One token: its text, and what stands behind it. */
export interface Written {
  readonly text: string;
  readonly perSecond: number;
  readonly cacheBytes: number;
  /** In which form the layers ran for it, with how many ran in each. */
  readonly forms: Readonly<Record<string, number>>;
}

/** Who hears what while a model is opened. */
export interface OpenHooks {
  readonly loaded: (share: number) => void;
  readonly note: (words: string) => void;
  readonly signal: AbortSignal;
}

/** A cache above this is not saved: it would take as much of the processor's memory. */
const SAVED_LIMIT = 512 * 2 ** 20;

interface Open {
  readonly wish: Wish;
  readonly model: LoadedModel;
  readonly device: PageDevice;
  machine: Machine;
  /** What is said to a model that answers. */
  talk: { readonly session: TextSession; readonly conversation: Conversation } | undefined;
}

let now: Open | undefined;
/** What a conversation goes on from when its device was lost. */
let saved: { readonly session: Uint8Array; readonly messages: readonly Message[] } | undefined;
let wish: Wish | undefined;

/** Opens a model in the place of the one that is open. Throws FormatError and DeviceError, as `load`. */
export async function openModel(asked: Wish, hooks: OpenHooks): Promise<About> {
  close();
  [wish, saved] = [asked, undefined];
  return open(asked, hooks);
}

/** Opens the last model anew and goes on from what was saved after the last answer. Throws as `openModel`. */
export async function restoreModel(hooks: OpenHooks): Promise<About> {
  if (!wish) throw new DeviceError("restore: got no model that was open, expected one; open it anew");
  close();
  return open(wish, hooks);
}

/** Whether there is something to go on from. */
export const isRestorable = () => wish !== undefined;

async function open(asked: Wish, { loaded, note, signal }: OpenHooks): Promise<About> {
  const device = await openDevice(asked.on);
  let remote: RemoteFiles | undefined;
  let before = 0;
  try {
    const { given } = asked;
    if ("address" in given) remote = await remoteFiles(given.address, { note, signal });
    const files = "address" in given ? remote! : await filesOf(given);
    const machine = machineOf(device, asked.figures);
    const model = await load(files, {
      ...{ device, machine, signal, warn: note },
      watch(done, total) {
        const share = done / total;
        if (share - before < 0.01 && done < total) return;
        before = share;
        loaded(share);
      },
    });
    now = { wish: asked, model, device, machine, talk: undefined };
    await beginTalk(now);
    return aboutOf(now);
  } catch (error) {
    now = undefined;
    device.close();
    throw error;
  } finally {
    remote?.close();
  }
}

async function filesOf(given: Exclude<Given, { address: string }>): Promise<Files> {
  if ("files" in given) return chosenFiles(given.files);
  const name = `${given.preset}.gguf`;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of sampleGguf(name, presetConfig(given.preset, "tiny"), { seed: 1, type: "F32" }))
    pieces.push(piece.slice());
  return chosenFiles([{ path: name, file: new Blob(pieces) }]);
}

/** A conversation with the model, from what was saved where something was. */
async function beginTalk(own: Open): Promise<void> {
  const { tokenizer, template } = own.model;
  if (!tokenizer || !template) return;
  const { machine } = own;
  const session = saved ? await own.model.resume(saved.session, { machine }) : own.model.session({ machine });
  own.talk = { session, conversation: conversation(session, { tokenizer, template }) };
  own.talk.conversation.reset(saved?.messages);
}

function aboutOf({ wish, model, device, talk }: Open): About {
  const { layers } = model.model;
  const forms = layers.flatMap(({ attention }) => Object.keys(attention.variant.forms));
  return {
    name: model.path,
    layers: layers.length,
    bytes: model.bytes,
    device: deviceText(device),
    measured: figuresOf(device, wish.figures) !== undefined,
    forms: [...new Set(forms)],
    chats: talk !== undefined,
    restored: talk?.session.length ?? 0,
  };
}

/** Writes on, or answers; `form` is asked before every token. What a conversation holds is saved at the end. */
export async function* writeOn(
  { prompt, tokens: maxTokens }: { readonly prompt: string; readonly tokens: number },
  { form, signal }: { readonly form: () => string | undefined; readonly signal: AbortSignal },
): AsyncGenerator<Written> {
  if (!now) throw new DeviceError("run: got no model, expected one; open a file or make one");
  const { model, talk, machine } = now;
  const session = talk?.session ?? model.session({ machine });
  try {
    const options = { maxTokens, temperature: 0, form, signal };
    const steps = talk ? talk.conversation.say(prompt, options) : session.generate(prompt, options);
    let [last, counts] = [performance.now(), session.forms.decode];
    for await (const step of steps) {
      const [time, { decode }] = [performance.now(), session.forms];
      const forms: Record<string, number> = {};
      for (const [name, count] of Object.entries(decode)) {
        const ran = count - (counts[name] ?? 0);
        if (ran > 0) forms[name] = ran;
      }
      yield { text: step.text, perSecond: 1000 / (time - last), cacheBytes: session.bytes, forms };
      [last, counts] = [time, decode];
    }
    if (talk && session.bytes <= SAVED_LIMIT)
      saved = { session: await session.encode(), messages: talk.conversation.messages };
  } finally {
    if (!talk) session.free();
  }
}

/** Forgets what was said. */
export function forget(): void {
  saved = undefined;
  now?.talk?.conversation.reset();
}

/** Measures the device that the model runs on, or the one that is asked for; forms are chosen by that from now on. */
export async function tuneModel(on: Where, watch: (done: number) => void): Promise<Measured> {
  const device = now?.device ?? (await openDevice(on));
  try {
    const measured = await tuneHere(device, watch);
    if (now) {
      now.machine = measured.machine;
      now.talk?.session.free();
      await beginTalk(now);
    }
    return measured;
  } finally {
    if (!now) device.close();
  }
}

function close(): void {
  now?.talk?.session.free();
  now?.model.close();
  now?.device.close();
  now = undefined;
}
