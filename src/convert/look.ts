import { openDevice } from "../device/open.ts";
import { join, randomBytes, tmpdir } from "../tensor/node.ts";
import { blameStates, layerAt, type ReadOnce, readLayer } from "./checkpoint.ts";
import { type Geometry, geometryOf } from "./grouped.ts";
import {
  explainedKept,
  halfOf,
  inputsKept,
  isSound,
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
  explainedWithin,
  gathers,
  latentsOf,
  measuresOf,
  placePositions,
  type Seen,
  type Turned,
  type Wanted,
  weighs,
} from "./method.ts";
import { PairLengths } from "./mhatomla.ts";
import { type Inputs, inputsOf, momentsOf, readInputs } from "./moment.ts";
import { type Portrait, portraitOf } from "./portrait.ts";
import { type Passage, sequencesOf } from "./sequences.ts";
import { Shelf } from "./shelf.ts";
import { blindMoment } from "./spectrum.ts";
import { fileStack, type Stack, showInputs, walkLayers, withAttention } from "./stack.ts";
import { explainedAlone } from "./subspace.ts";

/** A checkpoint, which of its layers are converted, and the text that it reads, if any. */
export interface Reading extends Passage {
  readonly layers: readonly number[];
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

  /**
   * Looks at the text for what a method asks of it, where there is one and that is not known yet: all of it at once, layer after layer.
   * `then` is given each converted layer once all is known of it, while it is at hand. Throws FormatError, and as `openDevice` and
   * `runBlock`.
   */
  async read(wanted: Wanted, then: (layer: number, read: ReadOnce) => Promise<void>): Promise<void> {
    const { opened, text, threads, layers, watch } = this.#reading;
    if (text === undefined || wanted.method === "exact") return;
    const missing: Sight[] = [];
    for (const sight of this.#sights(wanted)) if (!(await this.#shelf.has(sight.name))) missing.push(sight);
    if (!missing.length) return;
    const sequences = await sequencesOf(this.#reading);
    const device = await openDevice("wasm", threads);
    const walks = missing.map(({ name, see }) => ({ name, walk: see(fileStack(opened, device), sequences) }));
    try {
      const depth = opened.model.layers.length;
      for (let i = 0; i < depth; i++) {
        for (const { name, walk } of walks) {
          const { value } = await walk.next();
          if (value && !isSound(value)) await blameStates(opened, i);
          if (value) await this.#shelf.keep(name, i, value);
        }
        if (layers.includes(i)) await then(i, layerAt(opened, i));
        watch(missing[0]!.what, i + 1, depth);
      }
      for (const { name } of walks) await this.#shelf.note(name, true);
    } finally {
      for (const { walk } of walks) await walk.return(undefined);
      device.close();
    }
  }

  /** What a method asks of text. Each walk is a layer behind those that it needs, so that its own layer is at hand. */
  #sights(wanted: Wanted): Sight[] {
    const inputs: Sight = { name: "inputs", what: "looking at text", see: (...of) => this.#seeInputs(...of) };
    const { method, selection } = wanted;
    const name = secondBy(wanted);
    if (method === "care-sequential") {
      const what = "looking at text, layer by converted layer";
      return [{ name, what, see: (...of) => this.#seeInTurn(...of, wanted) }, inputs];
    }
    if (gathers(method)) {
      const what = "looking at text without far turns";
      return [inputs, { name, what, see: (...of) => this.#seeGathered(...of, wanted) }];
    }
    if (method === "mha2mla" && selection === "2-norm")
      return [inputs, { name: "pairs", what: "ranking pairs", see: (...of) => this.#rankPairs(...of) }];
    return [inputs];
  }

  async *#seeInputs(stack: Stack, sequences: readonly Int32Array[]): Walk {
    const { layers } = this.#reading;
    for await (const inputs of inputsOf(stack, sequences, (layer) => layers.includes(layer)))
      yield inputs && keepInputs(inputs);
  }

  async *#rankPairs(stack: Stack, sequences: readonly Int32Array[]): Walk {
    const { layers, opened } = this.#reading;
    for await (const step of walkLayers(stack, sequences)) {
      if (!layers.includes(step.layer)) {
        yield undefined;
        continue;
      }
      const lengths = new PairLengths((await readLayer(opened, step.layer)).layer);
      await showInputs(step, async (x) => lengths.add(await readInputs(x)));
      const ranks = Float64Array.from(lengths.rank());
      yield { ranks: matrix(1, ranks.length, ranks) };
    }
  }

  /** In the model whose positions are gathered and nothing else. */
  async *#seeGathered(stack: Stack, sequences: readonly Int32Array[], wanted: Wanted): Walk {
    const { layers, opened } = this.#reading;
    const gathered = withAttention(stack, async (i) => {
      if (!layers.includes(i)) return undefined;
      const read = layerAt(opened, i);
      const { all } = await this.inputs(i, read);
      return standardiseScale(placePositions((await read()).layer, wanted, all).layer);
    });
    for await (const moment of momentsOf(gathered, sequences)) yield { moment: halfOf(moment) };
  }

  /** In the model whose earlier layers are converted already, each by what was seen here. */
  async *#seeInTurn(stack: Stack, sequences: readonly Int32Array[], wanted: Wanted): Walk {
    const { layers, opened } = this.#reading;
    const become = async (i: number) => {
      if (!layers.includes(i)) return undefined;
      const read = layerAt(opened, i);
      const seen = await this.seen(i, read, wanted, undefined);
      return standardiseScale(convertLayer((await read()).layer, wanted, seen));
    };
    for await (const moment of momentsOf(stack, sequences, become)) yield { moment: halfOf(moment) };
  }

  /** A layer's inputs by text, or where there is none as if all directions were alike before the norm's gains. */
  async inputs(i: number, read: ReadOnce): Promise<Inputs> {
    const kept = this.#reading.text === undefined ? undefined : await this.#shelf.kept("inputs", i);
    if (kept) return inputsKept(kept);
    const moment = blindMoment((await read()).gains);
    const { h } = this.#reading.opened.model.layers[i]!.attention.sizes;
    return { all: moment, read: moment, weight: 1, sharpness: new Float64Array(h).fill(1) };
  }

  /** What a layer's errors count for: see `Inputs`. */
  async weight(i: number): Promise<number> {
    const kept = this.#reading.text === undefined ? undefined : await this.#shelf.kept("inputs", i);
    return kept ? kept.weight!.values[0]! : 1;
  }

  /** A layer's portrait. */
  portrait(i: number, read: ReadOnce): Promise<Portrait> {
    const make = async () => keepPortrait(portraitOf((await read()).layer, await this.inputs(i, read)));
    return this.#once("portrait", i, make).then(portraitKept);
  }

  /** What a conversion by this method is told of a layer; `kept` as in `Seen`. */
  async seen(i: number, read: ReadOnce, wanted: Wanted, kept: Seen["kept"]): Promise<Seen> {
    const matrixOf = async (name: string, key: string) => (await this.#shelf.kept(name, i))?.[key];
    const own = wanted.method === "biform" ? await this.portrait(i, read) : undefined;
    const second = gathers(wanted.method) ? await matrixOf(secondBy(wanted), "moment") : undefined;
    const pairs = wanted.method === "mha2mla" ? await matrixOf("pairs", "ranks") : undefined;
    return {
      inputs: await this.inputs(i, read),
      portrait: own,
      second: second && wholeOf(second),
      ranks: pairs && Int32Array.from(pairs.values),
      kept,
    };
  }

  /** What the ranks of each of a layer's latents explain, of a method that has a spectrum; it is the same for every rank. */
  async explained(i: number, read: ReadOnce, wanted: Wanted, kept: Seen["kept"]): Promise<Explained[] | undefined> {
    const { method, r, fold, context, biases } = wanted;
    if (method !== "biform" && !weighs(method)) return undefined;
    const count = latentsOf(wanted);
    const own = method === "care-sequential" ? `${secondBy(wanted)}-` : "";
    const name = `spectrum-${own}${method}-${r}-${fold ?? 0}-${context}-${biases ? "about" : "whole"}`;
    const explain = async () =>
      method === "biform"
        ? explainedWithin(this.#geometry(i), await this.#turned(i, read, kept), wanted)
        : explainedBy((await read()).layer, wanted, await this.seen(i, read, wanted, kept))!;
    let made: Explained[] | undefined;
    const all: Explained[] = [];
    for (let part = 0; part < count; part++) {
      const make = async () => {
        made ??= await explain();
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
  async ranks(i: number, read: ReadOnce, wanted: Wanted, kept: Seen["kept"]): Promise<Float64Array[] | undefined> {
    if (wanted.method === "biform")
      return measuresOf(this.#geometry(i), await this.#turned(i, read, kept), wanted).map(({ moment, metric }) =>
        explainedAlone(moment, metric),
      );
    return (await this.explained(i, read, wanted, kept))?.map(({ spectrum }) => spectrum.explained);
  }

  #geometry(i: number): Geometry {
    return geometryOf(this.#reading.opened.model.layers[i]!.attention);
  }

  async #turned(i: number, read: ReadOnce, kept: Seen["kept"]): Promise<Turned> {
    return { portrait: await this.portrait(i, read), kept: kept! };
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

/** What is seen of each layer in turn, undefined of one that is not asked about. */
type Walk = AsyncGenerator<Kept | undefined, void, undefined>;

/** One of the things that text tells: where it is kept, what that is called while it is done, and how it is seen. */
interface Sight {
  readonly name: string;
  readonly what: string;
  see(stack: Stack, sequences: readonly Int32Array[]): Walk;
}

/** Where second moments are kept: those of earlier layers' conversions change with the rank, all others do not. */
const secondBy = ({ method, c, r, fold }: Wanted) =>
  `${method === "care-sequential" ? `sequential-${c}` : "gathered"}-${r}-${fold ?? 0}`;
