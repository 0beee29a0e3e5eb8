import type { Config } from "../family/config.ts";
import type { Family } from "../family/family.ts";
import { clip } from "../file/header.ts";
import type { TensorReader } from "../file/safetensors.ts";
import type { Model } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { formatJson } from "../tensor/json.ts";

/** Bytes that are compared at a time. */
const PIECE = 1 << 22;

/**
 * The model with the head that its checkpoint has. Where `tie_word_embeddings` says that the head is the embedding's transpose,
 * a head that is there beside it and holds other numbers is used, as transformers does since version 5, and a note says so.
 *
 * Errors: FormatError where a head of its own is missing, which names that key.
 */
export async function chooseHead(
  model: Model,
  config: Config,
  family: Family,
  tensors: TensorReader,
): Promise<{ readonly model: Model; readonly notes: readonly string[] }> {
  const untied = { ...model, tied: false };
  const sources = family.sources(untied, config);
  const [head, embedding] = ["head", "embed"].map((name) => sources.get(name)!.tensors[0]!) as [string, string];
  const said = `tie_word_embeddings is ${config.tie_word_embeddings === undefined ? "not set" : formatJson(config.tie_word_embeddings)}`;
  if (!model.tied && !tensors.has(head) && tensors.has(embedding))
    throw new FormatError(
      `${tensors.file}: got no tensor ${clip(head)}, expected it since ${clip(said)}; fetch the file again, ` +
        "or set that key to true if the head is the embedding's transpose",
    );
  if (!model.tied || !tensors.has(head) || (await sameNumbers(tensors, head, embedding))) return { model, notes: [] };
  return {
    model: untied,
    notes: [
      `${tensors.file}: ${clip(head)} is not ${clip(embedding)}, though ${clip(said)}: the head is used as it is`,
    ],
  };
}

/** Whether two tensors hold the same numbers in the same shape. */
async function sameNumbers(tensors: TensorReader, one: string, other: string): Promise<boolean> {
  const [a, b] = [tensors.entry(one), tensors.entry(other)];
  if (`${a.shape}` !== `${b.shape}`) return false;
  if (a.dtype !== b.dtype) {
    const [x, y] = [await tensors.read(one), await tensors.read(other)];
    return x.every((value, i) => value === y[i]);
  }
  const size = a.end - a.begin;
  for (let at = 0; at < size; at += PIECE) {
    const [x, y] = [new Uint8Array(Math.min(PIECE, size - at)), new Uint8Array(Math.min(PIECE, size - at))];
    await Promise.all([tensors.readBytes(one, at, x), tensors.readBytes(other, at, y)]);
    if (Buffer.compare(x, y)) return false;
  }
  return true;
}
