import { deviceText } from "../device/open.ts";
import type { FormCounts } from "../generate/forms.ts";
import type { LoadedModel } from "../generate/load.ts";
import type { TextSession } from "../generate/text.ts";
import type { Finish, Step } from "../generate/writer.ts";
import { modelSize } from "../model/model.ts";

/** Figures of one answer. Times in seconds, memory in bytes. */
export interface Statistics {
  promptTokens: number;
  tokens: number;
  /** Why it ended. */
  finish: Finish | "interrupted";
  /** Tokens times layers that attention ran in each form, over the prompt and one by one. */
  forms: FormCounts;
  /** Until the prompt had run, until the first token was there, and from the first token to the last. */
  seconds: { prefill: number | null; firstToken: number | null; decode: number | null };
  tokensPerSecond: { prefill: number | null; decode: number | null };
  /** Of the session's cache, of the weights, and of the whole process at most. */
  bytes: { cache: number; weights: number; peak: number };
}

/** Times an answer while it is written. */
export interface Stopwatch {
  /** So much of the prompt has run. */
  read(done: number, total: number): void;
  take(step: Step): void;
  end(loaded: LoadedModel, session: TextSession, signal: AbortSignal): Statistics;
}

/** Starts to time the answer to a prompt; how many tokens of it had to be run is asked for at the end. */
export function stopwatch(ran: () => number): Stopwatch {
  const start = performance.now();
  let [begun, read, first, last] = [start, Number.NaN, Number.NaN, Number.NaN];
  let tokens = 0;
  let finish: Finish | undefined;
  return {
    read(done, total) {
      if (done === 0) begun = performance.now();
      if (done === total) read = performance.now();
    },
    take(step) {
      last = performance.now();
      if (tokens++ === 0) first = last;
      if (step.finish) finish = step.finish;
    },
    end(loaded, session, signal) {
      const [prefill, firstToken, decode] = [read - begun, first - start, last - first].map((ms) => ms / 1000) as [
        number,
        number,
        number,
      ];
      const promptTokens = ran();
      return {
        promptTokens,
        tokens,
        finish: finish ?? (signal.aborted ? "interrupted" : "length"),
        forms: session.forms,
        seconds: { prefill: finiteOrNull(prefill), firstToken: finiteOrNull(firstToken), decode: finiteOrNull(decode) },
        tokensPerSecond: {
          prefill: finiteOrNull(promptTokens / prefill),
          decode: tokens > 1 ? finiteOrNull((tokens - 1) / decode) : null,
        },
        bytes: {
          cache: session.bytes,
          weights: loaded.bytes,
          peak: process.resourceUsage().maxRSS * 1024,
        },
      };
    },
  };
}

function finiteOrNull(x: number): number | null {
  return Number.isFinite(x) ? x : null;
}

const endings: Readonly<Record<Statistics["finish"], string>> = {
  end: "ended by the model",
  stop: "ended at a stop string",
  length: "ended at --max-tokens",
  context: "ended because the context is full",
  interrupted: "interrupted",
};

/** A sentence on what was loaded. */
export function loadedText({ model, device }: LoadedModel, seconds: number): string {
  const parameters = short(modelSize(model));
  return `loaded ${parameters} parameters in ${seconds.toFixed(1)} s (${device.kind === "wasm" ? device.kind : deviceText(device)})`;
}

/** The figures of an answer for people, a line or two. */
export function statisticsText({ promptTokens, tokens, finish, forms, seconds, tokensPerSecond, bytes }: Statistics) {
  const rate = (x: number | null) => (x === null ? "" : ` (${x < 100 ? x.toFixed(1) : Math.round(x)} tokens/s)`);
  const time = (x: number | null) => (x === null ? "no time" : `${x.toFixed(x < 1 ? 3 : 1)} s`);
  return [
    `prompt: ${promptTokens} tokens in ${time(seconds.prefill)}${rate(tokensPerSecond.prefill)}, first token after ${time(seconds.firstToken)}`,
    `answer: ${tokens} tokens in ${time(seconds.decode)}${rate(tokensPerSecond.decode)}, ${endings[finish]}`,
    `form: ${formsText(forms)}; cache ${mebibytes(bytes.cache)}, weights ${mebibytes(bytes.weights)}, process at most ${mebibytes(bytes.peak)}`,
  ].join("\n");
}

/** Which forms ran: over the prompt, then token by token where those are others. */
export function formsText({ prefill, decode }: FormCounts): string {
  const [first, then] = [prefill, decode].map((counts) => Object.keys(counts).join(" and "));
  return first && then && first !== then ? `${first}, then ${then}` : first || then || "none";
}

function mebibytes(bytes: number): string {
  const n = bytes / 2 ** 20;
  return `${n < 10 ? n.toFixed(2) : Math.round(n)} MiB`;
}

function short(n: number): string {
  const [size, unit] = n >= 1e9 ? [1e9, " billion"] : n >= 1e6 ? [1e6, " million"] : [1, ""];
  return `${size === 1 ? n : (n / size).toFixed(2)}${unit}`;
}
