import { availableBytes } from "../device/memory.ts";
import type { Config } from "../family/config.ts";
import type { Scales, Source, Sources } from "../family/source.ts";
import { clip } from "../file/header.ts";
import { missingTensor, type TensorReader } from "../file/safetensors.ts";
import type { Model, Parameter } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { DeviceError, FormatError } from "../tensor/error.ts";
import { isQuant } from "../tensor/quant.ts";
import { type Device, type Numbers, sizeOf, Tensor } from "../tensor/tensor.ts";
import { arrange, elementsOf } from "./arrangement.ts";
import { type Opened, openModel } from "./open.ts";
import { packingOf, readPacked } from "./pack.ts";
import { type Placement, placeModel } from "./place.ts";

/** A checkpoint ready to run. */
export interface Loaded {
  readonly model: Model;
  readonly weights: Weights;
  readonly config: Config;
  /** What was opened by `another`: to be closed once the weights are freed. */
  readonly more: readonly Device[];
}

/** Sees how many numbers have been read, of how many. */
export type Watch = (done: number, total: number) => void;

/** What a load may be told: keys of the config to replace, how weights lie in memory, and who watches it. */
export interface ReadOptions {
  readonly override?: Config;
  /** "packed": matrices stay in the format of their file on a device that can compute with it, for inference. */
  readonly weights?: "plain" | "packed";
  readonly watch?: Watch;
  /** Opens one more device, where one memory is too small for the model. */
  readonly another?: () => Promise<Device>;
  /** Bytes of weights that one memory may take; the device's own capacity unless given. */
  readonly capacity?: number;
}

/**
 * Loads a Hugging Face style checkpoint folder or a GGUF file onto a device, one parameter at a time. All names and shapes are
 * checked against the config before the first number is read.
 *
 * Errors: FormatError naming the file and the key or tensor; DeviceError where the device's memory is too small.
 */
export async function loadModel(path: string, device: Device, options: ReadOptions = {}): Promise<Loaded> {
  return readModel(await openModel(path, options.override ?? {}), device, options);
}

/** As `loadModel`, of a model that is open already. */
export async function readModel(
  opened: Opened,
  device: Device,
  options: Omit<ReadOptions, "override"> = {},
): Promise<Loaded> {
  const { config, model, parameters, sources, tensors, ignores } = opened;
  checkTensors(tensors, sources, ignores);
  const { memories, of } = placementOf(opened, device, options);
  const more: Device[] = [];
  try {
    if (memories > 1 && !options.another)
      throw new DeviceError(
        `${tensors.file}: got weights for ${memories} memories, expected them to fit the device's own`,
      );
    while (more.length < memories - 1) more.push(await options.another!());
    const on = (name: string) => [device, ...more][of(name)]!;
    return { model, weights: await readWeights(tensors, parameters, sources, on, options), config, more };
  } catch (error) {
    for (const extra of more) extra.close();
    throw error;
  }
}

/** Where the parameters are to lie. Throws DeviceError where they cannot. */
function placementOf({ parameters, sources, tensors }: Opened, device: Device, options: ReadOptions): Placement {
  const packed = options.weights === "packed" && device.packedBytes !== undefined;
  const sizes = parameters.map((parameter) => {
    const packing = packed ? packingOf(tensors, parameter, sources.get(parameter.name)!) : undefined;
    const { name, shape } = parameter;
    return [name, packing ? device.packedBytes!(shape, packing) : sizeOf(shape) * device.elementBytes] as const;
  });
  return placeModel(new Map(sizes), { capacity: options.capacity ?? device.capacity, available: availableBytes() });
}

/** Throws FormatError for a tensor that is missing, of another shape or not of floats, or that nothing asks for. */
export function checkTensors(reader: TensorReader, sources: Sources, ignored?: (name: string) => boolean): void {
  const wanted = new Set<string>();
  for (const { tensors, shape, scales, plain } of sources.values())
    for (const name of tensors) {
      wanted.add(name);
      if (!reader.has(name)) throw missingTensor(reader.file, name, reader.names);
      const entry = reader.entry(name);
      const subject = `${reader.file}: ${clip(name)}`;
      const [got, expected] = [entry.shape, shape].map((axes) => (plain ? axes.filter((n) => n !== 1) : axes));
      if (`${got}` !== `${expected}`)
        throw new FormatError(
          `${subject}: got [${entry.shape}], expected [${shape}] by the config; config and weights do not belong together`,
        );
      if (scales && entry.dtype === "F8_E4M3") {
        const [blocks, theirs] = [scaleShape(shape, scales), `${name}${scales.suffix}`];
        wanted.add(theirs);
        if (!reader.has(theirs)) throw missingTensor(reader.file, theirs, reader.names);
        const { shape: got, dtype } = reader.entry(theirs);
        if (`${got}` !== `${blocks}` || !/^(F32|BF16)$/.test(dtype))
          throw new FormatError(
            `${reader.file}: ${clip(theirs)}: got ${dtype} [${got}], expected F32 [${blocks}], one scale for each block of ${clip(name)}`,
          );
      } else if (!/^(F64|F32|F16|BF16)$/.test(entry.dtype) && !isQuant(entry.dtype))
        throw new FormatError(
          `${subject}: got ${entry.dtype}, expected F64, F32, F16, BF16 or blocks of GGUF; other weights are not supported`,
        );
    }
  const extra = reader.names.filter((name) => !wanted.has(name) && !ignored?.(name));
  if (extra.length)
    throw new FormatError(
      `${reader.file}: got ${extra.length} tensors that the config has no place for (${extra.slice(0, 3).map(clip).join(", ")}), ` +
        `expected none; config and weights do not belong together, or the checkpoint has a feature that is not supported`,
    );
}

/** Fills the parameters from a checkpoint by their sources. What was allocated is freed where one fails. */
export async function readWeights(
  reader: TensorReader,
  parameters: readonly Parameter[],
  sources: Sources,
  on: Device | ((name: string) => Device),
  { watch, weights: lay = "plain" }: Pick<ReadOptions, "watch" | "weights"> = {},
): Promise<Weights> {
  const weights = new Map<string, Tensor>();
  const total = parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  let done = 0;
  const count = (numbers: number) => {
    done += numbers;
    watch?.(done, total);
  };
  const read = readerOfWhole(reader);
  try {
    for (const parameter of parameters) {
      const { name, shape } = parameter;
      const device = typeof on === "function" ? on(name) : on;
      const source = checkSource(parameter, sources.get(name));
      const packed =
        lay === "packed" && device.packedBytes ? await readPacked(reader, parameter, source, device, read) : undefined;
      const t = packed ?? new Tensor(device, shape);
      weights.set(name, t);
      if (packed) count(sizeOf(shape));
      else await readPlain(t, source, { file: reader.file, read, count });
    }
  } catch (error) {
    for (const t of weights.values()) t.free();
    throw error;
  }
  return weights;
}

/** A parameter's source. Throws FormatError where a family gives none, or one of another size. */
function checkSource({ name, shape }: Parameter, source: Source | undefined): Source {
  if (!source) throw new FormatError(`internal: parameter ${name} has no source`);
  const { slices = 1, tensors } = source;
  const each = elementsOf(source);
  if (each * slices * tensors.length !== sizeOf(shape))
    throw new FormatError(`internal: parameter ${name} [${shape}] and its source of ${each} numbers do not fit`);
  return source;
}

/** Reads a whole tensor as numbers, those in 8 bits times their scales. */
type ReadWhole = (name: string, source: Source) => Promise<Numbers>;

/** A reader of whole tensors that keeps the last: neighbouring parameters are often rows of one tensor. */
function readerOfWhole(reader: TensorReader): ReadWhole {
  let last: { name: string; values: Numbers } | undefined;
  return async (name, { shape, scales }) => {
    if (last?.name === name) return last.values;
    // Before the next is read, so that two are never held.
    last = undefined;
    const values = (await reader.read(name)) as Numbers;
    if (scales && reader.entry(name).dtype === "F8_E4M3")
      scale(values, shape, scales, (await reader.read(`${name}${scales.suffix}`)) as Numbers);
    last = { name, values };
    return values;
  };
}

/** Fills a parameter that lies as plain numbers, matrix by matrix; `count` hears of the numbers of each tensor. */
async function readPlain(
  t: Tensor,
  source: Source,
  { file, read, count }: { file: string; read: ReadWhole; count: (numbers: number) => void },
): Promise<void> {
  const { slices = 1, tensors } = source;
  const each = elementsOf(source);
  const stack = t.reshape([tensors.length * slices, each]);
  const part: Numbers = t.device.elementBytes === 8 ? new Float64Array(each) : new Float32Array(each);
  for (const [i, tensor] of tensors.entries()) {
    const values = await read(tensor, source);
    const size = values.length / slices;
    for (let k = 0; k < slices; k++) {
      arrange({ file: values.subarray(k * size, (k + 1) * size), ours: part }, source, "read");
      const bad = source.holds ? part.findIndex((x) => Number.isNaN(x)) : -1;
      if (bad >= 0)
        throw new FormatError(
          `${file}: ${clip(tensor)}: got ${values[k * size + bad]}, expected ${source.holds === "exp" ? "positive" : "negative"} numbers; ` +
            "the file was written for another kind of layer, or is damaged",
        );
      stack.rows(i * slices + k, i * slices + k + 1).write(part);
    }
    count(each * slices);
  }
}

/** How many scales a matrix has along each axis. */
function scaleShape([out = 1, inputs = 1]: readonly number[], { block: [down, across] }: Scales): [number, number] {
  return [Math.ceil(out / down), Math.ceil(inputs / across)];
}

/** Multiplies each block of a matrix by its scale, in place. */
function scale(values: Numbers, shape: readonly number[], scales: Scales, by: Numbers): void {
  const width = shape[1]!;
  const [down, across] = scales.block;
  const perRow = scaleShape(shape, scales)[1];
  for (let row = 0, at = 0; at < values.length; row++) {
    const first = Math.floor(row / down) * perRow;
    for (let column = 0; column < width; column++, at++) values[at]! *= by[first + Math.floor(column / across)]!;
  }
}
