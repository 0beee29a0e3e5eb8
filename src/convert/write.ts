import { z } from "zod";
import { cacheValues } from "../attention/define.ts";
import { ggufHeader, tableTensors, typedTensor } from "../checkpoint/recast.ts";
import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import { describeGguf } from "../family/header.ts";
import { writeFolder } from "../file/atomic.ts";
import type { Metadata } from "../file/metadata.ts";
import { safetensorsChunks } from "../file/safetensors.ts";
import { writeGguf } from "../file/writer.ts";
import { FormatError } from "../tensor/error.ts";
import { entriesAlong, filesAlong } from "./beside.ts";
import { card } from "./card.ts";
import { convertedTensors } from "./checkpoint.ts";
import type { Conversion, Price } from "./convert.ts";
import type { Numbers64 } from "./grouped.ts";
import { latentAttention } from "./latent.ts";
import { Shelf } from "./shelf.ts";
import {
  type ArchitectureName,
  chooseTarget,
  type Outline,
  outlineOf,
  type Target,
  targetConfig,
  targetFactors,
  targetLayer,
} from "./target.ts";

/** The types of matrices that are written; a folder takes the first two. */
export const writtenTypes = ["F32", "BF16", "F16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K"] as const;
type WrittenType = (typeof writtenTypes)[number];

/** How a conversion is written. */
export interface WriteOptions {
  /** Of the matrices; gains and biases are float32. */
  readonly type?: WrittenType | undefined;
  /** The architecture, where not the first that computes just this. */
  readonly as?: ArchitectureName | undefined;
  /** Ends the work between two layers, which a second run then goes on from. */
  readonly signal?: AbortSignal | undefined;
  readonly watch?: ((what: string, done: number, total: number) => void) | undefined;
}

/** What was written. */
export interface Written {
  readonly price: Price;
  readonly target: Target;
  readonly config: Config;
  /** Layers that an earlier run had finished. */
  readonly found: number;
}

const prices = z.array(z.object({ lost: z.array(z.number()) }));

/**
 * Writes a converted checkpoint, a GGUF file where `out` ends so and else a folder: weights, config, tokenizer, template, settings, and a card that says how it was made. It appears whole
 * or not at all; layers that are finished are kept beside it until then, and a second run goes on from them.
 *
 * Errors: FormatError for what the asked architecture cannot say, DeviceError of the disk, the signal's reason.
 */
export async function writeConversion(
  conversion: Conversion,
  out: string,
  { type = "F32", as, signal, watch }: WriteOptions = {},
): Promise<Written> {
  const { opened } = conversion;
  const { model } = opened;
  const gguf = out.endsWith(".gguf");
  const count = model.layers.length;
  const shelf = await Shelf.open(out, await conversion.key());
  const predicted = await conversion.price(await shelf.noted("price", prices));
  await shelf.note("price", predicted.layers);
  let found = 0;
  const outlines: Outline[] = [];
  for (let i = 0; i < count; i++) {
    signal?.throwIfAborted();
    const known = await shelf.has(i);
    const finished = known ? await shelf.get(i) : await conversion.convert(i);
    if (known) found++;
    else await shelf.put(i, finished);
    outlines.push(outlineOf(finished.layer));
    // What is asked for and cannot be is told before the work on the others.
    if (i === 0 && as)
      chooseTarget({ model, layers: model.layers.map(() => outlines[0]!), source: opened.config }, gguf, as);
    watch?.("converting", i + 1, count);
  }
  const wanted = { model, layers: outlines, source: opened.config };
  const target = chooseTarget(wanted, gguf, as);
  const made = async (i: number) => {
    const { layer, gains } = await shelf.get(i);
    return targetLayer(target, layer, gains, model);
  };
  const config = targetConfig(target, wanted, await made(0));
  const kept = findFamily(config).model(config).layers;
  const after = kept.reduce((sum, { attention }) => sum + cacheValues(attention.variant, attention.sizes), 0) / count;
  const price = { ...predicted, after };
  const what = { conversion, target, config, price, make: async (i: number) => latentAttention(await made(i)).numbers };
  if (target.gguf) await writeFile(out, what, type);
  else await writeDirectory(out, what, type);
  await shelf.clear();
  return { price, target, config, found };
}

/** What is to be written, once it is known what that is. */
interface What {
  readonly conversion: Conversion;
  readonly target: Target;
  readonly config: Config;
  readonly price: Price;
  make(layer: number): Promise<Numbers64>;
}

async function writeDirectory(out: string, { conversion, target, price, make, ...what }: What, type: WrittenType) {
  const { opened, path } = conversion;
  if (type !== "F32" && type !== "BF16")
    throw new FormatError(`--type: got ${type}, expected F32 or BF16 in a folder; name a .gguf file`);
  const config: Config = { ...what.config, torch_dtype: { F32: "float32", BF16: "bfloat16" }[type] };
  const family = findFamily(config);
  const model = family.model(config);
  const [targets, factors] = [family.sources(model, config), targetFactors(target, opened.model)];
  const tensors = convertedTensors({ opened, model, targets, factors, make }).map(({ name, shape, plain, data }) => ({
    name,
    shape,
    data,
    dtype: plain || shape.length < 2 ? ("F32" as const) : type,
  }));
  await writeFolder(out, [
    { name: "config.json", chunks: [`${JSON.stringify(config, null, 1)}\n`] },
    ...(await filesAlong(path, opened)),
    { name: "README.md", chunks: [card(path, price, target)] },
    { name: "model.safetensors", chunks: safetensorsChunks("model.safetensors", tensors, { format: "pt" }) },
  ]);
}

async function writeFile(out: string, { conversion, target, config, price, make }: What, type: WrittenType) {
  const { opened, path } = conversion;
  const { tables, sources: targets } = describeGguf(config, "absorbed");
  const model = findFamily(config).model(config);
  const factors = targetFactors(target, opened.model);
  const tensors = convertedTensors({ opened, model, targets, factors, make });
  const header = ggufHeader(config, await entriesAlong(path, opened), type, "absorbed", nameOf(path));
  const about: Metadata = new Map([
    ...header,
    ["general.description", { type: "string", value: card(path, price, target) }],
  ]);
  // Numbers that are small for the norm's sake are beneath what blocks and float16 hold.
  const small = (parameter: string) => target.still === "shrunk" && /\.attention\.(wDKV|wKR|wDQ)$/.test(parameter);
  const typed = tensors.map((tensor) => typedTensor(tensor, type, small));
  await writeGguf(out, about, [...tableTensors(tables), ...typed]);
}

const nameOf = (path: string) => path.split("/").filter(Boolean).at(-1) ?? path;
