import { Problem } from "./errors.ts";
import type { Served } from "./served.ts";

/** A model that can be served. */
export interface Place {
  /** What requests call it. */
  readonly name: string;
  readonly path: string;
  /** Bytes of its files: about what its weights take in memory, since they stay as the file has them. */
  readonly bytes: number;
  /** When its file was written, in seconds since 1970. */
  readonly created: number;
}

/** A model in use: not taken from memory before `release`. */
export interface Lease {
  readonly served: Served;
  release(): void;
}

/** Loads a model, given the bytes of memory that nothing holds and no cache of another may still take. */
export type Open = (place: Place, left: number) => Promise<Served>;

interface Entry {
  readonly place: Place;
  served?: Promise<Served> | undefined;
  /** The same once it is there. */
  ready?: Served | undefined;
  uses: number;
  /** When it was last used, by a counter. */
  last: number;
}

/**
 * The models of a server by name. One that is not in memory is loaded when it is first asked for; idle ones make room. It keeps the
 * account of memory for all of them: what the caches of those that are there may still take is nobody else's.
 */
export class Registry {
  readonly #entries: Map<string, Entry>;
  readonly #open: Open;
  readonly #free: () => number;
  #clock = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** `free` tells the bytes of memory that nothing holds. */
  constructor(places: readonly Place[], open: Open, free: () => number = () => Number.POSITIVE_INFINITY) {
    this.#entries = new Map(places.map((place) => [place.name, { place, uses: 0, last: 0 }]));
    this.#open = open;
    this.#free = free;
  }

  get places(): readonly Place[] {
    return [...this.#entries.values()].map(({ place }) => place);
  }

  /** Models in memory. */
  get loaded(): readonly Served[] {
    return [...this.#entries.values()].flatMap(({ ready }) => (ready ? [ready] : []));
  }

  /** What is known of a model without loading it. Throws Problem with status 404. */
  find(name: string): { readonly place: Place; readonly served: Served | undefined } {
    const entry = this.#entries.get(name);
    if (!entry) {
      const names = [...this.#entries.keys()].slice(0, 20).join(", ");
      throw new Problem(404, `model: got "${name.slice(0, 80)}", expected one of ${names}`, {
        param: "model",
        code: "model_not_found",
      });
    }
    return { place: entry.place, served: entry.ready };
  }

  /**
   * A model to use; without a name the only one there is. One whose device has failed is loaded anew once nobody uses it.
   *
   * Errors: Problem: 404 for a name that is none, 400 for none among several, 503 with the numbers where memory is short.
   */
  async lease(name: string | undefined): Promise<Lease> {
    const [only, ...others] = this.#entries.keys();
    if (name === undefined && (only === undefined || others.length))
      throw new Problem(
        400,
        `model: got nothing, expected one of ${[...this.#entries.keys()].slice(0, 20).join(", ")}`,
        {
          param: "model",
          code: "missing_parameter",
        },
      );
    const { place } = this.find(name ?? only!);
    const entry = this.#entries.get(place.name)!;
    if (entry.ready?.engine.figures.healthy === false && entry.uses === 0) await unload(entry);
    entry.uses++;
    entry.last = ++this.#clock;
    let held = true;
    const release = () => {
      if (held) entry.uses--;
      held = false;
    };
    try {
      entry.served ??= this.#load(entry);
      return { served: await entry.served, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Ends all engines once what runs has ended, or at once. */
  async close({ drain }: { readonly drain: boolean }): Promise<void> {
    const loaded = await Promise.allSettled([...this.#entries.values()].map(({ served }) => served));
    await Promise.all(
      loaded.map(async (found) => {
        if (found.status !== "fulfilled" || !found.value) return;
        if (drain) await found.value.engine.drain();
        await found.value.close();
      }),
    );
  }

  /** One after the other, so that each sees the memory that the ones before have left. */
  #load(entry: Entry): Promise<Served> {
    const loading = this.#turn.then(async () => {
      await this.#makeRoom(entry.place);
      entry.ready = await this.#open(entry.place, this.#left);
      return entry.ready;
    });
    this.#turn = loading.catch(() => {
      entry.served = undefined;
    });
    return loading;
  }

  /** Bytes of memory that nothing holds and no cache may still take. */
  get #left(): number {
    const claims = this.loaded.map(({ engine: { figures } }) => Math.max(0, figures.cacheLimit - figures.cacheBytes));
    return claims.reduce((left, bytes) => left - bytes, this.#free());
  }

  async #makeRoom({ name, bytes }: Place): Promise<void> {
    // A tenth above its weights for what works on them; what its cache may take, its engine counts.
    const need = 1.1 * bytes;
    const idle = [...this.#entries.values()]
      .filter(({ ready, uses }) => ready && uses === 0)
      .toSorted((a, b) => a.last - b.last);
    for (const entry of idle) {
      if (this.#left >= need) return;
      await unload(entry);
    }
    const free = Math.max(0, this.#left);
    if (free < need)
      throw new Problem(
        503,
        `model: got "${name}", which takes ${mebibytes(need)} MiB, expected at most the ${mebibytes(free)} MiB that are free and that no model's caches may still take; ` +
          "use a smaller one, or ask again when others are idle",
        { param: "model", code: "out_of_memory", after: 60 },
      );
  }
}

/** Takes a model from memory; whoever asks for it from now on loads it anew. */
async function unload(entry: Entry): Promise<void> {
  const { ready } = entry;
  [entry.ready, entry.served] = [undefined, undefined];
  await ready?.close();
}

const mebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20);
