import { type Opened, openModel } from "../checkpoint/open.ts";
import { type LoadedModel, load } from "../generate/load.ts";
import { FormatError } from "../tensor/error.ts";
import { createHash } from "../tensor/node.ts";
import { quantisedAs, type ReadLayer, readLayer } from "./checkpoint.ts";
import { refuseAttention } from "./grouped.ts";
import { type LatentLayer, standardiseScale } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import {
  checkWanted,
  convertLayer,
  fullSizes,
  placePositions,
  type Seen,
  turnComponents,
  type Wanted,
  worthOf,
} from "./method.ts";
import { PairLengths } from "./mhatomla.ts";
import { type Inputs, inputsOf, momentsOf, readInputs, watchInputs } from "./moment.ts";
import { cutIds } from "./perplexity.ts";
import { replaceAttention } from "./replace.ts";
import type { Finished } from "./shelf.ts";
import { blindMoment, lostShares, weighedShares } from "./spectrum.ts";
import { choosePairs } from "./turning.ts";

/** What a conversion is told, beside what it is to make. */
export interface ConvertOptions {
  readonly wanted: Omit<Wanted, "c" | "r" | "biases"> & {
    readonly c?: number | undefined;
    readonly r?: number | undefined;
    readonly biases?: boolean | undefined;
  };
  /** Text that tells what keys and values are like; without it weights alone are looked at. */
  readonly text?: string | undefined;
  /** Tokens of it that are looked at, and how many at a time. */
  readonly tokens?: number | undefined;
  readonly length?: number | undefined;
  readonly threads?: number | undefined;
  /** Hears what is being done, of how much. */
  readonly watch?: ((what: string, done: number, total: number) => void) | undefined;
}

/** What a layer loses by rank. */
export interface LayerPrice {
  /** Share of the squared length of keys without position and values that each rank leaves out, from rank 0 on. */
  readonly lost: readonly number[];
}

/** A conversion before it is made: what it would be, what it would lose, and what its cache would be. */
export interface Price {
  readonly wanted: Wanted;
  readonly layers: readonly LayerPrice[];
  /** Numbers that a token leaves in the cache of a layer, before and after. */
  readonly before: number;
  readonly after: number;
  readonly notes: readonly string[];
}

/** A conversion under way: all that is known before the first layer is made. */
export class Conversion {
  readonly opened: Opened;
  readonly path: string;
  readonly wanted: Wanted;
  readonly notes: string[] = [];
  readonly #options: ConvertOptions;
  #inputs: readonly Inputs[] | undefined;
  #second: readonly Matrix[] | undefined;
  #ranks: readonly Int32Array[] | undefined;
  #kept: readonly number[] | undefined;

  private constructor(path: string, opened: Opened, wanted: Wanted, options: ConvertOptions) {
    this.path = path;
    this.opened = opened;
    this.wanted = wanted;
    this.#options = options;
  }

  /**
   * Opens a checkpoint and says what stands in the way, before anything of its size is read. Errors: FormatError naming the layer and the
   * rule.
   */
  static async open(path: string, options: ConvertOptions): Promise<Conversion> {
    const opened = await openModel(path);
    for (const [i, { attention }] of opened.model.layers.entries()) {
      const reason = refuseAttention(attention);
      if (reason) throw new FormatError(`${path}: layer ${i}: ${reason}`);
    }
    const first = await readLayer(opened, 0);
    // Biases that the source has are its function's; none is added unless asked for, since not every engine reads them.
    const biases = options.wanted.biases || opened.model.layers.some(({ attention }) => attention.sizes.bias);
    const given = { ...options.wanted, biases: biases === true };
    const full = fullSizes(first.layer, given);
    const wanted = { ...given, c: given.c ?? full.c, r: given.r ?? full.r };
    checkWanted(path, first.layer, wanted);
    const conversion = new Conversion(path, opened, wanted, options);
    const type = quantisedAs(opened);
    if (type)
      conversion.notes.push(
        `${path} holds attention in ${type}: what is converted are its numbers as they stand, rounded once already; a checkpoint in BF16 gives a better one`,
      );
    if (!options.text && wanted.method !== "exact")
      conversion.notes.push("no text was given: weights alone say what is worth keeping, which costs quality");
    return conversion;
  }

  /** Looks at the text, where there is one: second moments of all layers' inputs. Throws as `load`. */
  async lookAtText(): Promise<void> {
    const { text, tokens = 8192, length = 512, threads, watch } = this.#options;
    const { method, selection } = this.wanted;
    if (!text || method === "exact" || this.#inputs) return;
    const loaded = await load(this.path, { threads });
    try {
      const sequences = textOf(loaded, text, tokens, length);
      const counted = (what: string) => (done: number) => watch?.(what, done, sequences.length);
      this.#inputs = await inputsOf(loaded.model, loaded.weights, sequences, counted("looking at text"));
      if (method === "mha2mla" && selection === "2-norm") this.#ranks = await this.#rankPairs(loaded, sequences);
      if (method === "transmla") {
        const between = await this.#gathered(loaded);
        this.#second = await momentsOf(
          between.model,
          between.weights,
          sequences,
          counted("looking at text without far turns"),
        ).finally(between.free);
      }
    } finally {
      loaded.close();
    }
  }

  /** All that is to be known of text and of all layers together, once. */
  async #look(): Promise<void> {
    await this.lookAtText();
    await this.#chooseKept();
  }

  /** How many components of each frequency stay turned, by their worth to all layers together. */
  async #chooseKept(): Promise<void> {
    if (this.wanted.method !== "biform" || this.#kept) return;
    const { layers } = this.opened.model;
    const sums: Float64Array[] = [];
    for (const i of layers.keys()) {
      const { layer, gains } = await readLayer(this.opened, i);
      worthOf(layer, this.#seen(i, gains).inputs, this.wanted.context).forEach((worth, f) => {
        sums[f] = worth.map((x, k) => x + (sums[f]?.[k] ?? 0));
      });
      this.#options.watch?.("choosing what stays turned", i + 1, layers.length);
    }
    this.#kept = choosePairs(sums, this.wanted.r / 2);
  }

  async #rankPairs({ model, weights }: LoadedModel, sequences: readonly Int32Array[]) {
    const lengths: PairLengths[] = [];
    for (const i of model.layers.keys()) lengths.push(new PairLengths((await readLayer(this.opened, i)).layer));
    await watchInputs(model, weights, sequences, async (i, x) => lengths[i]!.add(await readInputs(x)));
    return lengths.map((each) => each.rank());
  }

  /** The model whose positions are gathered and nothing else. */
  async #gathered({ model, weights }: LoadedModel) {
    const layers: LatentLayer[] = [];
    for (const i of model.layers.keys()) {
      const { layer } = await readLayer(this.opened, i);
      layers.push(standardiseScale(placePositions(layer, this.wanted, this.#inputs![i]!.all)!.layer));
    }
    return replaceAttention(model, weights, layers);
  }

  /** A layer as it would be before its latent is made smaller, and what text, or else its weights, say of its inputs. */
  async #whole(i: number): Promise<ReadLayer & { readonly whole: LatentLayer; readonly seen: Seen }> {
    const read = await readLayer(this.opened, i);
    const seen = this.#seen(i, read.gains);
    const { method } = this.wanted;
    const whole =
      method === "biform"
        ? turnComponents(read.layer, seen, this.wanted.context)
        : method === "transmla"
          ? placePositions(read.layer, this.wanted, seen.inputs.all)!.layer
          : convertLayer(read.layer, { ...this.wanted, c: fullSizes(read.layer, this.wanted).c }, seen);
    return { ...read, whole, seen };
  }

  #seen(i: number, gains: ArrayLike<number>): Seen {
    const blind = () => {
      const moment = blindMoment(gains);
      return { all: moment, read: moment };
    };
    return {
      inputs: this.#inputs?.[i] ?? blind(),
      second: this.#second?.[i],
      ranks: this.#ranks?.[i],
      kept: this.#kept,
    };
  }

  /** What each layer would lose by rank, where that is not known yet. Layer by layer: no more than one is in memory. */
  async price(known?: readonly LayerPrice[]): Promise<Price> {
    const { model } = this.opened;
    const layers: LayerPrice[] = known ? [...known] : [];
    for (const i of known ? [] : model.layers.keys()) {
      await this.#look();
      const { whole, seen } = await this.#whole(i);
      layers.push({
        lost: Array.from(
          this.wanted.method === "biform"
            ? weighedShares(whole, seen.inputs, this.wanted.biases)
            : lostShares(whole, seen.second ?? seen.inputs.all),
        ),
      });
      this.#options.watch?.("pricing", i + 1, model.layers.length);
    }
    const { g, e, v } = model.layers[0]!.attention.sizes;
    return {
      wanted: this.wanted,
      layers,
      before: g * (e + v),
      after: this.wanted.c + this.wanted.r,
      notes: this.notes,
    };
  }

  /** One layer converted, under no norm yet. */
  async convert(i: number): Promise<Finished> {
    await this.#look();
    const { layer, gains } = await readLayer(this.opened, i);
    return { layer: convertLayer(layer, this.wanted, this.#seen(i, gains)), gains };
  }

  /** What tells this conversion from others: the source, by its config and the first bytes of every tensor, and all that was asked. */
  async key(): Promise<string> {
    const { tensors, config } = this.opened;
    const { text, tokens, length } = this.#options;
    const hash = createHash("sha256").update(JSON.stringify([config, this.wanted, text, tokens, length]));
    for (const name of tensors.names) {
      const { dtype, shape, begin, end } = tensors.entry(name);
      const bytes = new Uint8Array(Math.min(64, end - begin));
      await tensors.readBytes(name, 0, bytes);
      hash.update(`${name} ${dtype} ${shape}`).update(bytes);
    }
    return hash.digest("hex");
  }
}

/** The text's first ids as sequences. Throws FormatError where there are none. */
export function textOf({ tokenizer, path }: LoadedModel, text: string, tokens: number, length: number): Int32Array[] {
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  // No token is longer than some letters: what is certain to be behind the last is not looked at.
  const sequences = cutIds(tokenizer.encode(text.slice(0, 24 * tokens)), tokens, length);
  if (!sequences.length)
    throw new FormatError(`text: got fewer than ${length} tokens, expected at least so many; give more`);
  return sequences;
}
