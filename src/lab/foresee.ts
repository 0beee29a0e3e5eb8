import type { Conversion } from "../convert/convert.ts";
import { convertBlock, fileStack, replaced, type Stack } from "../convert/stack.ts";
import { openDevice } from "../device/open.ts";
import { tokenizerBeside } from "../generate/beside.ts";
import { type Block, runBlock } from "../model/block.ts";
import { type Model, modelSize } from "../model/model.ts";
import { headLogits } from "../model/transformer.ts";
import { copyTo } from "../ops/move/index.ts";
import { rmsNorm } from "../ops/norm/index.ts";
import { positionsOf } from "../ops/rope/index.ts";
import { FormatError } from "../tensor/error.ts";
import { scope, type Tensor } from "../tensor/tensor.ts";
import type { BesideWatch, CheckpointResult } from "./beside.ts";
import { readOut, scoreBeside, spreadIds, summarise, type Told } from "./evaluate.ts";
import { cachePerLayer } from "./match.ts";

/** The text that a conversion is foreseen on. */
export interface Foreseen {
  readonly name: string;
  readonly text: string;
  /** Tokens of it, and of a sequence. */
  readonly tokens: number;
  readonly length: number;
  readonly threads?: number | undefined;
}

/**
 * What a conversion would make of a text, before anything of it is written: the original and what it would become, as `holdBeside` has
 * them of checkpoints. Both read the text at once, layer after layer from the disk, each layer converted when it is reached: what is held
 * is one layer as it was and as it would be, two hidden states of every token, and the head at the end. Throws FormatError for a text that
 * is too short, and as `Conversion.convert`.
 */
export async function foresee(
  conversion: Conversion,
  { name, text, tokens, length, threads }: Foreseen,
  watch?: BesideWatch,
): Promise<CheckpointResult[]> {
  const { path, layered: opened } = conversion;
  const tokenizer = await tokenizerBeside(opened);
  if (!tokenizer)
    throw new FormatError(`${path}: got no tokenizer, expected one to read text with; add tokenizer.json`);
  const sequences = spreadIds(tokenizer.encode(text), tokens, length);
  if (!sequences.length)
    throw new FormatError(
      `${name}: got fewer than ${length} tokens, expected at least one sequence of them; give more text or a smaller --length`,
    );
  const device = await openDevice("wasm", threads);
  try {
    const stack = fileStack(opened, device);
    const { states, layers } = await walkBoth(stack, conversion, sequences, (layer) =>
      watch?.(`reading ${name} as it would be`, layer, opened.model.layers.length),
    );
    const { weights, free } = await stack.end();
    const told = (of: 0 | 1): Told => ({
      sequences,
      vocabulary: stack.model.vocabulary,
      logits: (i) =>
        readOut(weights, () =>
          headLogits(stack.model, weights, rmsNorm(states[i]![of], weights.get("norm")!, stack.model.eps)),
        ),
    });
    const models: readonly (readonly [string, Model])[] = [
      [path, stack.model],
      [`as ${conversion.wanted.variant ?? "MLA"}`, { ...stack.model, layers }],
    ];
    const results: CheckpointResult[] = [];
    for (const [i, [of, model]] of models.entries())
      results.push({
        path: of,
        parameters: modelSize(model),
        cachePerLayer: cachePerLayer(model),
        layers: layers.length,
        texts: [{ name, ...summarise(await scoreBeside(told(0), told(i as 0 | 1))) }],
        needles: [],
      });
    free();
    return results;
  } finally {
    device.close();
  }
}

/** Last hidden states of each sequence, of the model as it is and as it would be, and the layers that it would have. */
async function walkBoth(
  stack: Stack,
  conversion: Conversion,
  sequences: readonly Int32Array[],
  watch: (layer: number) => void,
): Promise<{ readonly states: (readonly [Tensor, Tensor])[]; readonly layers: Model["layers"] }> {
  let states = (await stack.embed(sequences)).map((x) => [x, copyTo(x, x.device)] as const);
  const layers: Model["layers"][number][] = [];
  for (const i of stack.model.layers.keys()) {
    const { block, free } = await stack.take(i);
    const made = conversion.layers.includes(i) ? convertBlock(block, (await conversion.convert(i)).layer) : undefined;
    const after = made?.block ?? block;
    layers.push(after.layer);
    const run = (of: Block, x: Tensor, s: number) =>
      replaced(
        x,
        scope(x.device, () => runBlock(of, x, { positions: positionsOf(0, sequences[s]!.length) })),
      );
    states = states.map(([x, y], s) => [run(block, x, s), run(after, y, s)] as const);
    made?.free();
    free();
    watch(i + 1);
  }
  return { states, layers };
}
