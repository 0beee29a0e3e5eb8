import type { MiddlewareHandler } from "hono";
import { Counter, Gauge, Histogram, Registry as Prometheus } from "prom-client";
import type { Figures } from "../batch/figures.ts";
import type { Usage } from "../batch/request.ts";
import type { Env } from "./guard.ts";
import type { Registry } from "./registry.ts";

/** Seconds that steps, first tokens and whole answers take on machines of any speed. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** Figures that go up and down; all others only count. */
const levels: ReadonlySet<string> = new Set<keyof Figures>([
  ...(["healthy", "running", "queued", "cacheBytes", "cacheLimit"] as const),
  ...(["prefixNodes", "prefixBytes", "diskBytes", "diskWrites"] as const),
]);

/** What figures count, for who reads them without the code. */
const FIGURES: Readonly<Record<keyof Figures, string>> = {
  healthy: "1 while the device runs, 0 once it has failed",
  running: "Sequences that run now",
  queued: "Sequences that wait now",
  finished: "Sequences that came to their end",
  aborted: "Sequences whose client went away, or whose time was over",
  failed: "Sequences that an error ended",
  refused: "Sequences that were not taken: too long, or the queue full",
  paused: "Times that a sequence gave its memory to an older one",
  tokensRead: "Tokens of prompts that were run",
  tokensCached: "Tokens of prompts whose cache was there already",
  tokensWritten: "Tokens written",
  steps: "Steps of the batch",
  sequences: "Sequences in all steps together: over steps, the mean batch",
  stepsUpTo: "Steps of at most so many sequences",
  busySeconds: "Seconds that steps took",
  cacheBytes: "Bytes of caches now, kept prefixes among them",
  cacheLimit: "Most bytes that caches may take",
  prefixNodes: "Places where kept prefixes part or end",
  prefixBytes: "Bytes of kept prefixes",
  prefixHits: "Times that a kept prefix was gone on from",
  prefixEvictions: "Kept prefixes given up for want of room",
  diskBytes: "Bytes of prefixes in files",
  diskWrites: "1 while prefixes are written to files, 0 without a folder or since the disk refused one",
};

/** What a server and its engines have done, for Prometheus. */
export class Metrics {
  readonly #prometheus = new Prometheus();
  readonly #registry: Registry;
  readonly #requests: Counter;
  readonly #first: Histogram;
  readonly #between: Histogram;
  readonly #engines = new Map<string, Counter | Gauge>();

  constructor(registry: Registry) {
    const registers = [this.#prometheus];
    const seconds = { labelNames: ["model"], buckets: SECONDS, registers };
    this.#registry = registry;
    this.#requests = new Counter({
      name: "biform_http_requests_total",
      help: "Answers by method, path and status",
      labelNames: ["method", "path", "status"],
      registers,
    });
    this.#first = new Histogram({
      name: "biform_first_token_seconds",
      help: "From a request to its first token, the queue included",
      ...seconds,
    });
    this.#between = new Histogram({
      name: "biform_between_tokens_seconds",
      help: "Between an answer's tokens, on average",
      ...seconds,
    });
    new Gauge({
      name: "biform_model_bytes",
      help: "Bytes of the weights in memory",
      labelNames: ["model"],
      registers,
      collect() {
        this.reset();
        for (const { name, bytes } of registry.loaded) this.set({ model: name }, bytes);
      },
    });
  }

  /** Counts answers. Paths that are none count together: a stranger must not make up labels. */
  get count(): MiddlewareHandler<Env> {
    return async (c, next) => {
      await next();
      const path = c.res.status === 404 ? "other" : c.req.path.replace(/^(\/v1\/models|\/page)\/.+/, "$1/{id}");
      this.#requests.inc({ method: c.req.method, path, status: c.res.status });
    };
  }

  /** Counts what a sequence cost. */
  observe(model: string, { waited, first, writing, written }: Usage): void {
    if (written > 0) this.#first.observe({ model }, waited + first);
    if (written > 1) this.#between.observe({ model }, writing / (written - 1));
  }

  /** All of it as Prometheus reads it, engines' figures as they are now. */
  async text(): Promise<string> {
    for (const metric of this.#engines.values()) metric.reset();
    for (const { name, engine } of this.#registry.loaded)
      for (const [key, value] of Object.entries(engine.figures)) this.#tell(name, key, value);
    return this.#prometheus.metrics();
  }

  get type(): string {
    return this.#prometheus.contentType;
  }

  /** A figure under a name of its own; one of several parts has a label for them. */
  #tell(model: string, key: string, value: unknown): void {
    const parts = typeof value === "object" && value !== null ? Object.entries(value) : undefined;
    const metric = this.#metricOf(key, parts ? ["model", "part"] : ["model"]);
    const add = (labels: Record<string, string>, amount: unknown) => {
      const number = Number(amount);
      if (Number.isFinite(number)) metric.inc(labels, number);
    };
    if (!parts) add({ model }, value);
    for (const [part, amount] of parts ?? []) add({ model, part }, amount);
  }

  #metricOf(key: string, labelNames: string[]): Counter | Gauge {
    const known = this.#engines.get(key);
    if (known) return known;
    const words = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const [Kind, end] = levels.has(key) ? [Gauge, ""] : [Counter, "_total"];
    const made = new Kind({
      name: `biform_engine_${words}${end}`,
      help: FIGURES[key as keyof Figures] ?? key,
      labelNames,
      registers: [this.#prometheus],
    });
    this.#engines.set(key, made);
    return made;
  }
}
