import { deepseek } from "../model/deepseek.ts";
import type { Config, Family, Source, Sources } from "../model/family.ts";
import { llama } from "../model/llama.ts";
import { type Model, type Parameter, parametersOf } from "../model/model.ts";
import type { Weights } from "../model/transformer.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { type Device, type Numbers, sizeOf, Tensor } from "../tensor/tensor.ts";
import { openFolder } from "./folder.ts";
import { clip } from "./header.ts";
import { missing, type TensorReader } from "./safetensors.ts";

/** Every family of checkpoints there is; adding one is a file and a line here. */
export const families: readonly Family[] = [llama, deepseek];

/** A checkpoint ready to run. */
export interface Loaded {
  readonly model: Model;
  readonly weights: Weights;
  readonly config: Config;
}

/** Sees how many numbers have been read, of how many. */
export type Watch = (done: number, total: number) => void;

/** The family that reads this `model_type`, if any. */
export function familyOf(modelType: unknown): Family | undefined {
  return families.find(({ modelTypes }) => modelTypes.some((known) => known === modelType));
}

/**
 * Loads a Hugging Face style checkpoint folder onto a device, one parameter at a time. All names and shapes are checked
 * against the config before the first number is read.
 *
 * Errors: FormatError naming the file and the key or tensor; DeviceError where the device's memory is too small.
 */
export async function loadModel(dir: string, device: Device, options: { watch?: Watch } = {}): Promise<Loaded> {
  const { config, tensors } = await openFolder(dir);
  const family = familyOf(config.model_type);
  if (!family)
    throw new FormatError(
      `${dir}/config.json: model_type: got ${clip(JSON.stringify(config.model_type) ?? "nothing")}, ` +
        `expected one of ${families.flatMap(({ modelTypes }) => modelTypes).join(", ")}; other models are not supported`,
    );
  let model: Model;
  let parameters: Parameter[];
  try {
    model = family.model(config);
    parameters = parametersOf(model);
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof ShapeError)) throw error;
    throw new FormatError(`${dir}/config.json: ${error.message}`, { cause: error });
  }
  const sources = family.sources(model, config);
  checkTensors(tensors, sources, (name) => family.ignores(name, model));
  return { model, weights: await readWeights(tensors, parameters, sources, device, options.watch), config };
}

/** Throws FormatError for a tensor that is missing, of another shape or not of floats, or that nothing asks for. */
export function checkTensors(reader: TensorReader, sources: Sources, ignored?: (name: string) => boolean): void {
  const wanted = new Set<string>();
  for (const { tensors, shape } of sources.values())
    for (const name of tensors) {
      wanted.add(name);
      if (!reader.has(name)) throw missing(reader.file, name, reader.names);
      const entry = reader.entry(name);
      const subject = `${reader.file}: ${clip(name)}`;
      if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i]))
        throw new FormatError(
          `${subject}: got [${entry.shape}], expected [${shape}] by the config; config and weights do not belong together`,
        );
      if (!/^(F64|F32|F16|BF16)$/.test(entry.dtype))
        throw new FormatError(
          `${subject}: got ${entry.dtype}, expected F64, F32, F16 or BF16; quantised weights are not supported`,
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
  device: Device,
  watch?: Watch,
): Promise<Weights> {
  const weights = new Map<string, Tensor>();
  const total = parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  let done = 0;
  // Neighbouring parameters are often rows of one tensor: the last one read is kept.
  let last: { name: string; values: ArrayLike<number> } | undefined;
  const read = async (name: string) => {
    if (last?.name !== name) {
      last = undefined;
      last = { name, values: await reader.read(name) };
    }
    return last.values;
  };
  try {
    for (const { name, shape } of parameters) {
      const source = sources.get(name);
      if (!source) throw new FormatError(`internal: parameter ${name} has no source`);
      const each = elementsOf(source);
      if (each * source.tensors.length !== sizeOf(shape))
        throw new FormatError(`internal: parameter ${name} [${shape}] and its source of ${each} numbers do not fit`);
      const t = new Tensor(device, shape);
      weights.set(name, t);
      const stack = t.reshape([source.tensors.length, each]);
      const part: Numbers = device.elementBytes === 8 ? new Float64Array(each) : new Float32Array(each);
      for (const [i, tensor] of source.tensors.entries()) {
        arrange(await read(tensor), source, part);
        stack.rows(i, i + 1).write(part);
        done += each;
        watch?.(done, total);
      }
    }
  } catch (error) {
    for (const t of weights.values()) t.free();
    throw error;
  }
  return weights;
}

/** Numbers that one tensor of a source contributes. */
function elementsOf({ shape, rows }: Source): number {
  const [out = 1, ...inner] = shape;
  return (rows ? rows.count * (rows.to - rows.from) : out) * sizeOf(inner);
}

/** Chooses a tensor's rows and lays them out as ours. `into` holds exactly what is chosen. */
function arrange(values: ArrayLike<number>, { shape, rows, layout }: Source, into: Numbers): void {
  const [out = 1, ...inner] = shape;
  const width = sizeOf(inner);
  const { count, block, from, to } = rows ?? { count: 1, block: out, from: 0, to: out };
  const chosen = count * (to - from);
  // Our element (row, column) goes to row * across + column * down.
  const [across, down] = layout === "transposed" ? [1, chosen] : [width, 1];
  for (let head = 0, row = 0; head < count; head++)
    for (let r = from; r < to; r++, row++) {
      const start = (head * block + r) * width;
      for (let column = 0; column < width; column++) into[row * across + column * down] = values[start + column]!;
    }
}
