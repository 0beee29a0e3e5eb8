import { arrange } from "../checkpoint/arrangement.ts";
import type { Opened } from "../checkpoint/open.ts";
import { openModel } from "../checkpoint/open.ts";
import { readNumbers } from "../convert/grouped.ts";
import type { TensorToWrite } from "../file/safetensors.ts";
import { type LoadedModel, load } from "../generate/load.ts";
import { type Model, type Parameter, parametersOf } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { FormatError } from "../tensor/error.ts";
import { type Device, sizeOf, type Tensor, tensor } from "../tensor/tensor.ts";
import { type Released, releaseNorms } from "./release.ts";

/** Which of a student's parameters are trained. */
export const parts = ["attention", "all"] as const;

/** A converted model as it is trained. */
export interface Student {
  readonly loaded: LoadedModel;
  readonly opened: Opened;
  readonly model: Model;
  readonly weights: Weights;
  /** What is trained, in the model's order. */
  readonly parameters: readonly Parameter[];
  readonly released: readonly Released[];
  close(): void;
}

/**
 * Opens a folder to be trained on, plain and with its still norms released. Throws FormatError for a GGUF file, DeviceError where it
 * does not fit into one memory.
 */
export async function openStudent(path: string, device: Device, part: (typeof parts)[number]): Promise<Student> {
  const opened = await openModel(path);
  if (opened.gguf)
    throw new FormatError(`${path}: got a GGUF file, expected a folder; convert into a folder, and heal that`);
  if (part === "all" && opened.model.layers.some(({ feed }) => feed.kind === "experts"))
    throw new FormatError(`${path}: got experts, expected dense layers where all is trained; train the attention`);
  const loaded = await load(path, { device, weights: "plain" });
  const fresh: Tensor[] = [];
  try {
    const weights = new Map(loaded.weights);
    const odd = [...weights].find(([, t]) => t.device !== device);
    if (odd)
      throw new FormatError(
        `${path}: got ${odd[0]} in a second memory, expected all in one of 4 GiB; smaller models are healed`,
      );
    const released: Released[] = [];
    for (const [i, { attention }] of loaded.model.layers.entries()) {
      const gains = await weights.get(`layers.${i}.normAttention`)!.read();
      released.push(releaseNorms(attention, await readNumbers(weights, i), gains));
    }
    const model = {
      ...loaded.model,
      layers: loaded.model.layers.map((layer, i) => ({ ...layer, attention: released[i]!.attention })),
    };
    const all = parametersOf(model);
    const ordered = new Map<string, Tensor>();
    for (const { name, shape } of all) {
      const [, layer, parameter] = /^layers\.(\d+)\.attention\.(.+)$/.exec(name) ?? [];
      if (!layer) {
        ordered.set(name, weights.get(name)!);
        continue;
      }
      const t = tensor(device, shape, released[Number(layer)]!.numbers.get(parameter!)!);
      fresh.push(t);
      ordered.set(name, t);
      weights.get(name)?.free();
    }
    // A bottleneck whose norm is held and that is no identity stays as it is: its numbers are too small to be stepped.
    const trained = part === "all" ? all : all.filter(({ name }) => /\.attention\.(?!wDQ|bDQ|gQ)/.test(name));
    return {
      loaded,
      opened,
      model,
      weights: ordered,
      parameters: trained,
      released,
      close() {
        for (const t of fresh) t.free();
        loaded.close();
      },
    };
  } catch (error) {
    for (const t of fresh) t.free();
    loaded.close();
    throw error;
  }
}

/** The checkpoint's tensors with what was trained in them; all others as they are, one at a time. */
export function healedTensors({ opened, weights, parameters, released }: Student): TensorToWrite[] {
  const { sources, tensors } = opened;
  const trained = new Set(parameters.map(({ name }) => name));
  // An attention's parameters are held together, so a layer with a trained one is written whole.
  const layerOf = (name: string) => /^layers\.(\d+)\.attention\./.exec(name)?.[1];
  const layers = new Set([...trained].flatMap((name) => layerOf(name) ?? []));
  const parts = new Map<string, string[]>();
  for (const [name, source] of sources) {
    const layer = layerOf(name);
    if (layer === undefined ? !trained.has(name) : !layers.has(layer)) continue;
    for (const file of source.tensors) parts.set(file, [...(parts.get(file) ?? []), name]);
  }
  let last: { layer: string; numbers: Promise<ReadonlyMap<string, ArrayLike<number>>> } | undefined;
  const numbersOf = async (name: string) => {
    const layer = layerOf(name);
    if (layer === undefined) return weights.get(name)!.read();
    if (last?.layer !== layer) last = { layer, numbers: held(Number(layer)) };
    return (await last.numbers).get(name.replace(/^layers\.\d+\.attention\./, ""))!;
  };
  const held = async (i: number) => {
    const gains = await weights.get(`layers.${i}.normAttention`)!.read();
    return released[i]!.hold(await readNumbers(weights, i), gains);
  };
  return tensors.names.map((name) => {
    const { shape, dtype } = tensors.entry(name);
    const own = parts.get(name);
    return {
      name,
      shape,
      dtype: dtype as "F32",
      async data() {
        const file = (await tensors.read(name)) as Float32Array;
        if (!own) return file;
        const values = new Float32Array(sizeOf(shape));
        values.set(file);
        for (const parameter of own)
          arrange(
            { file: values, ours: Float32Array.from(await numbersOf(parameter)) },
            sources.get(parameter)!,
            "write",
          );
        return values;
      },
    };
  });
}
