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
  type Measured,
  type Preset,
  presetConfig,
  sampleGguf,
  type TextSession,
} from "biform/run";
import { messageOf } from "./element.ts";
import { deviceText, openDevice, type Where } from "./place.ts";
import { type Timed, type Trial, timeForms } from "./timing.ts";
import { type Learned, type Lesson, type Trained, trainTogether } from "./training.ts";
import { formsOf, type Said, startOf, type Told, writeAll, writeOn } from "./writing.ts";

/** What the page asks of the worker. */
export type Ask =
  | { readonly open: File; readonly on: Where }
  | { readonly make: Preset; readonly on: Where }
  | { readonly write: { readonly prompt: string; readonly tokens: number } }
  | { readonly train: Lesson }
  /** Those that were trained write on, and in which of their forms, by its place. */
  | { readonly speak: { readonly opening: string; readonly tokens: number } }
  | { readonly place: number }
  | { readonly trial: Trial }
  | { readonly form: string | undefined }
  /** Forgets what was said. */
  | { readonly clear: true }
  | { readonly stop: true };

/** What the worker tells the page. */
export type Tell =
  | { readonly loaded: number }
  | { readonly opened: About }
  | { readonly wrote: Written }
  | { readonly learned: readonly Learned[] }
  | { readonly begun: string }
  | { readonly told: readonly Told[]; readonly forms: readonly (readonly string[])[] }
  | { readonly said: readonly Said[] }
  /** What a measurement is at, what it found of the device, and what it has found so far. */
  | { readonly stage: string }
  | { readonly tuned: Measured }
  | { readonly timed: Timed }
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

/** Those that were trained last. */
let trained: Trained | undefined;
/** Which of its forms each of them writes in. */
let place = 0;

async function teach(lesson: Lesson): Promise<void> {
  stopping = new AbortController();
  const { signal } = stopping;
  trained?.device.close();
  trained = undefined;
  try {
    trained = await trainTogether(lesson, {
      begun: (begun) => tell({ begun }),
      show: (learned) => tell({ learned }),
      signal,
    });
    const { pupils } = trained;
    tell({ told: await writeAll(pupils, opening), forms: pupils.map(formsOf) });
  } catch (error) {
    tell({ problem: messageOf(error) });
  }
  tell({ ended: true });
}

/** Milliseconds between two tokens, so that an eye can follow and a hand can switch the form. */
const PACE = 40;
/** What all write from after they were trained. */
const opening = "Ada ";

/** All write on beside each other, a token of each in turn. */
async function speak({ opening, tokens }: { readonly opening: string; readonly tokens: number }): Promise<void> {
  stopping = new AbortController();
  const { signal } = stopping;
  const pupils = trained?.pupils ?? [];
  const forms = pupils.map(formsOf);
  try {
    tell({ said: pupils.map((pupil, at) => ({ at, text: startOf(pupil, opening), form: -1, cacheBytes: 0 })) });
    const writers = pupils.map((pupil, at) =>
      writeOn(pupil, { opening, tokens, signal, form: () => forms[at]![place % forms[at]!.length] }),
    );
    for (let running = writers.length; running > 0 && !signal.aborted; ) {
      const said: Said[] = [];
      running = 0;
      for (const [at, writer] of writers.entries()) {
        const { done, value } = await writer.next();
        if (done) continue;
        running++;
        said.push({ at, text: value.text, form: forms[at]!.indexOf(value.form!), cacheBytes: value.cacheBytes });
      }
      tell({ said });
      await new Promise((passed) => setTimeout(passed, PACE));
    }
    for (const writer of writers) await writer.return(undefined);
  } catch (error) {
    tell({ problem: messageOf(error) });
  }
  tell({ ended: true });
}

async function prove(trial: Trial): Promise<void> {
  stopping = new AbortController();
  const show = (timed: Timed) => tell({ timed });
  try {
    show(
      await timeForms(trial, {
        show,
        stage: (stage) => tell({ stage }),
        tuned: (tuned) => tell({ tuned }),
        signal: stopping.signal,
      }),
    );
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
  else if ("speak" in data) enqueue(() => speak(data.speak));
  else if ("place" in data) place = data.place;
  else if ("trial" in data) enqueue(() => prove(data.trial));
  else if ("form" in data) form = data.form;
  else if ("clear" in data) enqueue(async () => talk?.conversation.reset());
  else stopping.abort();
});
