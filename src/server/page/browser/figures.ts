/** What an answer cost, as the server tells it and as it was seen to arrive. */

/** Figures of one answer; what is absent was not told. Times in seconds. */
export interface Figures {
  /** Tokens of the prompt, and those of them whose cache was there already. */
  prompt?: number;
  cached?: number;
  written?: number;
  /** Tokens per second from the first token on. */
  rate?: number;
  /** From the request to the first token. */
  first?: number;
  /** Of cache, at the answer's end. */
  bytes?: number;
  /** Tokens times layers that ran in each form of attention. */
  forms?: Record<string, number> | undefined;
  /** Tokens per second in equal spans of the answer, at most `most`. */
  pace?: number[];
}

type Json = Readonly<Record<string, unknown>>;

const asObject = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const asCount = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : undefined;

/** A server that is not Biform tells less, and none of it has to be right. */
export function readFigures(chunk: Json): Figures {
  const usage = asObject(chunk.usage);
  const own = { ...asObject(usage.biform), ...asObject(chunk.biform) };
  const forms = Object.entries(asObject(own.forms)).filter(([, count]) => asCount(count));
  const found: Readonly<Record<keyof Omit<Figures, "forms" | "pace">, number | undefined>> = {
    prompt: asCount(usage.prompt_tokens),
    cached: asCount(asObject(usage.prompt_tokens_details).cached_tokens) ?? asCount(own.cached_tokens),
    written: asCount(usage.completion_tokens),
    rate: asCount(own.tokens_per_second),
    first: asCount(asObject(own.seconds).first) ?? asCount(own.first_token_seconds),
    bytes: asCount(own.cache_bytes),
  };
  return {
    ...(Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Figures),
    forms: forms.length > 0 ? (Object.fromEntries(forms) as Record<string, number>) : undefined,
  };
}

/** Spans of a finished answer's pace. */
const most = 48;

/** When the pieces of an answer arrived: with most servers, a piece is a token. */
export class Pace {
  readonly #start = performance.now();
  readonly #times: number[] = [];

  /** A piece arrived now. */
  note(): void {
    this.#times.push(performance.now());
  }

  get count(): number {
    return this.#times.length;
  }

  /** Seconds until the first piece. */
  get first(): number | undefined {
    return this.#times.length > 0 ? (this.#times[0]! - this.#start) / 1000 : undefined;
  }

  /** Pieces per second from the first on; undefined before there are two at different times. */
  get rate(): number | undefined {
    const seconds = (this.#times.at(-1)! - this.#times[0]!) / 1000;
    return seconds > 0 ? (this.#times.length - 1) / seconds : undefined;
  }

  /**
   * Pieces per second in equal spans, at most `most`: a quarter of a second each at least, and four pieces on average, since
   * fewer would draw how they fall into spans. Nothing of an answer too short for two.
   */
  get spans(): number[] {
    const [from = 0, to = 0] = [this.#times[0], this.#times.at(-1)];
    const count = Math.min(most, Math.floor((to - from) / 250), Math.floor((this.count - 1) / 4));
    if (count < 2) return [];
    const counts = new Array<number>(count).fill(0);
    for (const time of this.#times.slice(1))
      counts[Math.min(count - 1, Math.floor(((time - from) / (to - from)) * count))]! += 1;
    const seconds = (to - from) / 1000 / count;
    return counts.map((n) => Math.round((n / seconds) * 10) / 10);
  }
}
