/**
 * Where a model runs: a worker, so that the page answers meanwhile. It takes one `Ask` after the other and tells what comes of it.
 * What is chosen while text is written, the form and the end, holds from the next token on.
 */
import {
  type Conversation,
  commonMachine,
  conversation,
  type LoadedModel,
  load,
  type Preset,
  presetConfig,
  sampleGguf,
  type TextSession,
  WasmDevice,
  WebgpuDevice,
} from "biform/run";
import { messageOf } from "./element.ts";
import { type Learned, type Lesson, type Told, trainTogether } from "./training.ts";

/** What the page asks of the worker. */
export type Ask =
  | { readonly open: File; readonly on: Where }
  | { readonly make: Preset; readonly on: Where }
  | { readonly write: { readonly prompt: string; readonly tokens: number } }
  | { readonly train: Lesson }
  | { readonly form: string | undefined }
  /** Forgets what was said. */
  | { readonly clear: true }
  | { readonly stop: true };

/** Where a model is to run: `best` is a GPU where there is a real one, else the processor. */
export type Where = "best" | "webgpu" | "wasm";

/** What the worker tells the page. */
export type Tell =
  | { readonly loaded: number }
  | { readonly opened: About }
  | { readonly wrote: Written }
  | { readonly learned: readonly Learned[] }
  | { readonly told: readonly Told[] }
  | { readonly ended: true }
  | { readonly problem: string };

/** What was opened. */
export interface About {
  readonly name: string;
  readonly layers: number;
  /** Bytes that the weights take. */
  readonly bytes: number;
  /** What it runs on, in words. */
  readonly device: string;
  /** Forms that attention may run in, those of all layers together. */
  readonly forms: readonly string[];
  /** Whether it answers; otherwise it goes on from a text. */
  readonly chats: boolean;
}

/** One token: its text, and what stands behind it. */
export interface Written {
  readonly text: string;
  readonly perSecond: number;
  readonly cacheBytes: number;
  /** In which form the layers ran for it, with how many ran in each. */
  readonly forms: Readonly<Record<string, number>>;
}

const tell = (what: Tell) => postMessage(what);

let model: LoadedModel | undefined;
/** What is said to a model that answers, over one session whose cache stays. */
let talk: { readonly session: TextSession; readonly conversation: Conversation } | undefined;
let form: string | undefined;
let stopping = new AbortController();

/** Opens what was asked for. A software GPU is slower than the processor that it runs on: it is for those who ask for it by name. */
async function openDevice(on: Where): Promise<WasmDevice | WebgpuDevice> {
  if (on !== "wasm")
    try {
      const gpu = await WebgpuDevice.open();
      if (on === "webgpu" || !gpu.traits.software) return gpu;
      gpu.close();
    } catch (error) {
      if (on === "webgpu") throw error;
    }
  // Only an isolated page may share memory with threads.
  return WasmDevice.open({ threads: crossOriginIsolated ? undefined : 1 });
}

function deviceText(device: WasmDevice | WebgpuDevice): string {
  if (device.kind === "webgpu") return `the GPU (${device.build})`;
  return device.threads === 1 ? "one thread" : `${device.threads} threads`;
}

async function open(file: File, on: Where): Promise<void> {
  talk?.session.free();
  talk = undefined;
  model?.close();
  model?.device.close();
  model = undefined;
  const device = await openDevice(on);
  let before = 0;
  try {
    model = await load(file, {
      device,
      machine: commonMachine,
      watch(done, total) {
        const loaded = done / total;
        if (loaded - before < 0.01 && done < total) return;
        before = loaded;
        tell({ loaded });
      },
    });
  } catch (error) {
    device.close();
    throw error;
  }
  const { tokenizer, template } = model;
  if (tokenizer && template) {
    const session = model.session();
    talk = { session, conversation: conversation(session, { tokenizer, template }) };
  }
  const { layers } = model.model;
  const forms = layers.flatMap(({ attention }) => Object.keys(attention.variant.forms));
  tell({
    opened: {
      name: file.name,
      layers: layers.length,
      bytes: model.bytes,
      device: deviceText(device),
      forms: [...new Set(forms)],
      chats: talk !== undefined,
    },
  });
}

async function make(preset: Preset, on: Where): Promise<void> {
  const name = `${preset}.gguf`;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of sampleGguf(name, presetConfig(preset, "tiny"), { seed: 1, type: "F32" }))
    pieces.push(piece.slice());
  await open(new File(pieces, name), on);
}

async function write(prompt: string, maxTokens: number): Promise<void> {
  if (!model) throw new Error("run: got no model, expected one; open a file or make one");
  stopping = new AbortController();
  const session = talk?.session ?? model.session();
  try {
    const options = { maxTokens, temperature: 0, form: () => form, signal: stopping.signal };
    const steps = talk ? talk.conversation.say(prompt, options) : session.generate(prompt, options);
    let [last, counts] = [performance.now(), session.forms.decode];
    for await (const step of steps) {
      const [now, { decode }] = [performance.now(), session.forms];
      const forms: Record<string, number> = {};
      for (const [name, count] of Object.entries(decode)) {
        const ran = count - (counts[name] ?? 0);
        if (ran > 0) forms[name] = ran;
      }
      tell({ wrote: { text: step.text, perSecond: 1000 / (now - last), cacheBytes: session.bytes, forms } });
      [last, counts] = [now, decode];
    }
  } finally {
    if (!talk) session.free();
    tell({ ended: true });
  }
}

async function teach(lesson: Lesson): Promise<void> {
  stopping = new AbortController();
  try {
    const show = (learned: readonly Learned[]) => tell({ learned });
    tell({ told: await trainTogether(lesson, { show, signal: stopping.signal }) });
  } catch (error) {
    tell({ problem: messageOf(error) });
  }
  tell({ ended: true });
}

/** What takes its turn: a new model waits for the text at work, which is told to end. */
let turn: Promise<void> = Promise.resolve();

function enqueue(work: () => Promise<void>): void {
  stopping.abort();
  turn = turn.then(work).catch((error: unknown) => tell({ problem: messageOf(error) }));
}

addEventListener("message", ({ data }: MessageEvent<Ask>) => {
  if ("open" in data) enqueue(() => open(data.open, data.on));
  else if ("make" in data) enqueue(() => make(data.make, data.on));
  else if ("write" in data) enqueue(() => write(data.write.prompt, data.write.tokens));
  else if ("train" in data) enqueue(() => teach(data.train));
  else if ("form" in data) form = data.form;
  else if ("clear" in data) enqueue(async () => talk?.conversation.reset());
  else stopping.abort();
});
