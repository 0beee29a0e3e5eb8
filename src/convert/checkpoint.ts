import { arrange } from "../checkpoint/arrangement.ts";
import { readWeights } from "../checkpoint/load.ts";
import type { Opened } from "../checkpoint/open.ts";
import { type Recast, recast } from "../checkpoint/recast.ts";
import { ReferenceDevice } from "../device/reference.ts";
import type { Sources } from "../family/source.ts";
import type { Values } from "../file/dtype.ts";
import { keepGroup } from "../file/group.ts";
import { clip } from "../file/header.ts";
import { readRows } from "../file/safetensors.ts";
import { type Model, parametersOf } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { isQuant, type Quant } from "../tensor/quant.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type GroupedLayer, groupedLayer, type Numbers64, readNumbers } from "./grouped.ts";
import { type Factors, factorOf } from "./residual.ts";

/** A layer of a checkpoint in float64, and the gains of the norm before its attention. */
export interface ReadLayer {
  readonly layer: GroupedLayer;
  readonly gains: Float64Array;
}

/** Throws FormatError, naming the tensor, where its numbers are none. */
function checkFinite(file: string, tensor: string, values: Values): void {
  for (const x of values)
    if (!Number.isFinite(x))
      throw new FormatError(`${file}: ${clip(tensor)}: got ${x}, expected finite numbers; the checkpoint is damaged`);
}

/**
 * Throws FormatError for a layer into which hidden states go that are no numbers, naming the first tensor before it that has none. It
 * reads them all.
 */
export async function blameStates({ parameters, sources, tensors }: Opened, layer: number): Promise<never> {
  for (const { name } of parameters) {
    const [, own = -1] = /^layers\.(\d+)\./.exec(name) ?? [];
    if (Number(own) <= layer)
      for (const tensor of sources.get(name)!.tensors) checkFinite(tensors.file, tensor, await tensors.read(tensor));
  }
  throw new FormatError(
    `${tensors.file}: layer ${layer}: got hidden states that are no numbers, expected finite ones; float32 is too narrow for this model`,
  );
}

/**
 * Reads one layer's attention and nothing else: what it takes is freed when it is forgotten. Throws FormatError, naming the tensor
 * where its numbers are none.
 */
export async function readLayer({ model, parameters, sources, tensors }: Opened, i: number): Promise<ReadLayer> {
  const norm = `layers.${i}.normAttention`;
  const own = parameters.filter(({ name }) => name === norm || name.startsWith(`layers.${i}.attention.`));
  const weights = await readWeights(tensors, own, sources, new ReferenceDevice());
  const numbers = await readNumbers(weights, i);
  const gains = Float64Array.from(await weights.get(norm)!.read());
  const check = (name: string, values: Float64Array) =>
    checkFinite(tensors.file, sources.get(name)!.tensors[0]!, values);
  check(norm, gains);
  for (const [name, values] of numbers) check(`layers.${i}.attention.${name}`, values);
  return { layer: groupedLayer(`${tensors.file}: layer ${i}`, model.layers[i]!.attention, numbers), gains };
}

/** A layer that is read once it is asked for. */
export type ReadOnce = () => Promise<ReadLayer>;

export function layerAt(opened: Opened, i: number): ReadOnce {
  let read: Promise<ReadLayer> | undefined;
  return () => {
    read ??= readLayer(opened, i);
    return read;
  };
}

/** The same checkpoint, of which the tensors of the layer that was read last are kept: see `keepGroup`. */
export function keepLayer(opened: Opened): Opened {
  const layers = new Map<string, number>();
  for (const [parameter, { tensors, scales }] of opened.sources) {
    const [, layer] = /^layers\.(\d+)\./.exec(parameter) ?? [];
    if (layer === undefined) continue;
    for (const name of tensors)
      for (const suffix of ["", scales?.suffix ?? ""]) layers.set(name + suffix, Number(layer));
  }
  return { ...opened, tensors: keepGroup(opened.tensors, (name) => layers.get(name)) };
}

/** The type of blocks that the attention's matrices lie in, where they do; undefined where they are floats. */
export function quantisedAs({ tensors, sources }: Opened): Quant | undefined {
  for (const [name, source] of sources)
    if (/attention\.w[QKV]$/.test(name)) {
      const { dtype } = tensors.entry(source.tensors[0]!);
      if (isQuant(dtype)) return dtype;
    }
  return undefined;
}

/** What is to be written, of which source. */
export interface Writing {
  readonly opened: Opened;
  /** What is written, and where its parameters are to lie. */
  readonly model: Model;
  readonly targets: Sources;
  /** What the parameters outside attention are multiplied by. */
  readonly factors: Factors;
  /** Those that are converted. */
  readonly layers: readonly number[];
  /** The attention of one of them by parameter, asked for one layer after the other. */
  make(layer: number): Promise<Numbers64>;
}

/** Sources with a head: the embedding's transpose, where there is none of its own. */
export function withHead(sources: Sources): Sources {
  if (sources.has("head")) return sources;
  return new Map([...sources, ["head", { ...sources.get("embed")!, layout: "transposed" }]]);
}

/** A tensor multiplied by a factor, in its place. */
function scaled(tensor: Recast, factor: number): Recast {
  if (factor === 1) return tensor;
  const { data, pieces } = tensor;
  const scale = (values: Float32Array) => {
    for (let i = 0; i < values.length; i++) values[i]! *= factor;
    return values;
  };
  async function* all(of: AsyncIterable<Float32Array>) {
    for await (const piece of of) yield scale(piece);
  }
  return { ...tensor, data: async () => scale(await data()), pieces: pieces && (() => all(pieces())) };
}

/**
 * The tensors of a converted checkpoint: attention from `make`, all else from the source, moved and multiplied by its factor. Throws
 * FormatError for a parameter that the target has no place for, and when read, naming the tensor, for numbers that are none.
 */
export function convertedTensors({ opened, model, targets, factors, layers, make }: Writing): Recast[] {
  const all = parametersOf(model);
  /** The converted layer that a parameter is of the attention of. */
  const own = (name: string) => {
    const [, layer, parameter] = /^layers\.(\d+)\.attention\.(.+)$/.exec(name) ?? [];
    return parameter && layers.includes(Number(layer)) ? { layer: Number(layer), parameter } : undefined;
  };
  const others = all.filter(({ name }) => !own(name));
  const floats = (name: string, values: Values) => {
    checkFinite(opened.tensors.file, name, values);
    return values instanceof Float32Array ? values : Float32Array.from(values);
  };
  const read = async (name: string) => floats(name, await opened.tensors.read(name));
  const rows = async (name: string, first: number, count: number) =>
    floats(name, await readRows(opened.tensors, name, first, count));
  const moved = recast(others, withHead(opened.sources), targets, read, rows).map((tensor) =>
    scaled(tensor, factorOf(tensor.parameters[0]!, factors)),
  );
  const made = new Map<
    string,
    { shape: readonly number[]; layer: number; parts: { parameter: string; target: string }[] }
  >();
  for (const { name } of all) {
    const found = own(name);
    if (!found) continue;
    const { layer, parameter } = found;
    const { tensors, shape } = targets.get(name)!;
    const known = made.get(tensors[0]!) ?? { shape, layer, parts: [] };
    known.parts.push({ parameter, target: name });
    made.set(tensors[0]!, known);
  }
  // Tensors are written layer by layer: the last layer is kept until another is asked for.
  let last: { layer: number; numbers: Promise<Numbers64> } | undefined;
  const numbersOf = (layer: number) => {
    if (last?.layer !== layer) last = { layer, numbers: make(layer) };
    return last.numbers;
  };
  const attention = [...made].map(
    ([name, { shape, layer, parts }]): Recast => ({
      name,
      shape,
      parameters: parts.map(({ target }) => target),
      plain: parts.some(({ target }) => targets.get(target)!.plain),
      async data() {
        const numbers = await numbersOf(layer);
        const file = new Float32Array(sizeOf(shape));
        for (const { parameter, target } of parts)
          arrange({ file, ours: Float32Array.from(numbers.get(parameter)!) }, targets.get(target)!, "write");
        return file;
      },
    }),
  );
  return [...moved, ...attention];
}
