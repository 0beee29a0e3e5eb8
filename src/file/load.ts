import { deepseek, deepseek3, deepseek32 } from "../model/deepseek.ts";
import type { Config, Family, Rows, Scales, Source, Sources } from "../model/family.ts";
import { glm } from "../model/glm.ts";
import { llama } from "../model/llama.ts";
import { minicpm } from "../model/minicpm.ts";
import { type Model, type Parameter, parametersOf } from "../model/model.ts";
import { qwen } from "../model/qwen.ts";
import type { Weights } from "../model/transformer.ts";
import { youtu } from "../model/youtu.ts";
import { FormatError, ShapeError } from "../tensor/error.ts";
import { type Device, type Numbers, sizeOf, Tensor } from "../tensor/tensor.ts";
import { openFolder } from "./folder.ts";
import { clip } from "./header.ts";
import { readPacked } from "./pack.ts";
import { missing, type TensorReader } from "./safetensors.ts";

/** Every family of checkpoints there is; adding one is a file and a line here. */
export const families: readonly Family[] = [llama, qwen, deepseek, deepseek3, deepseek32, glm, youtu, minicpm];

/** A checkpoint ready to run. */
export interface Loaded {
  readonly model: Model;
  readonly weights: Weights;
  readonly config: Config;
}

/** The family that reads this `model_type`, if any. */
export function familyOf(modelType: unknown): Family | undefined {
  return families.find(({ modelTypes }) => modelTypes.some((known) => known === modelType));
}

/**
 * Loads a Hugging Face style checkpoint folder onto a device, one parameter at a time. All names and shapes are checked
 * against the config before the first number is read. `override` replaces keys of config.json. With `weights` "packed",
 * matrices stay in the format of their file on a device that can compute with it: for inference.
 *
 * Errors: FormatError naming the file and the key or tensor; DeviceError where the device's memory is too small.
 */
export async function loadModel(
  dir: string,
  device: Device,
  override: Config = {},
  weights: "plain" | "packed" = "plain",
): Promise<Loaded> {
  const { config: stored, tensors } = await openFolder(dir);
  const config = { ...stored, ...override };
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
  checkTensors(tensors, sources, (name) => family.ignores(name, model, config));
  return { model, weights: await readWeights(tensors, parameters, sources, device, weights), config };
}

/** Throws FormatError for a tensor that is missing, of another shape or not of floats, or that nothing asks for. */
export function checkTensors(reader: TensorReader, sources: Sources, ignored?: (name: string) => boolean): void {
  const wanted = new Set<string>();
  for (const { tensors, shape, scales } of sources.values())
    for (const name of tensors) {
      wanted.add(name);
      if (!reader.has(name)) throw missing(reader.file, name, reader.names);
      const entry = reader.entry(name);
      const subject = `${reader.file}: ${clip(name)}`;
      if (entry.shape.length !== shape.length || entry.shape.some((n, i) => n !== shape[i]))
        throw new FormatError(
          `${subject}: got [${entry.shape}], expected [${shape}] by the config; config and weights do not belong together`,
        );
      if (scales && entry.dtype === "F8_E4M3") {
        const [blocks, theirs] = [scaleShape(shape, scales), `${name}${scales.suffix}`];
        wanted.add(theirs);
        if (!reader.has(theirs)) throw missing(reader.file, theirs, reader.names);
        const { shape: got, dtype } = reader.entry(theirs);
        if (`${got}` !== `${blocks}` || !/^(F32|BF16)$/.test(dtype))
          throw new FormatError(
            `${reader.file}: ${clip(theirs)}: got ${dtype} [${got}], expected F32 [${blocks}], one scale for each block of ${clip(name)}`,
          );
      } else if (!/^(F64|F32|F16|BF16)$/.test(entry.dtype))
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
  lay: "plain" | "packed" = "plain",
): Promise<Weights> {
  const weights = new Map<string, Tensor>();
  // Neighbouring parameters are often rows of one tensor: the last one read is kept.
  let last: { name: string; values: ArrayLike<number> } | undefined;
  const read = async (name: string, { shape, scales }: Source) => {
    if (last?.name !== name) {
      last = undefined;
      const values = (await reader.read(name)) as Numbers;
      if (scales && reader.entry(name).dtype === "F8_E4M3")
        scale(values, shape, scales, (await reader.read(`${name}${scales.suffix}`)) as Numbers);
      last = { name, values };
    }
    return last.values;
  };
  try {
    for (const parameter of parameters) {
      const { name, shape } = parameter;
      const source = sources.get(name);
      if (!source) throw new FormatError(`internal: parameter ${name} has no source`);
      const each = elementsOf(source);
      if (each * source.tensors.length !== sizeOf(shape))
        throw new FormatError(`internal: parameter ${name} [${shape}] and its source of ${each} numbers do not fit`);
      const packed =
        lay === "packed" && device.kind === "wasm"
          ? await readPacked(reader, parameter, source, device, read)
          : undefined;
      const t = packed ?? new Tensor(device, shape);
      weights.set(name, t);
      if (packed) continue;
      const stack = t.reshape([source.tensors.length, each]);
      const part: Numbers = device.elementBytes === 8 ? new Float64Array(each) : new Float32Array(each);
      for (const [i, tensor] of source.tensors.entries()) {
        arrange(await read(tensor, source), source, part);
        stack.rows(i, i + 1).write(part);
      }
    }
  } catch (error) {
    for (const t of weights.values()) t.free();
    throw error;
  }
  return weights;
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

/** Numbers that one tensor of a source contributes. */
function elementsOf({ shape, rows }: Source): number {
  const [out = 1, ...inner] = shape;
  return (rows ? rows.count * (rows.to - rows.from) : out) * sizeOf(inner);
}

/** Chooses a tensor's rows and lays them out as ours. `into` holds exactly what is chosen. */
function arrange(values: ArrayLike<number>, { shape, rows, layout }: Source, into: Numbers): void {
  const [out = 1, ...inner] = shape;
  const width = sizeOf(inner);
  const { count, block, from, to, order }: Rows = rows ?? { count: 1, block: out, from: 0, to: out };
  const chosen = count * (to - from);
  // Our element (row, column) goes to row * across + column * down.
  const [across, down] = layout === "transposed" ? [1, chosen] : [width, 1];
  for (let head = 0, row = 0; head < count; head++)
    for (let r = from; r < to; r++, row++) {
      const start = (head * block + (order ? from + order[r - from]! : r)) * width;
      for (let column = 0; column < width; column++) into[row * across + column * down] = values[start + column]!;
    }
}
