import type { Cache } from "../../../attention/cache.ts";
import type { Parts } from "../../../attention/define.ts";
import type { Attention } from "../../../attention/layer.ts";
import type { Config } from "../../../family/config.ts";
import type { Source } from "../../../family/source.ts";
import type { Values } from "../../../file/dtype.ts";
import type { TensorReader } from "../../../file/safetensors.ts";
import { FormatError } from "../../../tensor/error.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";
import { type Manifest, Unsupported } from "../case.ts";

/** A kind of layer: what its config means and what its authors call its tensors. Nothing else knows either. */
export interface LayerFamily {
  /** Whether a file that has such tensors holds one of its layers. */
  knows(has: (name: string) => boolean): boolean;
  /** Throws FormatError where config and weights do not fit, Unsupported for a part that no variant has. */
  read(config: Config, weights: TensorReader, said: Manifest): LayerOf;
}

/** A layer as a case gives it. */
export interface LayerOf {
  readonly attention: Attention;
  /** Where each parameter lies in `weights`. */
  readonly sources: Readonly<Record<string, Source>>;
  /** The case's weights, some perhaps rearranged (`rearranged`). */
  readonly weights: TensorReader;
  /** Numbers that hang on no input. */
  readonly fixed?: Readonly<Record<string, ArrayLike<number>>>;
  /** What one sequence leaves in its cache, under the case's names. */
  cached?(cache: Cache): Promise<Readonly<Record<string, Observed>>>;
  /** What one sequence is projected to, `made` by the variant, under the case's names. */
  projected?(p: Parts, made: Parts, x: Tensor): Readonly<Record<string, Tensor>>;
  /** What to do with an input beside the hidden states: write it into the state of a sequence that is about to begin. */
  begins?(input: string): ((cache: Cache, values: number[]) => void) | undefined;
}

/** Numbers of ours, and which of the expected ones they are to meet where those are more. */
export interface Observed {
  readonly values: ArrayLike<number>;
  of?(expected: number[]): number[];
}

/** Rows and columns of a matrix of the file. Throws FormatError where it is none. */
export function matrixOf(weights: TensorReader, name: string): [rows: number, columns: number] {
  const { shape } = weights.entry(name);
  if (shape.length !== 2) throw new FormatError(`${weights.file}: ${name}: got [${shape}], expected a matrix`);
  return [shape[0]!, shape[1]!];
}

/** `rows / parts`. Throws FormatError where that is no whole number. */
export function shareOf(weights: TensorReader, name: string, parts: number): number {
  const rows = weights.entry(name).shape[0]!;
  if (!(parts >= 1) || rows % parts)
    throw new FormatError(`${weights.file}: ${name}: got ${rows} rows, expected a multiple of ${parts}`);
  return rows / parts;
}

/** Throws Unsupported naming the first key that is set, for parts that no variant has. */
export function refuseKey(config: Config, ...keys: readonly string[]): void {
  const key = keys.find((name) => config[name]);
  if (key) throw new Unsupported(`${key}: ${JSON.stringify(config[key])} is not supported`);
}

/** Another view of a file's tensors: those named here have this shape and are made of the tensor of that name, if any. */
export function rearrange(
  weights: TensorReader,
  made: Readonly<Record<string, { shape: readonly number[]; of(values: ArrayLike<number>): ArrayLike<number> }>>,
): TensorReader {
  const names = [...new Set([...weights.names, ...Object.keys(made)])];
  const one = (name: string) => (Object.hasOwn(made, name) ? made[name] : undefined);
  return {
    file: weights.file,
    metadata: weights.metadata,
    names,
    has: (name) => names.includes(name),
    entry(name) {
      const view = one(name);
      if (!view) return weights.entry(name);
      const own = weights.has(name)
        ? weights.entry(name)
        : { ...weights.entry(weights.names[0]!), dtype: "F64" as const };
      return { ...own, shape: view.shape };
    },
    async read(name) {
      const view = one(name);
      if (!view) return weights.read(name);
      return Float64Array.from(view.of(weights.has(name) ? await weights.read(name) : [])) as Values;
    },
    async readBytes(name, offset, into) {
      if (one(name)) throw new Unsupported(`${name}: made from other tensors, it has no bytes of its own`);
      return weights.readBytes(name, offset, into);
    },
  };
}

/** `[a, b, ...]` as `[b, a, ...]`. */
export function swapAxes(values: ArrayLike<number>, [a = 1, b = 1, ...rest]: readonly number[]): Float64Array {
  const width = sizeOf(rest);
  const out = new Float64Array(values.length);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++)
      for (let k = 0; k < width; k++) out[(j * a + i) * width + k] = values[(i * b + j) * width + k]!;
  return out;
}
