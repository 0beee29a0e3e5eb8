import { z } from "zod";
import { cacheValues } from "../attention/define.ts";
import type { Config } from "../family/config.ts";
import { findFamily } from "../family/families.ts";
import { follow } from "../file/atomic.ts";
import { DeviceError, FormatError } from "../tensor/error.ts";
import { entriesAlong, filesAlong } from "./beside.ts";
import { card } from "./card.ts";
import { convertedTensors } from "./checkpoint.ts";
import type { Conversion, Price } from "./convert.ts";
import { nameOf, type WrittenType, writeCheckpoint } from "./files.ts";
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

/** How a conversion is written. */
export interface WriteOptions {
  /** Of the matrices; gains and biases are float32. */
  readonly type?: WrittenType | undefined;
  /** The architecture, where not the first that computes just this. */
  readonly as?: ArchitectureName | undefined;
  /** A second place, for the other kind of file; what hinders it is told and hinders nothing. */
  readonly also?: string | undefined;
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
  /** Why the second place was not written. */
  readonly hindered?: string | undefined;
}

const prices = z.object({
  wanted: z.object({ c: z.int(), r: z.int() }),
  layers: z.array(z.object({ layer: z.int(), whole: z.number(), lost: z.array(z.number()) })),
  ranks: z.array(z.int()).optional(),
});

/**
 * Writes a converted checkpoint, a GGUF file where `out` ends so and else a folder: weights, config, tokenizer, template, settings, and
 * a card that says how it was made. It appears whole or not at all; layers that are finished are kept beside it until then, and a
 * second run goes on from them.
 *
 * Errors: FormatError for what the asked architecture cannot say, a damaged source, and the source's own place, DeviceError of the disk,
 * the signal's reason.
 */
export async function writeConversion(
  conversion: Conversion,
  out: string,
  options: WriteOptions = {},
): Promise<Written> {
  const { type = "F32", as, also } = options;
  for (const place of [out, ...(also === undefined ? [] : [also])]) await checkPlace(conversion.path, place);
  const shelf = await Shelf.open(out, await conversion.key());
  const predicted = await conversion.price(await shelf.noted("price", prices));
  await shelf.note("price", predicted);
  const { outlines, found } = await finishLayers(conversion, shelf, out, options);
  const finished = { conversion, shelf, outlines, predicted };
  const written = await writeFinished(finished, out, type, as);
  const hindered = also && (await writeFinished(finished, also, "F32").then(() => undefined, told));
  await shelf.clear();
  await conversion.close();
  return { ...written, found, hindered };
}

/** Throws FormatError for a place where the source is. */
async function checkPlace(path: string, out: string): Promise<void> {
  if ((await follow(path)) === (await follow(out)))
    throw new FormatError(
      `${out}: got the model's own place to write to, expected another; the original would be gone`,
    );
}

/** What a user can be told of an error; throws any other on. */
function told(error: unknown): string {
  if (error instanceof FormatError || error instanceof DeviceError) return error.message;
  throw error;
}

/** All layers of a conversion, on the disk. */
interface FinishedLayers {
  readonly conversion: Conversion;
  readonly shelf: Shelf;
  /** Of each layer, undefined where it stays as it is. */
  readonly outlines: readonly (Outline | undefined)[];
  readonly predicted: Price;
}

async function finishLayers(
  conversion: Conversion,
  shelf: Shelf,
  out: string,
  { as, signal, watch }: WriteOptions,
): Promise<Pick<FinishedLayers, "outlines"> & { readonly found: number }> {
  const { model, config } = conversion.opened;
  const outlines: (Outline | undefined)[] = model.layers.map(() => undefined);
  let found = 0;
  for (const [done, i] of conversion.layers.entries()) {
    signal?.throwIfAborted();
    const known = await shelf.has(i);
    const finished = known ? await shelf.get(i) : await conversion.convert(i);
    if (known) found++;
    else await shelf.put(i, finished);
    const outline = outlineOf(finished.layer);
    outlines[i] = outline;
    // What is asked for and cannot be is told before the work on the others.
    if (done === 0 && as) {
      const layers = outlines.map((_, i) => (conversion.layers.includes(i) ? outline : undefined));
      chooseTarget({ model, layers, source: config }, isFile(out), as);
    }
    watch?.("converting", done + 1, conversion.layers.length);
  }
  return { outlines, found };
}

const isFile = (out: string) => out.endsWith(".gguf");

async function writeFinished(
  { conversion, shelf, outlines, predicted }: FinishedLayers,
  out: string,
  type: WrittenType,
  as?: ArchitectureName,
): Promise<Omit<Written, "found">> {
  const { opened, path } = conversion;
  const { model } = opened;
  const wanted = { model, layers: outlines, source: opened.config };
  const target = chooseTarget(wanted, isFile(out), as);
  const made = async (i: number) => {
    const { layer, gains } = await shelf.get(i);
    return targetLayer(target, layer, gains, model);
  };
  const config = targetConfig(target, wanted, await made(conversion.layers[0]!));
  const kept = findFamily(config).model(config).layers;
  const cached = kept.reduce((sum, { attention }) => sum + cacheValues(attention.variant, attention.sizes), 0);
  const price = { ...predicted, after: cached / kept.length };
  const factors = targetFactors(target, model);
  const make = async (i: number) => latentAttention(await made(i)).numbers;
  await writeCheckpoint(out, type, {
    config,
    tensors: (written, targets) =>
      convertedTensors({ opened, model: written, targets, factors, layers: conversion.layers, make }),
    card: card(path, price, target),
    name: nameOf(path),
    files: () => filesAlong(path, opened),
    tokenizer: () => entriesAlong(path, opened),
    // Numbers that are small for the norm's sake are beneath what blocks and float16 hold.
    exact: (parameter) => target.still === "shrunk" && /\.attention\.(wDKV|wKR|wDQ)$/.test(parameter),
  });
  return { price, target, config };
}
