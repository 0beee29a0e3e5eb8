import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import { describeGguf } from "../family/header.ts";
import type { Source, Sources } from "../family/source.ts";
import type { MlaLayout } from "../family/table.ts";
import type { GgufType } from "../file/gguf.ts";
import type { Metadata, Value } from "../file/metadata.ts";
import type { GgufTensor } from "../file/writer.ts";
import { type Parameter, parametersOf } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { blocks, isQuant } from "../tensor/quant.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { transfer } from "./arrangement.ts";
import { tokenizerMetadata, type Vocabulary } from "./vocabulary.ts";

/** A checkpoint's tensors: their shapes, and how to get one's numbers. */
export interface Tensors {
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  read(name: string): Float32Array | Promise<Float32Array>;
}

/** Some of a tensor's rows, for those that are moved without being whole in memory. */
export type ReadRows = (name: string, first: number, count: number) => Promise<Float32Array>;

/** A tensor of the file to be written, the parameters that lie in it, and how its numbers are made. */
export interface Recast {
  readonly name: string;
  readonly shape: readonly number[];
  readonly parameters: readonly string[];
  /** No matrix, whatever its shape. */
  readonly plain: boolean;
  data(): Promise<Float32Array>;
  /** The same by rows, where these lie in the other file as they do here and could be read apart. */
  readonly pieces?: (() => AsyncIterable<Float32Array>) | undefined;
}

/** Most numbers of a piece of more than a row. */
const PIECE = 1 << 22;

/**
 * A checkpoint's parameters as the tensors of another kind of file, one at a time, each made when asked for: the numbers are
 * moved and nothing else. `from` says where they lie, `to` where they are to lie. With `rows`, tensors that stay as they lie come in
 * pieces too: an embedding may be a gigabyte. Throws FormatError for a parameter that the other kind of file has no place for.
 */
export function recast(
  parameters: readonly Parameter[],
  from: Sources,
  to: Sources,
  read: Tensors["read"],
  rows?: ReadRows,
): Recast[] {
  const made = new Map<string, { shape: readonly number[]; parts: Part[] }>();
  for (const { name } of parameters) {
    const [there, here] = [to.get(name), from.get(name)!];
    if (!there)
      throw new FormatError(`${name}: got a parameter that this kind of file has no tensor for; write a folder`);
    there.tensors.forEach((tensor, i) => {
      const known = made.get(tensor) ?? { shape: there.shape, parts: [] };
      made.set(tensor, known);
      known.parts.push({ parameter: name, here, there, first: i * (there.slices ?? 1) });
    });
  }
  // Neighbouring tensors are often made of one: the last that was read is kept, as long as more of it is asked for.
  const left = new Map<string, number>();
  for (const part of [...made.values()].flatMap(({ parts }) => parts))
    for (const name of namesOf(part)) left.set(name, (left.get(name) ?? 0) + 1);
  let last: { name: string; values: Float32Array } | undefined;
  const readOnce = async (name: string) => {
    const { values } = last?.name === name ? last : { values: await read(name) };
    left.set(name, left.get(name)! - 1);
    last = left.get(name)! > 0 ? { name, values } : undefined;
    return values;
  };
  return [...made].map(([name, { shape, parts }]) => ({
    name,
    shape,
    parameters: parts.map(({ parameter }) => parameter),
    plain: parts.some(({ there }) => there.plain),
    async data() {
      const values = new Float32Array(sizeOf(shape));
      for (const part of parts) await fill(values, part, readOnce);
      return values;
    },
    pieces: rows && parts.length === 1 && staysAsItLies(parts[0]!) ? () => byRows(parts[0]!, rows) : undefined,
  }));
}

/** Whether a part is one tensor there and here, number for number. */
function staysAsItLies({ here, there }: Part): boolean {
  const whole = ({ tensors, plain, rows, holds, scales }: Source) =>
    tensors.length === 1 && !plain && !rows && !holds && !scales;
  const form = ({ layout, shape, slices = 1 }: Source) => `${layout} [${shape}] ${slices}`;
  return whole(here) && whole(there) && form(here) === form(there);
}

async function* byRows({ here }: Part, rows: ReadRows): AsyncGenerator<Float32Array> {
  const [all = 1] = here.shape;
  const some = Math.max(1, Math.floor((PIECE * all) / sizeOf(here.shape)));
  for (let first = 0; first < all; first += some) yield rows(here.tensors[0]!, first, Math.min(some, all - first));
}

/** A parameter in a tensor to be written: where it lies, where it is to lie, and its first matrix there, of a stack. */
interface Part {
  readonly parameter: string;
  readonly here: Source;
  readonly there: Source;
  readonly first: number;
}

/** The tensor that each of a part's matrices lies in. */
function namesOf({ here, there, first }: Part): string[] {
  const own = here.slices ?? 1;
  return Array.from({ length: there.slices ?? 1 }, (_, k) => here.tensors[Math.floor((first + k) / own)]!);
}

/** Writes a parameter's matrices into a tensor. */
async function fill(into: Float32Array, part: Part, read: Tensors["read"]): Promise<void> {
  const { here, there, first } = part;
  const [slices, own] = [there.slices ?? 1, here.slices ?? 1];
  for (const [k, name] of namesOf(part).entries()) {
    const values = await read(name);
    transfer(
      { file: slice(values, (first + k) % own, own), source: here },
      { file: slice(into, k, slices), source: there },
    );
  }
}

const slice = (values: Float32Array, i: number, count: number) =>
  values.subarray((i * values.length) / count, ((i + 1) * values.length) / count);

/**
 * A folder's tensors as those of a GGUF file, in the conventions of llama.cpp's converter. Matrices get `type`, or the nearest
 * whose blocks divide their rows; gains, biases and routers stay float32. Throws FormatError for a model that such files cannot
 * say.
 */
export function ggufTensors(config: Config, { read }: Tensors, type: GgufType, layout: MlaLayout): GgufTensor[] {
  const { tables, sources } = describeGguf(config, layout);
  const family = findFamily(config);
  const model = family.model(config);
  const made = recast(parametersOf(model), family.sources(model, config), sources, read);
  return [...tableTensors(tables), ...made.map((tensor) => typedTensor(tensor, type))];
}

/** Tensors that are settings. */
export function tableTensors(tables: ReadonlyMap<string, Float32Array>): GgufTensor[] {
  return [...tables].map(([name, data]) => ({ name, shape: [data.length], dtype: "F32", data }));
}

/** A tensor in `type`, or the nearest whose blocks divide its rows; what is no matrix, routers and what is to be `exact` in float32. */
export function typedTensor(
  { name, shape, parameters, plain, data, pieces }: Recast,
  type: GgufType,
  exact: (parameter: string) => boolean = () => false,
): GgufTensor {
  const whole = plain || parameters.some((parameter) => parameter.endsWith(".wRoute") || exact(parameter));
  return { name, shape, dtype: whole ? "F32" : typeFor(type, shape), data: pieces ?? data };
}

/** A type that the rows of a shape can have. */
function typeFor(type: GgufType, shape: readonly number[]): GgufType {
  if (shape.length < 2) return "F32";
  const row = shape.at(-1)!;
  if (!isQuant(type) || row % blocks[type].elements === 0) return type;
  return row % blocks.Q8_0.elements === 0 ? "Q8_0" : "F16";
}

/** `general.file_type` of files whose matrices are of a type. */
const fileTypes: Partial<Record<GgufType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q4_K: 14,
  Q5_K: 16,
  Q6_K: 18,
  BF16: 32,
};

/** The metadata of a GGUF file of this config and vocabulary. Throws FormatError for a model that GGUF has no words for. */
export function ggufMetadata(
  config: Config,
  vocabulary: Vocabulary,
  type: GgufType,
  layout: MlaLayout,
  name: string,
): Metadata {
  return ggufHeader(config, tokenizerMetadata(vocabulary), type, layout, name);
}

/** The same with what is said of a tokenizer. Throws FormatError for a model that GGUF has no words for. */
export function ggufHeader(
  config: Config,
  tokenizer: Metadata,
  type: GgufType,
  layout: MlaLayout,
  name: string,
): Metadata {
  const { architecture, entries } = describeGguf(config, layout);
  const own = Object.entries(entries).flatMap(([key, value]) =>
    value ? [[`${architecture}.${key}`, value] as const] : [],
  );
  return new Map<string, Value>([
    ["general.architecture", { type: "string", value: architecture }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    ["general.file_type", { type: "u32", value: fileTypes[type] ?? 0 }],
    ["general.quantization_version", { type: "u32", value: 2 }],
    ...own,
    ...tokenizer,
  ]);
}
