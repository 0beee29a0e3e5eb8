import type { Event, Request } from "../batch/request.ts";
import type { Sampling } from "../generate/sampling.ts";
import type { Template } from "../tokenizer/template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Constrainer } from "./constrain/constrainer.ts";

/** What writes for many at once: all that the server sees of `src/batch`. */
export interface Engine {
  /** Events of one request in their order; the first one that is asked for throws Refused where it is not taken. */
  submit(request: Request): AsyncGenerator<Event, void, undefined>;
  /** Counters and gauges, made anew at each read; whether it can run anything, bytes of its caches and the most that they may take, among them. */
  readonly figures: { readonly healthy: boolean; readonly cacheBytes: number; readonly cacheLimit: number };
  /** Takes no more, and ends when all that runs has ended. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** A model with its engine, as requests see it. */
export interface Served {
  /** What requests call it. */
  readonly name: string;
  readonly path: string;
  /** When its file was written, in seconds since 1970. */
  readonly created: number;
  /** Ids are below this. */
  readonly vocabulary: number;
  /** Tokens of prompt and answer together. */
  readonly context: number;
  /** Bytes of its weights in memory. */
  readonly bytes: number;
  readonly tokenizer: Tokenizer | undefined;
  readonly template: Template | undefined;
  /** Special tokens by their names in tokenizer_config.json, such as bos_token. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Tokens after which nothing follows. */
  readonly end: ReadonlySet<number>;
  /** What its generation_config.json says of sampling. */
  readonly sampling: Sampling;
  readonly engine: Engine;
  /** What bounds answers, made when it is first asked for, which throws FormatError where it does not fit the model; undefined without a tokenizer. */
  readonly constrainer: (() => Promise<Constrainer>) | undefined;
  /** Ends its engine and gives its memory back. */
  close(): Promise<void>;
}
