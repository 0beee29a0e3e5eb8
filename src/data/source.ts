import { ShapeError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";

/** Sequences to learn from, flattened row by row: [count * length] each. */
export interface Batch {
  readonly count: number;
  /** Tokens per row. */
  readonly length: number;
  readonly ids: Int32Array;
  /** What follows each id; -1 where the prediction is not counted in the loss. */
  readonly targets: Int32Array;
}

/**
 * Where training data come from. A batch is a function of the source's seed and the step alone: the same on every machine and
 * for every variant that is compared, and a resumed run needs no reading position.
 */
export interface Source {
  readonly name: string;
  /** Ids are below this. */
  readonly vocabulary: number;
  /**
   * Bytes of text per token on the held-out part, so that bits per byte = nats per token / ln 2 / bytesPerToken; undefined
   * where tokens are no text.
   */
  readonly bytesPerToken: number | undefined;
  /** What training rows are windows of, where they are: for engines that draw the same windows themselves. */
  readonly tokens?: Int32Array | undefined;
  /** The shortest and longest rows this source can give, in tokens. */
  readonly lengths: { readonly least: number; readonly most: number };
  /** The training batch of a step (0, 1, ...). Throws ShapeError for a length the source cannot give. */
  batch(step: number, count: number, length: number): Batch;
  /**
   * At most `batches` batches no training batch shares, the same on every call. Every batch is full; rows beyond the end of a
   * finite text have no counted targets.
   */
  heldOut(batches: number, count: number, length: number): Batch[];
  /** Ids as people read them. Throws ShapeError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
}

/** What a config says of the ids of models that learn from a source: nothing where they are text, or they would be taken for bytes. */
export const idsOf = ({ bytesPerToken }: Source): { readonly ids?: "symbols" } =>
  bytesPerToken === undefined ? { ids: "symbols" } : {};

/** Which of a source's two endless streams. */
export type Part = "train" | "heldOut";

/**
 * The random numbers of one step. Steps of both parts start from different states for every seed, since the mixing of the
 * seed is added to a count of steps, even for training and odd for what is held out.
 */
export function stepRandom(seed: number, part: Part, step: number): Random {
  let z = Math.imul(seed ^ (seed >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  z ^= z >>> 15;
  return new Random((z + 2 * step + (part === "train" ? 0 : 1)) >>> 0);
}

/** A batch from a function that fills one row of ids and targets. Throws ShapeError for a size that is no size. */
export function fillBatch(
  count: number,
  length: number,
  fill: (ids: Int32Array, targets: Int32Array, row: number) => void,
): Batch {
  for (const [what, n] of Object.entries({ rows: count, "tokens a row": length }))
    if (!Number.isSafeInteger(n) || n < 1) throw new ShapeError(`batch: got ${n} ${what}, expected at least 1`);
  const ids = new Int32Array(count * length);
  const targets = new Int32Array(count * length).fill(-1);
  for (let row = 0; row < count; row++) {
    const [from, to] = [row * length, (row + 1) * length];
    fill(ids.subarray(from, to), targets.subarray(from, to), row);
  }
  return { count, length, ids, targets };
}

/** A task of rows of symbols, each made by itself. */
export interface RowTask {
  readonly kind: string;
  /** Its sizes, in words. */
  readonly sizes: string;
  readonly vocabulary: number;
  /** Tokens of the shortest row, and in words what for. */
  readonly least: number;
  readonly needs: string;
  /** Fills a row; `targets` are -1 where nothing is asked. */
  readonly fill: (random: Random, ids: Int32Array, targets: Int32Array) => void;
  /** An id below `vocabulary` as people read it. */
  readonly word: (id: number) => string;
}

/** The source of rows of a task, endless in both of its parts. */
export function rowSource(seed: number, { kind, sizes, vocabulary, least, needs, fill, word }: RowTask): Source {
  const part = (of: Part) => (step: number, count: number, length: number) => {
    if (length < least)
      throw new ShapeError(`${kind}: got rows of ${length} tokens, expected at least ${least} for ${needs}`);
    const random = stepRandom(seed, of, step);
    return fillBatch(count, length, (ids, targets) => fill(random, ids, targets));
  };
  return {
    name: `${kind} (${sizes}, vocabulary ${vocabulary})`,
    vocabulary,
    bytesPerToken: undefined,
    lengths: { least, most: Number.POSITIVE_INFINITY },
    batch: part("train"),
    heldOut: (batches, count, length) => Array.from({ length: batches }, (_, i) => part("heldOut")(i, count, length)),
    decode(ids) {
      return Array.from(ids, (id) => {
        if (!(Number.isInteger(id) && id >= 0 && id < vocabulary))
          throw new ShapeError(`decode: got the id ${id}, expected a whole number in [0, ${vocabulary})`);
        return word(id);
      }).join(" ");
    },
  };
}

/** A source for each training seed: every seed reads other batches, and what is held out is the same, so that losses can be compared. */
export function seeded(source: Source): (seed: number) => Source {
  return (seed) => ({
    ...source,
    batch: (step, count, length) => source.batch(step + (seed - 1) * 2 ** 24, count, length),
  });
}
