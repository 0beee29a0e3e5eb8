import { multiply } from "../../../convert/double.ts";
import { type LatentLayer, standardiseScale, throughBottleneck } from "../../../convert/latent.ts";
import { columnsOf, fillMatrix, type Matrix, rowsOf, scaleRows, stackRows } from "../../../convert/matrix.ts";
import { momentsOf, readInputs } from "../../../convert/moment.ts";
import { type Folding, gatherPositions } from "../../../convert/rorope.ts";
import { collect, showInputs, stackOf, walkLayers, withAttention } from "../../../convert/stack.ts";
import { addNorms, compressLatent, LatentLengths } from "../../../convert/transmla.ts";
import { FormatError } from "../../../tensor/error.ts";
import { type Conversion, sequencesOf, whole } from "./conversion.ts";

/** A conversion by fxmeng/TransMLA: positions gathered, the latent at full rank, and as small as the case asks. */
export async function convertByTransmla(conversion: Conversion): Promise<void> {
  const { args, layers, model, weights, tensors } = conversion;
  const text = sequencesOf(tensors, "calibration_ids");
  const folding: Folding = { fold: whole(args, "freqfold"), collapse: whole(args, "collapse") };
  const e = layers[0]!.e;
  if (args.qk_mqa_dim !== undefined && whole(args, "qk_mqa_dim") * folding.collapse !== e)
    throw new FormatError(`manifest.json: args.qk_mqa_dim: got ${args.qk_mqa_dim}, expected ${e / folding.collapse}`);
  const stack = stackOf(model, weights);
  const first = await collect(momentsOf(stack, text));
  const gathered = layers.map((layer, i) => gatherPositions(layer, first[i]!, folding));
  const whole64 = gathered.map(({ layer }) => standardiseScale(layer));
  await conversion.run(whole64, { prefill: "logits_partial_rope" });
  const between = withAttention(stack, async (i) => whole64[i]);
  const second = await collect(momentsOf(between, text));
  const how = {
    queryRank: optional(args, "q_lora_rank"),
    balance: typeof args.balance_kv_ratio === "number" ? args.balance_kv_ratio : undefined,
  };
  const c = gathered[0]!.layer.latent.rows;
  const full = gathered.map((layer, i) => compressLatent(layer, second[i]!, { rank: c, balance: how.balance }));
  await conversion.run(full.map(standardiseScale), { prefill: "logits_full_rank" });
  let small = gathered.map((layer, i) =>
    standardiseScale(compressLatent(layer, second[i]!, { ...how, rank: whole(args, "kv_lora_rank") })),
  );
  if (args.use_qkv_norm === true) small = await normed(conversion, small, text);
  for (const [i, layer] of small.entries()) compareLayer(conversion, i, layer);
  await conversion.run(small, { prefill: "logits_converted" });
}

/** The layers with norms, whose gains come from the model that has norms of gain 1. */
async function normed(
  { model, weights }: Conversion,
  layers: readonly LatentLayer[],
  text: readonly Int32Array[],
): Promise<LatentLayer[]> {
  const ones = layers.map((layer) => addNorms(layer, model.eps, { latent: 1, query: 1 }));
  const lengths = layers.map((layer) => new LatentLengths(layer, model.eps));
  const between = withAttention(stackOf(model, weights), async (i) => ones[i]);
  for await (const step of walkLayers(between, text))
    await showInputs(step, async (x) => lengths[step.layer]!.add(await readInputs(x)));
  return layers.map((layer, i) => addNorms(layer, model.eps, lengths[i]!.mean()));
}

/**
 * Compares what no choice of basis changes: the key and value that a hidden state unfolds to, each head's query, norms' gains, and the
 * turned key with what asks for it, whose pairs may each have the other sign. Biases are last columns of all these.
 */
function compareLayer(conversion: Conversion, i: number, layer: LatentLayer): void {
  const { d, h, n, shared, norm, bottleneck, output, outputBias } = layer;
  const { compare } = conversion;
  const own: Products = {
    unfolded: interleave(h, [multiply(layer.keys, layer.latent), multiply(layer.values, layer.latent)]),
    shared,
    queries: interleave(h, [queriesOf(layer, layer.content), queriesOf(layer, layer.rotary)]),
  };
  const name = (tensor: string) => `layer${i}.${tensor}`;
  compare(name("kv_effective"), columnsOf(own.unfolded, 0, d).values);
  const content = headRows(own.queries, h, 0, n);
  compare(name("q_nope_effective"), columnsOf(content, 0, d).values);
  compare(name("o_proj.weight"), output.values);
  if (outputBias) compare(name("o_proj.bias"), outputBias);
  if (norm) compare(name("kv_a_layernorm.weight"), norm.gain);
  if (bottleneck?.norm) compare(name("q_a_layernorm.weight"), bottleneck.norm.gain);
  const theirs = productsOf(conversion, i, layer);
  if (!theirs) return;
  const signs = Array.from({ length: shared.rows }, (_, row) => {
    const pair = rowsOf(own.shared, row - (row % 2), row - (row % 2) + 2).values;
    const other = rowsOf(theirs.shared, row - (row % 2), row - (row % 2) + 2).values;
    return pair.reduce((sum, x, j) => sum + x * other[j]!, 0) < 0 ? -1 : 1;
  });
  const flip = (rows: Matrix) =>
    scaleRows(
      rows,
      Array.from({ length: rows.rows }, (_, row) => signs[row % shared.rows]!),
    );
  const flipped = interleave(h, [content, flip(headRows(own.queries, h, n, n + shared.rows))]);
  for (const [tensors, mine, other] of [
    [/kv_b_proj/, own.unfolded, theirs.unfolded],
    [/kv_a_proj/, flip(shared), theirs.shared],
    [/q(_a|_b)?_proj/, flipped, theirs.queries],
  ] as const)
    for (const tensor of conversion.tensors.keys())
      if (tensor.startsWith(name("")) && tensors.test(tensor)) compare(tensor, mine.values, other.values);
}

/** What a layer computes of a hidden state and a 1, whatever its bases. */
interface Products {
  /** Per head the key without position and the value: `[h (n + v), d + 1]`. */
  readonly unfolded: Matrix;
  /** `[r, d + 1]`. */
  readonly shared: Matrix;
  /** Per head the query without position and the turned one: `[h (n + r), d + 1]`. */
  readonly queries: Matrix;
}

/** The same of the case's own weights, where it has them. */
function productsOf({ tensors }: Conversion, i: number, { shared }: LatentLayer): Products | undefined {
  const read = (tensor: string) => {
    const weight = tensors.get(`layer${i}.${tensor}.weight`);
    if (!weight) return undefined;
    const bias = tensors.get(`layer${i}.${tensor}.bias`)?.values;
    const [rows = 0, columns = 0] = weight.shape;
    return fillMatrix(rows, columns + 1, (row, j) =>
      j < columns ? weight.values[row * columns + j]! : (bias?.[row] ?? 0),
    );
  };
  const [down, up] = [read("kv_a_proj_with_mqa"), read("kv_b_proj")];
  const query = read("q_proj");
  const [queryDown, queryUp] = [read("q_a_proj"), read("q_b_proj")];
  if (!down || !up || (!query && (!queryDown || !queryUp))) return undefined;
  const c = down.rows - shared.rows;
  return {
    unfolded: multiply(columnsOf(up, 0, c), rowsOf(down, 0, c)),
    shared: rowsOf(down, c, down.rows),
    queries: query ?? throughBottleneck(queryUp!, queryDown!),
  };
}

/** What rows ask of the hidden state, through the bottleneck where there is one. */
function queriesOf({ bottleneck }: LatentLayer, rows: Matrix): Matrix {
  return bottleneck ? throughBottleneck(rows, bottleneck.down) : rows;
}

/** Each head's rows of every matrix one after the other. */
function interleave(h: number, parts: readonly Matrix[]): Matrix {
  return stackRows(
    ...Array.from({ length: h }, (_, head) =>
      parts.map((part) => rowsOf(part, (head * part.rows) / h, ((head + 1) * part.rows) / h)),
    ).flat(),
  );
}

/** Rows `from` up to `to` of each head's. */
function headRows(rows: Matrix, h: number, from: number, to: number): Matrix {
  const each = rows.rows / h;
  return stackRows(...Array.from({ length: h }, (_, head) => rowsOf(rows, head * each + from, head * each + to)));
}

function optional(args: Conversion["args"], key: string): number | undefined {
  return args[key] === undefined || args[key] === null ? undefined : whole(args, key);
}
