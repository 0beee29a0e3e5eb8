import type { Opened } from "../checkpoint/open.ts";
import { openDevice } from "../device/open.ts";
import { tokenizerBeside } from "../generate/beside.ts";
import { FormatError } from "../tensor/error.ts";
import { join, randomBytes, tmpdir } from "../tensor/node.ts";
import type { Device } from "../tensor/tensor.ts";
import { type ReadLayer, readLayer } from "./checkpoint.ts";
import {
  explainedKept,
  halfOf,
  inputsKept,
  type Kept,
  keepExplained,
  keepInputs,
  keepPortrait,
  portraitKept,
  wholeOf,
} from "./keep.ts";
import { standardiseScale } from "./latent.ts";
import { matrix } from "./matrix.ts";
import {
  convertLayer,
  type Explained,
  explainedBy,
  gathers,
  latentsOf,
  measuresOf,
  placePositions,
  type Seen,
  type Wanted,
  weighs,
} from "./method.ts";
import { PairLengths } from "./mhatomla.ts";
import { type Inputs, inputsOf, momentsOf, readInputs } from "./moment.ts";
import { type Portrait, portraitOf } from "./portrait.ts";
import { Shelf } from "./shelf.ts";
import { blindMoment } from "./spectrum.ts";
import { fileStack, type Stack, showInputs, walkLayers, withAttention } from "./stack.ts";
import { explainedAlone } from "./subspace.ts";

/** A checkpoint, which of its layers are converted, and the text that it reads, if any. */
export interface Reading {
  readonly opened: Opened;
  readonly path: string;
  readonly layers: readonly number[];
  readonly text: string | undefined;
  readonly tokens: number;
  readonly length: number;
  readonly threads: number | undefined;
  /** A path, beside which things stay: see `ConvertOptions`. */
  readonly look: string | undefined;
  /** What tells the checkpoint and the text from others. */
  readonly key: string;
  readonly watch: (what: string, done: number, total: number) => void;
}

/**
 * What is known of a checkpoint's layers, each thing found once and kept on the disk: width² numbers of each layer are more than memory
 * has for a large model, of which one layer at a time is read.
 */
export class Look {
  readonly #reading: Reading;
  readonly #shelf: Shelf;

  private constructor(reading: Reading, shelf: Shelf) {
    this.#reading = reading;
    this.#shelf = shelf;
  }

  /** Errors: DeviceError of the disk. */
  static async open(reading: Reading): Promise<Look> {
    const { look = join(tmpdir(), `biform-${randomBytes(6).toString("hex")}`), key } = reading;
    return new Look(reading, await Shelf.open(look, key, "look"));
  }

  /** Looks at the text for what a method asks of it, where there is one. Throws FormatError, and as `openDevice` and `runBlock`. */
  async read(wanted: Wanted): Promise<void> {
    if (this.#reading.text === undefined || wanted.method === "exact") return;
    let device: Device | undefined;
    const once = async (what: string, see: (stack: Stack, sequences: Int32Array[]) => Promise<void>) => {
      if (await this.#shelf.has(what)) return;
      const sequences = await sequencesOf(this.#reading);
      device ??= await openDevice("wasm", this.#reading.threads);
      await see(fileStack(this.#reading.opened, device), sequences);
      await this.#shelf.note(what, true);
    };
    try {
      await once("inputs", (stack, sequences) => this.#seeInputs(stack, sequences));
      if (wanted.method === "mha2mla" && wanted.selection === "2-norm")
        await once("pairs", (stack, sequences) => this.#rankPairs(stack, sequences));
      const inTurn = wanted.method === "care-sequential";
      if (gathers(wanted.method))
        await once(secondBy(wanted), (stack, sequences) =>
          inTurn ? this.#seeInTurn(stack, sequences, wanted) : this.#seeGathered(stack, sequences, wanted),
        );
    } finally {
      device?.close();
    }
  }

  async #seeInputs(stack: Stack, sequences: readonly Int32Array[]): Promise<void> {
    const { layers, watch } = this.#reading;
    let i = 0;
    for await (const inputs of inputsOf(stack, sequences, (layer) => layers.includes(layer))) {
      if (inputs) await this.#shelf.keep("inputs", i, keepInputs(inputs));
      watch("looking at text", ++i, stack.model.layers.length);
    }
  }

  async #rankPairs(stack: Stack, sequences: readonly Int32Array[]): Promise<void> {
    const { layers, watch, opened } = this.#reading;
    for await (const step of walkLayers(stack, sequences)) {
      watch("ranking pairs", step.layer, stack.model.layers.length);
      if (!layers.includes(step.layer)) continue;
      const lengths = new PairLengths((await readLayer(opened, step.layer)).layer);
      await showInputs(step, async (x) => lengths.add(await readInputs(x)));
      const ranks = Float64Array.from(lengths.rank());
      await this.#shelf.keep("pairs", step.layer, { ranks: matrix(1, ranks.length, ranks) });
    }
  }

  /** In the model whose positions are gathered and nothing else. */
  async #seeGathered(stack: Stack, sequences: readonly Int32Array[], wanted: Wanted): Promise<void> {
    const { layers, watch, opened } = this.#reading;
    const gathered = withAttention(stack, async (i) => {
      if (!layers.includes(i)) return undefined;
      const { layer, gains } = await readLayer(opened, i);
      return standardiseScale(placePositions(layer, wanted, (await this.inputs(i, gains)).all).layer);
    });
    let i = 0;
    for await (const moment of momentsOf(gathered, sequences)) {
      await this.#shelf.keep(secondBy(wanted), i, { moment: halfOf(moment) });
      watch("looking at text without far turns", ++i, stack.model.layers.length);
    }
  }

  /** In the model whose earlier layers are converted already, each by what was seen here. */
  async #seeInTurn(stack: Stack, sequences: readonly Int32Array[], wanted: Wanted): Promise<void> {
    const { layers, watch, opened } = this.#reading;
    const become = async (layer: number) => {
      if (!layers.includes(layer)) return undefined;
      const read = await readLayer(opened, layer);
      return standardiseScale(convertLayer(read.layer, wanted, await this.seen(layer, read, wanted, undefined)));
    };
    let i = 0;
    for await (const moment of momentsOf(stack, sequences, become)) {
      await this.#shelf.keep(secondBy(wanted), i, { moment: halfOf(moment) });
      watch("looking at text, layer by converted layer", ++i, stack.model.layers.length);
    }
  }

  /** A layer's inputs by text, or where there is none as if all directions were alike before the norm's gains. */
  async inputs(i: number, gains: ArrayLike<number>): Promise<Inputs> {
    const kept = this.#reading.text === undefined ? undefined : await this.#shelf.kept("inputs", i);
    if (kept) return inputsKept(kept);
    const moment = blindMoment(gains);
    const { h } = this.#reading.opened.model.layers[i]!.attention.sizes;
    return { all: moment, read: moment, weight: 1, sharpness: new Float64Array(h).fill(1) };
  }

  /** A layer's portrait. */
  portrait(i: number, { layer, gains }: ReadLayer): Promise<Portrait> {
    const make = async () => keepPortrait(portraitOf(layer, await this.inputs(i, gains)));
    return this.#once("portrait", i, make).then(portraitKept);
  }

  /** What a conversion by this method is told of a layer; `kept` as in `Seen`. */
  async seen(i: number, read: ReadLayer, wanted: Wanted, kept: readonly number[] | undefined): Promise<Seen> {
    const matrixOf = async (name: string, key: string) => (await this.#shelf.kept(name, i))?.[key];
    const own = wanted.method === "biform" ? await this.portrait(i, read) : undefined;
    const second = gathers(wanted.method) ? await matrixOf(secondBy(wanted), "moment") : undefined;
    const pairs = wanted.method === "mha2mla" ? await matrixOf("pairs", "ranks") : undefined;
    return {
      inputs: await this.inputs(i, read.gains),
      portrait: own,
      second: second && wholeOf(second),
      ranks: pairs && Int32Array.from(pairs.values),
      kept,
    };
  }

  /** What the ranks of each of a layer's latents explain, of a method that has a spectrum; it is the same for every rank. */
  async explained(i: number, { layer }: ReadLayer, wanted: Wanted, seen: Seen): Promise<Explained[] | undefined> {
    const { method, r, fold, context, biases } = wanted;
    if (method !== "biform" && !weighs(method)) return undefined;
    const count = latentsOf(wanted);
    const own = method === "care-sequential" ? `${secondBy(wanted)}-` : "";
    const name = `spectrum-${own}${method}-${r}-${fold ?? 0}-${context}-${biases ? "about" : "whole"}`;
    let made: Explained[] | undefined;
    const all: Explained[] = [];
    for (let part = 0; part < count; part++) {
      const make = async () => {
        made ??= explainedBy(layer, wanted, seen)!;
        return keepExplained(made[part]!);
      };
      all.push(explainedKept(await this.#once(`${name}-${part}-of-${count}`, i, make)));
    }
    return all;
  }

  /**
   * What each rank explains and nothing else, where nothing is made of it: without the subspaces that is half of the work. Undefined as
   * `explained`.
   */
  async ranks(i: number, read: ReadLayer, wanted: Wanted, seen: Seen): Promise<Float64Array[] | undefined> {
    if (wanted.method === "biform")
      return measuresOf(read.layer, { portrait: seen.portrait!, kept: seen.kept! }, wanted).map(({ moment, metric }) =>
        explainedAlone(moment, metric),
      );
    return (await this.explained(i, read, wanted, seen))?.map(({ spectrum }) => spectrum.explained);
  }

  async #once(name: string, i: number, make: () => Promise<Kept>): Promise<Kept> {
    const kept = await this.#shelf.kept(name, i);
    if (kept) return kept;
    const made = await make();
    await this.#shelf.keep(name, i, made);
    return made;
  }

  /** Removes what is kept, but where the caller said where. */
  async close(): Promise<void> {
    if (this.#reading.look === undefined) await this.#shelf.clear();
  }
}

/** Where second moments are kept: those of earlier layers' conversions change with the rank, all others do not. */
const secondBy = ({ method, c, r, fold }: Wanted) =>
  `${method === "care-sequential" ? `sequential-${c}` : "gathered"}-${r}-${fold ?? 0}`;

/** The first ids of a text as sequences of `length`: `tokens` in all, or fewer where the text ends. */
export function cutIds(ids: Int32Array, tokens: number, length: number): Int32Array[] {
  const count = Math.floor(Math.min(tokens, ids.length) / length);
  return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
}

/** The text's first ids as sequences. Throws FormatError where there are none. */
async function sequencesOf({ opened, path, text, tokens, length }: Reading): Promise<Int32Array[]> {
  const tokenizer = await tokenizerBeside(opened);
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  // No token is longer than some letters: what is certain to be behind the last is not looked at.
  const ids = tokenizer.encode(text!.slice(0, 24 * tokens));
  const sequences = cutIds(ids, tokens, length);
  if (!sequences.length)
    throw new FormatError(`text: got fewer than ${length} tokens, expected at least so many; give more`);
  const odd = ids.findIndex((id) => id >= opened.model.vocabulary);
  if (odd >= 0)
    throw new FormatError(
      `${path}: got the token ${ids[odd]}, expected one below ${opened.model.vocabulary}, the rows of the embedding; tokenizer and weights do not belong together`,
    );
  return sequences;
}
