/**
 * Where a model runs: a worker, so that the page answers meanwhile. It takes one `Ask` after the other and tells what comes of it.
 * What is chosen while text is written, the form and the end, holds from the next token on.
 */
import { DeviceError, type Measured } from "biform/run";
import { messageOf } from "./element.ts";
import type { Where } from "./place.ts";
import {
  type About,
  forget,
  isRestorable,
  openModel,
  restoreModel,
  tuneModel,
  type Wish,
  type Written,
  writeOn as writeModel,
} from "./talk.ts";
import { type Timed, type Trial, timeForms } from "./timing.ts";
import { type Learned, type Lesson, type Trained, trainTogether } from "./training.ts";
import { formsOf, type Said, startOf, type Told, writeAll, writeOn } from "./writing.ts";

/** What the page asks of the worker. */
export type Ask =
  | { readonly open: Wish }
  /** Opens the last model anew, and goes on from what was saved of it. */
  | { readonly restore: true }
  | { readonly tune: Where }
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
  /** What goes otherwise than usual. */
  | { readonly note: string }
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
  /** `lost`: the device failed, and the model can be opened anew from what was saved. */
  | { readonly problem: string; readonly lost?: boolean };

const tell = (what: Tell) => postMessage(what);

let form: string | undefined;
let stopping = new AbortController();

function hooks() {
  stopping = new AbortController();
  return {
    loaded: (loaded: number) => tell({ loaded }),
    note: (note: string) => tell({ note }),
    signal: stopping.signal,
  };
}

async function write(asked: { readonly prompt: string; readonly tokens: number }): Promise<void> {
  stopping = new AbortController();
  try {
    for await (const wrote of writeModel(asked, { form: () => form, signal: stopping.signal })) tell({ wrote });
  } finally {
    tell({ ended: true });
  }
}

async function tuneHere(on: Where): Promise<void> {
  try {
    tell({ tuned: await tuneModel(on, (done) => tell({ stage: `Measuring: ${Math.floor(100 * done)} %` })) });
  } finally {
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
  turn = turn.then(work).catch((error: unknown) => {
    const lost = error instanceof DeviceError && isRestorable();
    tell({ problem: messageOf(error), lost });
  });
}

addEventListener("message", ({ data }: MessageEvent<Ask>) => {
  if ("open" in data) enqueue(async () => tell({ opened: await openModel(data.open, hooks()) }));
  else if ("restore" in data) enqueue(async () => tell({ opened: await restoreModel(hooks()) }));
  else if ("tune" in data) enqueue(() => tuneHere(data.tune));
  else if ("write" in data) enqueue(() => write(data.write));
  else if ("train" in data) enqueue(() => teach(data.train));
  else if ("speak" in data) enqueue(() => speak(data.speak));
  else if ("place" in data) place = data.place;
  else if ("trial" in data) enqueue(() => prove(data.trial));
  else if ("form" in data) form = data.form;
  else if ("clear" in data) enqueue(async () => forget());
  else stopping.abort();
});
