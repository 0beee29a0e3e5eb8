import { type Opened, openModel } from "../checkpoint/open.ts";
import type { LoadedModel } from "../generate/load.ts";
import { FormatError } from "../tensor/error.ts";
import { createHash } from "../tensor/node.ts";
import {
  checkBudget,
  comparable,
  lostBy,
  ranksByLayer,
  type Sampled,
  sampleOf,
  sumWorths,
  turnedDims,
} from "./budget.ts";
import { quantisedAs, readLayer } from "./checkpoint.ts";
import { refuseAttention } from "./grouped.ts";
import { type LatentLayer, standardiseScale } from "./latent.ts";
import type { Matrix } from "./matrix.ts";
import {
  checkWanted,
  convertLayer,
  fullSizes,
  gathers,
  placePositions,
  type Seen,
  spectrumOf,
  type Wanted,
  wholeLayer,
  worthOf,
} from "./method.ts";
import { PairLengths } from "./mhatomla.ts";
import { type Inputs, inputsOf, momentsOf, readInputs, watchInputs } from "./moment.ts";
import { replaceAttention } from "./replace.ts";
import { lookerAt } from "./sequence.ts";
import type { Finished } from "./shelf.ts";
import { blindMoment, lengthsOf, lostShares } from "./spectrum.ts";
import { choosePairs } from "./turning.ts";

/** What a conversion is told, beside what it is to make. */
export interface ConvertOptions {
  readonly wanted: Omit<Wanted, "c" | "r" | "biases"> & {
    readonly c?: number | undefined;
    readonly r?: number | undefined;
    readonly biases?: boolean | undefined;
  };
  /** Instead of c, or of c and r: numbers that a token leaves in the cache of a layer, in the mean of layers. */
  readonly budget?: number | undefined;
  /** Whether layers have ranks of their own, which no stock config has words for. */
  readonly byLayer?: boolean | undefined;
  /** Text that tells what keys and values are like; without it weights alone are looked at. */
  readonly text?: string | undefined;
  /** Tokens of it that are looked at, and how many at a time. */
  readonly tokens?: number | undefined;
  readonly length?: number | undefined;
  readonly threads?: number | undefined;
  /** What conversions of this checkpoint have seen of texts, for the next of them: one look serves all sizes of a method. */
  readonly seen?: Map<string, unknown> | undefined;
  /** Hears what is being done, of how much. */
  readonly watch?: ((what: string, done: number, total: number) => void) | undefined;
}

/** What a layer loses by rank. */
export interface LayerPrice {
  /** What all ranks together explain, in units of the method that compare layers. */
  readonly whole: number;
  /** Share of the squared length of keys without position and values that each rank leaves out, from rank 0 on. */
  readonly lost: readonly number[];
}

/** A conversion before it is made: what it would be, what it would lose, and what its cache would be. */
export interface Price {
  readonly wanted: Wanted;
  readonly layers: readonly LayerPrice[];
  /** The latent's rank in each layer, where these differ. */
  readonly ranks?: readonly number[] | undefined;
  /** Numbers that a token leaves in the cache of a layer, before and after. */
  readonly before: number;
  readonly after: number;
  readonly notes: readonly string[];
}

/** A conversion under way: all that is known before the first layer is made. */
export class Conversion {
  readonly opened: Opened;
  readonly path: string;
  readonly notes: string[] = [];
  readonly #options: ConvertOptions;
  #wanted: Wanted;
  #inputs: readonly Inputs[] | undefined;
  #second: readonly Matrix[] | undefined;
  #ranks: readonly Int32Array[] | undefined;
  #worths: readonly (readonly Float64Array[])[] | undefined;
  #kept: readonly number[] | undefined;
  #layerRanks: readonly number[] | undefined;

  private constructor(path: string, opened: Opened, wanted: Wanted, options: ConvertOptions) {
    this.path = path;
    this.opened = opened;
    this.#wanted = wanted;
    this.#options = options;
  }

  /** What is made: sizes that follow from text are those of a whole cache until text is looked at. */
  get wanted(): Wanted {
    return this.#wanted;
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
    const { budget, byLayer } = options;
    const c = given.c ?? (budget === undefined ? full.c : budget - full.r);
    const wanted = { ...given, c, r: full.r };
    const chooses = budget !== undefined && given.r === undefined && given.method === "biform";
    if (chooses) checkBudget(path, first.layer, budget);
    else checkWanted(path, first.layer, wanted);
    if (byLayer && given.method !== "biform" && given.method !== "care")
      throw new FormatError(`--by-layer: got ${given.method}, expected biform or care; it has one rank for all layers`);
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

  /** Looks at the text, where there is one: moments of all layers' inputs. Throws as `load`. */
  async lookAtText(): Promise<void> {
    const { text, tokens = 8192, length = 512, threads, watch, seen = new Map<string, unknown>() } = this.#options;
    const { method, selection, r, fold } = this.wanted;
    if (!text || method === "exact" || this.#inputs) return;
    const { path } = this;
    const { look, close } = lookerAt({ path, threads, text, tokens, length, seen });
    try {
      this.#inputs = await look("inputs", ({ model, weights }, sequences) =>
        inputsOf(model, weights, sequences, (done) => watch?.("looking at text", done, sequences.length)),
      );
      if (method === "mha2mla" && selection === "2-norm")
        this.#ranks = await look("pairs", (whole, sequences) => this.#rankPairs(whole, sequences));
      if (gathers(method))
        this.#second = await look(`gathered ${r} ${fold}`, async (whole, sequences) => {
          const between = await this.#gathered(whole);
          return momentsOf(between.model, between.weights, sequences, (done) =>
            watch?.("looking at text without far turns", done, sequences.length),
          ).finally(between.free);
        });
    } finally {
      close();
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
    const worths: Float64Array[][] = [];
    for (const i of layers.keys()) {
      const { layer, gains } = await readLayer(this.opened, i);
      const { inputs } = this.#seen(i, gains);
      worths.push(comparable(worthOf(layer, inputs, this.wanted.context), inputs, this.#inputs !== undefined));
      this.#options.watch?.("choosing what stays turned", i + 1, layers.length);
    }
    this.#worths = worths;
    if (this.#chooses) await this.#chooseTurned(this.#options.budget!);
    this.#kept = choosePairs(sumWorths(this.#worths!), this.wanted.r / 2);
  }

  /** Whether r is to be found. */
  get #chooses(): boolean {
    const { budget, wanted } = this.#options;
    return budget !== undefined && wanted.r === undefined && this.wanted.method === "biform";
  }

  /** Shares a budget between turned dims and latent as what both leave out adds up to least, in some of the layers. */
  async #chooseTurned(budget: number): Promise<void> {
    const some: Sampled[] = [];
    for (const i of sampleOf(this.opened.model.layers.length)) {
      const { layer, gains } = await readLayer(this.opened, i);
      some.push({ layer, seen: this.#seen(i, gains), worths: this.#worths![i]! });
    }
    const sums = sumWorths(this.#worths!);
    const tried = turnedDims(budget, some[0]!.layer).map((r, done, all) => {
      const wanted = { ...this.wanted, r, c: budget - r };
      const lost = lostBy(wanted, choosePairs(sums, r / 2), some);
      this.#options.watch?.("sharing the budget", done + 1, all.length);
      return { wanted, lost };
    });
    this.#wanted = tried.reduce((best, one) => (one.lost < best.lost ? one : best)).wanted;
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
      layers.push(standardiseScale(placePositions(layer, this.wanted, this.#inputs![i]!.all).layer));
    }
    return replaceAttention(model, weights, layers);
  }

  #seen(i: number, gains: ArrayLike<number>): Seen {
    const blind = () => {
      const moment = blindMoment(gains);
      const { h } = this.opened.model.layers[i]!.attention.sizes;
      return { all: moment, read: moment, weight: 1, sharpness: new Float64Array(h).fill(1) };
    };
    return {
      inputs: this.#inputs?.[i] ?? blind(),
      second: this.#second?.[i],
      ranks: this.#ranks?.[i],
      kept: this.#kept,
    };
  }

  /** What each layer would lose by rank, where that is not known yet. Layer by layer: no more than one is in memory. */
  async price(known?: Pick<Price, "layers" | "ranks"> & { readonly wanted: Pick<Wanted, "c" | "r"> }): Promise<Price> {
    const { model } = this.opened;
    const layers: LayerPrice[] = known ? [...known.layers] : [];
    if (known) this.#wanted = { ...this.#wanted, c: known.wanted.c, r: known.wanted.r };
    this.#layerRanks = known?.ranks;
    const explained: Float64Array[] = [];
    for (const i of known ? [] : model.layers.keys()) {
      await this.#look();
      const { layer, gains } = await readLayer(this.opened, i);
      const seen = this.#seen(i, gains);
      const whole = wholeLayer(layer, this.wanted, seen);
      const { method } = this.wanted;
      const own =
        method === "biform" || method === "care"
          ? spectrumOf(whole, this.wanted, seen).explained
          : lengthsOf(whole, seen.second ?? seen.inputs.all);
      explained.push(own);
      const lost = lostShares(own);
      layers.push({ whole: lost.whole * seen.inputs.weight, lost: Array.from(lost.shares) });
      this.#options.watch?.("pricing", i + 1, model.layers.length);
    }
    if (this.#options.byLayer && !known)
      this.#layerRanks = ranksByLayer(this.wanted, explained, this.#inputs && layers.map(({ whole }) => whole));
    const { g, e, v } = model.layers[0]!.attention.sizes;
    return {
      wanted: this.wanted,
      layers,
      ranks: this.#layerRanks,
      before: g * (e + v),
      after: this.wanted.c + this.wanted.r,
      notes: this.notes,
    };
  }

  /** One layer converted, under no norm yet. */
  async convert(i: number): Promise<Finished> {
    await this.#look();
    const { layer, gains } = await readLayer(this.opened, i);
    const wanted = { ...this.wanted, c: this.#layerRanks?.[i] ?? this.wanted.c };
    return { layer: convertLayer(layer, wanted, this.#seen(i, gains)), gains };
  }

  /** What tells this conversion from others: the source, by its config and the first bytes of every tensor, and all that was asked. */
  async key(): Promise<string> {
    const { tensors, config } = this.opened;
    const { text, tokens, length, wanted, budget, byLayer } = this.#options;
    const asked = [config, wanted, budget, byLayer, text, tokens, length];
    const hash = createHash("sha256").update(JSON.stringify(asked));
    for (const name of tensors.names) {
      const { dtype, shape, begin, end } = tensors.entry(name);
      const bytes = new Uint8Array(Math.min(64, end - begin));
      await tensors.readBytes(name, 0, bytes);
      hash.update(`${name} ${dtype} ${shape}`).update(bytes);
    }
    return hash.digest("hex");
  }
}
