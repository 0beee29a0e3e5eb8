import { arrange } from "../checkpoint/arrangement.ts";
import { readWeights } from "../checkpoint/load.ts";
import type { Opened } from "../checkpoint/open.ts";
import { recast } from "../checkpoint/recast.ts";
import { ReferenceDevice } from "../device/reference.ts";
import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import type { TensorToWrite } from "../file/safetensors.ts";
import { parametersOf } from "../model/model.ts";
import { isQuant } from "../tensor/quant.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { type GroupedLayer, groupedLayer, readNumbers } from "./grouped.ts";
import { type LatentLayer, latentAttention } from "./latent.ts";

/** A layer of a checkpoint in float64, and the gains of the norm before its attention. */
export interface ReadLayer {
  readonly layer: GroupedLayer;
  readonly gains: Float64Array;
}

/** Reads one layer's attention and nothing else: what it takes is freed when it is forgotten. Throws FormatError. */
export async function readLayer({ model, parameters, sources, tensors }: Opened, i: number): Promise<ReadLayer> {
  const norm = `layers.${i}.normAttention`;
  const own = parameters.filter(({ name }) => name === norm || name.startsWith(`layers.${i}.attention.`));
  const weights = await readWeights(tensors, own, sources, new ReferenceDevice());
  const layer = groupedLayer(`${tensors.file}: layer ${i}`, model.layers[i]!.attention, await readNumbers(weights, i));
  return { layer, gains: Float64Array.from(await weights.get(norm)!.read()) };
}

/** Bits of a number in blocks, where the attention's matrices lie so in the file; undefined where they are floats. */
export function quantisedAs({ tensors, sources }: Opened): string | undefined {
  for (const [name, source] of sources)
    if (/attention\.w[QKV]$/.test(name)) {
      const { dtype } = tensors.entry(source.tensors[0]!);
      if (isQuant(dtype)) return dtype;
    }
  return undefined;
}

/**
 * The tensors of a folder with this config: attention from `make`, which is asked for one layer after the other, all else from the
 * source, moved and not changed. Throws FormatError for a parameter that the target has no place for.
 */
export function convertedTensors(
  opened: Opened,
  config: Config,
  dtype: "F32" | "BF16",
  make: (layer: number) => Promise<LatentLayer>,
): TensorToWrite[] {
  const family = findFamily(config);
  const model = family.model(config);
  const targets = family.sources(model, config);
  const all = parametersOf(model);
  const others = all.filter(({ name }) => !/^layers\.\d+\.attention\./.test(name));
  const read = async (name: string) => Float32Array.from(await opened.tensors.read(name));
  const moved = recast(others, opened.sources, targets, read).map(({ name, shape, data, plain }) => ({
    name,
    shape,
    data,
    dtype: plain || shape.length < 2 ? ("F32" as const) : dtype,
  }));
  const made = new Map<
    string,
    { shape: readonly number[]; layer: number; parts: { parameter: string; target: string }[] }
  >();
  for (const { name } of all) {
    const [, layer, parameter] = /^layers\.(\d+)\.attention\.(.+)$/.exec(name) ?? [];
    if (!layer) continue;
    const { tensors, shape } = targets.get(name)!;
    const known = made.get(tensors[0]!) ?? { shape, layer: Number(layer), parts: [] };
    known.parts.push({ parameter: parameter!, target: name });
    made.set(tensors[0]!, known);
  }
  // Tensors are written layer by layer: the last layer is kept until another is asked for.
  let last: { layer: number; numbers: Promise<ReadonlyMap<string, Float64Array>> } | undefined;
  const numbersOf = (layer: number) => {
    if (last?.layer !== layer)
      last = { layer, numbers: make(layer).then((converted) => latentAttention(converted).numbers) };
    return last.numbers;
  };
  const attention = [...made].map(([name, { shape, layer, parts }]) => ({
    name,
    shape,
    dtype: shape.length < 2 ? ("F32" as const) : dtype,
    async data() {
      const numbers = await numbersOf(layer);
      const file = new Float32Array(sizeOf(shape));
      for (const { parameter, target } of parts)
        arrange({ file, ours: Float32Array.from(numbers.get(parameter)!) }, targets.get(target)!, "write");
      return file;
    },
  }));
  return [...moved, ...attention];
}
