import { cacheValues } from "../attention/define.ts";
import { checkTensors } from "../checkpoint/load.ts";
import { type Opened, openModel } from "../checkpoint/open.ts";
import { FormatError } from "../tensor/error.ts";
import { createHash } from "../tensor/node.ts";
import { blocks } from "../tensor/quant.ts";
import { checkBudget, ranksByLayer, rankWithin } from "./budget.ts";
import { checkAlike, checkVariant, checkWanted } from "./check.ts";
import { keepLayer, layerAt, quantisedAs, type ReadOnce } from "./checkpoint.ts";
import { chooseTurns } from "./choose.ts";
import { type Geometry, geometryOf, refuseAttention } from "./grouped.ts";
import { shareHeads } from "./latent.ts";
import { Look } from "./look.ts";
import { convertLayer, fullSizes, numbersAt, ownLengths, type Wanted } from "./method.ts";
import { sumExplained } from "./part.ts";
import { roundingOf } from "./rounding.ts";
import { type Finished, Shelf } from "./shelf.ts";
import { lostShares } from "./spectrum.ts";

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
  /**
   * A path; beside it, in `.NAME.look`, stays what is seen of the text, some width² numbers for each layer: for a second run, or other
   * sizes. The caller removes it. Unless given it is a temporary folder, until `close`.
   */
  readonly look?: string | undefined;
  /** Hears what is being done, of how much. */
  readonly watch?: ((what: string, done: number, total: number) => void) | undefined;
  /** Ends looking and pricing between two layers. */
  readonly signal?: AbortSignal | undefined;
}

/** What a layer loses by rank. */
export interface LayerPrice {
  /** Which of the model's layers it is. */
  readonly layer: number;
  /** What all ranks together explain, in units of the method that compare layers. */
  readonly whole: number;
  /** Share of the squared length of keys without position and values that each rank leaves out, from rank 0 on. */
  readonly lost: readonly number[];
}

/** A conversion before it is made: what it would be, what it would lose, and what its cache would be. */
export interface Price {
  readonly wanted: Wanted;
  /** Of those that are converted. */
  readonly layers: readonly LayerPrice[];
  /** The latent's rank in each of them, where these differ. */
  readonly ranks?: readonly number[] | undefined;
  /** Numbers that a token leaves in the cache of a layer, before and after, in the mean of all layers. */
  readonly before: number;
  readonly after: number;
  /** Layers of the whole model. */
  readonly depth: number;
  readonly notes: readonly string[];
}

/** What each rank of a layer explains, and what that counts for beside other layers. */
interface Said {
  readonly own: Float64Array;
  readonly weight: number;
}

/** A conversion under way: all that is known before the first layer is made. */
export class Conversion {
  readonly opened: Opened;
  /** The same for those that go through it layer by layer: see `keepLayer`. */
  readonly layered: Opened;
  readonly path: string;
  readonly notes: string[] = [];
  /** The layers that are converted; all others stay as they are, and `notes` say why. */
  readonly layers: readonly number[];
  readonly #options: ConvertOptions;
  #wanted: Wanted;
  #look: Promise<Look> | undefined;
  /** The same from its first moment on, which may be all that there is. */
  #opened: Look | undefined;
  #kept: readonly number[] | undefined;
  /** What was said of layers while text was looked at. */
  readonly #said = new Map<number, Said>();
  #ranks: readonly number[] | undefined;

  private constructor(
    path: string,
    opened: Opened,
    layers: readonly number[],
    wanted: Wanted,
    options: ConvertOptions,
  ) {
    this.path = path;
    this.opened = opened;
    this.layered = keepLayer(opened);
    this.layers = layers;
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
    const { model, tensors, sources, ignores } = opened;
    const reasons = model.layers.map(({ attention }) => refuseAttention(attention));
    const own = [...reasons.keys()].filter((i) => reasons[i] === undefined);
    if (!own.length) throw new FormatError(`${path}: layer 0: ${reasons[0]}`);
    checkTensors(tensors, sources, ignores);
    const geometry = (i: number): Geometry => geometryOf(model.layers[i]!.attention);
    const first = geometry(own[0]!);
    // Biases that the source has are its function's; none is added unless asked for, since not every engine reads them.
    const biased = own.find((i) => model.layers[i]!.attention.sizes.bias);
    const given = { ...options.wanted, biases: options.wanted.biases === true || biased !== undefined };
    const { budget, byLayer } = options;
    checkVariant(`${path}: layer ${biased ?? own[0]}`, first, given);
    const full = fullSizes(first, given);
    const c = given.c ?? (budget === undefined ? full.c : rankWithin(budget, full.r, given));
    const wanted = { ...given, c, r: given.r ?? full.r };
    const chooses = budget !== undefined && given.r === undefined && given.method === "biform";
    for (const i of own) {
      const subject = `${path}: layer ${i}`;
      checkAlike(subject, geometry(i), first, wanted);
      if (chooses) checkBudget(subject, first, budget, given);
      else checkWanted(subject, first, wanted);
    }
    if (byLayer && given.method !== "biform" && given.method !== "care")
      throw new FormatError(`--by-layer: got ${given.method}, expected biform or care; it has one rank for all layers`);
    if (given.method === "care-sequential" && options.text === undefined)
      throw new FormatError(
        `${path}: got no text for care-sequential, expected some, which goes through layers as they are converted; add --text, or use care`,
      );
    const conversion = new Conversion(path, opened, own, wanted, options);
    conversion.#note(reasons);
    return conversion;
  }

  /** Says what a user should know: layers that stay, and why; numbers that are rounded already; no text. */
  #note(reasons: readonly (string | undefined)[]): void {
    const { notes, path, opened } = this;
    for (const [reason, all] of Map.groupBy(reasons.keys(), (i) => reasons[i]))
      if (reason) notes.push(`layers ${all.join(", ")} stay as they are: each ${reason}`);
    const type = quantisedAs(opened);
    if (type) {
      const [bits, rounding] = [(8 * blocks[type].bytes) / blocks[type].elements, roundingOf(type)];
      const lost = rounding === undefined ? "" : `, by some ${(100 * rounding).toPrecision(2)} % of a matrix's length`;
      notes.push(
        `${path} holds attention in ${type} (${bits} bits a number): what is converted are its numbers as they stand, rounded once already${lost}; a checkpoint in BF16 gives a better one`,
      );
    }
    if (!this.#options.text && !["exact", "merge"].includes(this.wanted.method))
      notes.push("no text was given: weights alone say what is worth keeping, which costs quality");
  }

  #watch(what: string, done: number, total: number): void {
    this.#options.watch?.(what, done, total);
    this.#options.signal?.throwIfAborted();
  }

  /** All that is to be known of text and of all layers together, once. */
  #known(): Promise<Look> {
    this.#look ??= this.#find();
    return this.#look;
  }

  async #find(): Promise<Look> {
    const { layered: opened, path, layers, wanted } = this;
    const { text, tokens = 8192, length = 512, threads, look: beside } = this.#options;
    const key = await this.#keyOf([text, tokens, length, layers]);
    const watch = (what: string, done: number, total: number) => this.#watch(what, done, total);
    const look = await Look.open({ opened, path, layers, text, tokens, length, threads, look: beside, key, watch });
    this.#opened = look;
    const biform = wanted.method === "biform";
    // By biform what stays turned is chosen over all layers, before which none can be priced.
    await look.read(wanted, async (i, read) => {
      if (biform) await look.portrait(i, read);
      else this.#said.set(i, await this.#say(look, i, read));
    });
    if (biform) {
      const { budget } = this.#options;
      const known = async (i: number) => ({
        layer: geometryOf(opened.model.layers[i]!.attention),
        portrait: await look.portrait(i, layerAt(opened, i)),
      });
      const shared = this.#options.wanted.r === undefined ? budget : undefined;
      const chosen = await chooseTurns({ layers, known, budget: shared, text: text !== undefined, watch }, wanted);
      this.#wanted = chosen.wanted;
      this.#kept = chosen.kept;
    }
    return look;
  }

  /**
   * What each layer would lose by rank, where that is not known yet. Layer by layer: no more than one is in memory. `alone`: nothing is
   * made of it afterwards.
   */
  async price(
    known?: Pick<Price, "layers" | "ranks"> & { readonly wanted: Pick<Wanted, "c" | "r"> },
    alone = false,
  ): Promise<Price> {
    const layers: LayerPrice[] = known ? [...known.layers] : [];
    if (known) this.#wanted = { ...this.#wanted, c: known.wanted.c, r: known.wanted.r };
    this.#ranks = known?.ranks;
    const explained: Float64Array[] = [];
    for (const [done, i] of known ? [] : this.layers.entries()) {
      const look = await this.#known();
      const { own, weight } = this.#said.get(i) ?? (await this.#say(look, i, layerAt(this.layered, i), alone));
      explained.push(own);
      const lost = lostShares(own, this.wanted.method === "merge" ? own.length - 1 : own.length);
      layers.push({ layer: i, whole: lost.whole * weight, lost: Array.from(lost.shares) });
      this.#watch("pricing", done + 1, this.layers.length);
    }
    if (this.#options.byLayer && !known)
      this.#ranks = ranksByLayer(
        this.wanted,
        explained,
        this.#options.text ? layers.map(({ whole }) => whole) : undefined,
      );
    return { wanted: this.wanted, layers, ranks: this.#ranks, ...this.#caches(), notes: this.notes };
  }

  async #say(look: Look, i: number, read: ReadOnce, alone = false): Promise<Said> {
    const { wanted } = this;
    const found = alone
      ? await look.ranks(i, read, wanted, this.#kept)
      : (await look.explained(i, read, wanted, this.#kept))?.map(({ spectrum }) => spectrum.explained);
    const own = found ?? ownLengths((await read()).layer, wanted, await look.seen(i, read, wanted, this.#kept));
    return { own: sumExplained(own), weight: await look.weight(i) };
  }

  /** Numbers that a token leaves in a layer, before and after, in the mean of layers. */
  #caches(): Pick<Price, "before" | "after" | "depth"> {
    const { wanted, layers } = this;
    const all = this.opened.model.layers.map(({ attention: { variant, sizes } }) => cacheValues(variant, sizes));
    const made = all.map((own, i) => (layers.includes(i) ? numbersAt(wanted.c, wanted) : own));
    const mean = (of: readonly number[]) => of.reduce((a, b) => a + b, 0) / of.length;
    return { before: mean(all), after: mean(made), depth: all.length };
  }

  /** One layer converted, under no norm yet. */
  async convert(i: number): Promise<Finished> {
    const look = await this.#known();
    const read = layerAt(this.layered, i);
    const wanted = { ...this.wanted, c: this.#ranks?.[this.layers.indexOf(i)] ?? this.wanted.c };
    const seen = await look.seen(i, read, wanted, this.#kept);
    const explained = await look.explained(i, read, wanted, this.#kept);
    const { layer, gains } = await read();
    const made = convertLayer(layer, wanted, seen, explained);
    return { layer: wanted.variant === "GQLA" ? shareHeads(made, layer.keyGroups) : made, gains };
  }

  /** What tells this conversion from others: the source, by its config and the first bytes of every tensor, and all that was asked. */
  key(): Promise<string> {
    const { text, tokens, length, wanted, budget, byLayer } = this.#options;
    return this.#keyOf([wanted, budget, byLayer, text, tokens, length]);
  }

  async #keyOf(asked: unknown): Promise<string> {
    const { tensors, config } = this.opened;
    const hash = createHash("sha256").update(JSON.stringify([config, asked]));
    for (const name of tensors.names) {
      const { dtype, shape, begin, end } = tensors.entry(name);
      const bytes = new Uint8Array(Math.min(64, end - begin));
      await tensors.readBytes(name, 0, bytes);
      hash.update(`${name} ${dtype} ${shape}`).update(bytes);
    }
    return hash.digest("hex");
  }

  /** Removes what was kept for the while; `all`: also where the caller said where, since nothing more is to come of it. */
  async close(all = false): Promise<void> {
    await this.#opened?.close();
    const { look } = this.#options;
    if (all && look !== undefined) await Shelf.remove(look, "look");
  }
}
