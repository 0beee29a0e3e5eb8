import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import type { MlaLayout } from "../family/table.ts";
import { writeAtomic, writeFolder } from "../file/atomic.ts";
import type { GgufType } from "../file/gguf.ts";
import { safetensorsChunks } from "../file/safetensors.ts";
import { ggufChunks } from "../file/writer.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { Random } from "../tensor/random.ts";
import { sizeOf } from "../tensor/tensor.ts";
import { ggufMetadata, ggufTensors, type Tensors } from "./recast.ts";
import { inventVocabulary, tokenizerFiles } from "./vocabulary.ts";

/** How to write a model of random weights. */
export interface Sample {
  readonly seed: number;
  /** Of the matrices. Gains, biases and routers are float32 in every file. A folder takes F32, F16 and BF16. */
  readonly type: GgufType;
  /** Of MLA in a GGUF file; "absorbed" unless given. */
  readonly layout?: MlaLayout | undefined;
  /** Sees each tensor as its numbers are drawn; one may be drawn twice. */
  readonly onTensor?: ((name: string, elements: number) => void) | undefined;
}

/** Tensors of random numbers. */
export interface SampledTensors extends Tensors {
  /** Whether a tensor is float32 whatever the type of the matrices. */
  exact(name: string): boolean;
}

/**
 * A folder's tensors for a config, drawn by name and seed: the same numbers whatever file they go into and in whatever order.
 * Matrices keep the size of what goes through them, and what is added to the residual stream is small enough that it stays near
 * 1 through all layers. Throws FormatError for a config that no family reads.
 */
export function sampleTensors(config: Config, { seed, onTensor }: Pick<Sample, "seed" | "onTensor">): SampledTensors {
  const family = findFamily(config);
  const model = family.model(config);
  const shapes = new Map<string, readonly number[]>();
  // Where several parameters lie in one tensor, its numbers are drawn as those of any.
  const parameterOf = new Map<string, string>();
  const plain = new Set<string>();
  for (const [name, source] of family.sources(model, config))
    for (const tensor of source.tensors) {
      shapes.set(tensor, source.shape);
      if (source.plain) plain.add(tensor);
      parameterOf.set(tensor, name.replace(/^layers\.\d+\./, ""));
    }
  return {
    shapes,
    read(name) {
      const shape = shapes.get(name)!;
      onTensor?.(name, sizeOf(shape));
      const [mean, deviation] = spreadOf(parameterOf.get(name)!, shape, model);
      return draw(name, seed, sizeOf(shape), mean, deviation);
    },
    exact: (name) => plain.has(name) || shapes.get(name)!.length < 2 || parameterOf.get(name) === "feed.wRoute",
  };
}

/** Mean and standard deviation of the numbers of a tensor that holds a parameter. */
function spreadOf(parameter: string, shape: readonly number[], model: Model): [mean: number, deviation: number] {
  const inputs = shape[1];
  const own = parameter.split(".").at(-1)!;
  // A delta rule's rates between 1 and 16, its time steps small, and the taps of its short convolutions.
  if (own === "aLog") return [1.5, 0.5];
  if (own === "bT") return [-3, 1];
  if (/^f[A-Z]/.test(own)) return [0, shape.at(-1)! ** -0.5];
  if (inputs === undefined) return own === "bRoute" ? [-0.3, 0.1] : own.startsWith("b") ? [0, 0.1] : [1, 0.1];
  const fan = inputs ** -0.5;
  // A model with factors of its own makes the embeddings larger, and its branches smaller.
  if (model.scales && own === "embed") return [0, 0.5 / model.scales.embedding];
  // Logits of a deviation of 2; a router that seldom hesitates.
  if (["embed", "head", "wRoute"].includes(own)) return [0, 2 * fan];
  if (!model.scales && ["wO", "wDown"].includes(own)) return [0, fan / Math.sqrt(2 * model.layers.length)];
  return [0, fan];
}

/** Standard deviation of the sum of four random bytes. */
const BYTES_DEVIATION = Math.sqrt((4 * (2 ** 16 - 1)) / 12);

/** Nearly normal numbers: each is the sum of the four bytes of one random word. */
function draw(name: string, seed: number, n: number, mean: number, deviation: number): Float32Array {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  const random = new Random(hash >>> 0);
  const out = new Float32Array(n);
  const scale = deviation / BYTES_DEVIATION;
  for (let i = 0; i < n; i++) {
    const word = random.bits();
    out[i] = mean + ((word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24) - 510) * scale;
  }
  return out;
}

/** Numbers that all tensors of a config have, the embedding once. Throws FormatError. */
export function sampleSize(config: Config): number {
  const { shapes } = sampleTensors(config, { seed: 0 });
  return [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/**
 * Writes a model of random weights as a Hugging Face folder: config.json, model.safetensors, tokenizer.json.
 * Errors: FormatError for a type that folders do not have, DeviceError where the disk refuses.
 */
export async function writeSampleFolder(dir: string, config: Config, sample: Sample): Promise<void> {
  const { type } = sample;
  if (type !== "F32" && type !== "F16" && type !== "BF16")
    throw new FormatError(`type: got ${type}, expected F32, F16 or BF16 in a folder; write a .gguf file`);
  const tensors = sampleTensors(config, sample);
  const vocabulary = inventVocabulary(config.vocab_size as number);
  const torch = { F32: "float32", F16: "float16", BF16: "bfloat16" }[type];
  const full = {
    ...config,
    torch_dtype: torch,
    bos_token_id: vocabulary.begin,
    eos_token_id: vocabulary.end,
    use_cache: true,
  };
  const list = [...tensors.shapes].map(([name, shape]) => ({
    name,
    shape,
    data: () => tensors.read(name),
    dtype: tensors.exact(name) ? ("F32" as const) : type,
  }));
  await writeFolder(dir, [
    { name: "config.json", chunks: [`${JSON.stringify(full, null, 1)}\n`] },
    ...tokenizerFiles(vocabulary).map(({ name, text }) => ({ name, chunks: [text] })),
    { name: "model.safetensors", chunks: safetensorsChunks("model.safetensors", list, { format: "pt" }) },
  ]);
}

/** Writes the same model as a GGUF file. Errors: FormatError for what GGUF has no words for, DeviceError of the disk. */
export async function writeSampleGguf(path: string, config: Config, sample: Sample, name?: string): Promise<void> {
  await writeAtomic(path, sampleGguf(path, config, sample, name));
}

/** The same bytes piece by piece, for where there is no disk. Errors: FormatError for what GGUF has no words for; `file` stands in it. */
export function sampleGguf(
  file: string,
  config: Config,
  sample: Sample,
  name = "biform sample",
): AsyncGenerator<Uint8Array> {
  const { type, layout = "absorbed" } = sample;
  const tensors = sampleTensors(config, sample);
  const vocabulary = inventVocabulary(config.vocab_size as number);
  return ggufChunks(
    file,
    ggufMetadata(config, vocabulary, type, layout, name),
    ggufTensors(config, tensors, type, layout),
  );
}
