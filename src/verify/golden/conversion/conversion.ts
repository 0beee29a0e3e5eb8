import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadModel } from "../../../checkpoint/load.ts";
import { type GroupedLayer, groupedLayer, readNumbers } from "../../../convert/grouped.ts";
import type { LatentLayer } from "../../../convert/latent.ts";
import { replaceAttention } from "../../../convert/replace.ts";
import { formsOf, type Model } from "../../../model/model.ts";
import type { Weights } from "../../../model/transformer.ts";
import { FormatError } from "../../../tensor/error.ts";
import type { Device } from "../../../tensor/tensor.ts";
import { cuts, type Manifest, positive, tensorsOf, Unsupported } from "../case.ts";
import { type Expected, type Ledger, part } from "../ledger.ts";
import { walk } from "../model.ts";
import { convertByMha2mla } from "./mhatomla.ts";
import { convertByTransmla } from "./transmla.ts";

/** A case's model on one device, what the case asks for and expects, and where differences go. */
export interface Conversion {
  readonly model: Model;
  readonly weights: Weights;
  readonly layers: readonly GroupedLayer[];
  readonly args: Readonly<Record<string, unknown>>;
  readonly tensors: ReadonlyMap<string, Expected>;
  /** Compares numbers with the case's tensor of that name, where it has one; or with what was made of it. */
  compare(name: string, got: ArrayLike<number>, made?: ArrayLike<number>): void;
  /** The same of whole numbers. */
  same(name: string, got: ArrayLike<number>): void;
  /** Compares logits of the model with these layers in all forms with the case's tensors of these names. */
  run(layers: readonly LatentLayer[], names: { readonly prefill: string; readonly decode?: string }): Promise<void>;
}

/** How a conversion is known: by an argument that only its authors' code has. */
const methods: Readonly<Record<string, (conversion: Conversion) => Promise<void>>> = {
  svd_init_method: convertByMha2mla,
  kv_lora_rank: convertByTransmla,
};

/** Converts a checkpoint by the case's arguments and compares logits, rows and products of weights; the names of all tensors. */
export async function runConversionCase(
  path: string,
  said: Manifest,
  devices: readonly Device[],
  ledger: Ledger,
): Promise<string[]> {
  const args = said.args ?? {};
  const convert = Object.entries(methods).find(([key]) => key in args)?.[1];
  if (!convert) throw new Unsupported(`arguments ${Object.keys(args).join(", ")}: this conversion is not supported`);
  const tensors = new Map<string, Expected>();
  for (const file of ["expected.safetensors", "inputs.safetensors"])
    if (existsSync(join(path, file)))
      for (const [name, tensor] of await tensorsOf(path, file)) tensors.set(name, tensor);
  for (const device of devices) {
    const { model, weights } = await loadModel(join(path, said.checkpoint_dir), device, { weights: "plain" });
    try {
      const layers: GroupedLayer[] = [];
      for (const [i, { attention }] of model.layers.entries())
        layers.push(groupedLayer(`layer ${i}`, attention, await readNumbers(weights, i)));
      const limit = (name: string) => {
        const key = name.startsWith("logits") ? "logits_abs" : "effective_abs";
        return positive(path, key, said.tolerance?.[key]);
      };
      const conversion: Conversion = {
        model,
        weights,
        layers,
        args,
        tensors,
        compare(name, got, made) {
          const expected = tensors.get(name);
          if (expected) ledger.add(name, device.kind, got, made ?? expected.values, limit(name));
        },
        same(name, got) {
          const expected = tensors.get(name);
          if (expected) ledger.same(name, device.kind, got, expected.values);
        },
        async run(converted, { prefill, decode }) {
          const { free, ...replaced } = replaceAttention(model, weights, converted);
          try {
            await compareLogits(replaced, tensors, { prefill, decode }, ledger, limit);
          } finally {
            free();
          }
        },
      };
      await compareLogits({ model, weights }, tensors, { prefill: "logits_original" }, ledger, limit);
      await convert(conversion);
    } finally {
      for (const t of weights.values()) t.free();
    }
  }
  return [...tensors.keys()];
}

/** Runs every sequence at once, in pieces and step by step, in every form. */
async function compareLogits(
  { model, weights }: { readonly model: Model; readonly weights: Weights },
  tensors: ReadonlyMap<string, Expected>,
  names: { readonly prefill: string; readonly decode?: string | undefined },
  ledger: Ledger,
  limit: (name: string) => number,
): Promise<void> {
  const ids = sequencesOf(tensors, "input_ids");
  const { kind } = weights.get("norm")!.device;
  for (const form of formsOf(model))
    for (const [item, sequence] of ids.entries())
      for (const { name, from, chunks } of cuts(sequence.length, Math.ceil(sequence.length / 2))) {
        const target = tensors.has(names[name] ?? "") ? names[name]! : names.prefill;
        const expected = tensors.get(target);
        if (!expected) continue;
        const { logits } = await walk(model, weights, sequence, chunks, form);
        ledger.add(target, `${form}, ${from}, sequence ${item}, ${kind}`, logits, part(expected, item), limit(target));
      }
}

/** The sequences of ids in a tensor whose last axis counts tokens. Throws FormatError where there is none. */
export function sequencesOf(tensors: ReadonlyMap<string, Expected>, name: string): Int32Array[] {
  const tensor = tensors.get(name);
  const length = tensor?.shape.at(-1) ?? 0;
  if (!tensor || length < 1) throw new FormatError(`${name}: got no ids, expected a tensor [..., tokens]`);
  return Array.from({ length: tensor.values.length / length }, (_, i) =>
    Int32Array.from({ length }, (_, j) => tensor.values[i * length + j]!),
  );
}

/** An argument of the case that is a whole number. Throws FormatError. */
export function whole(args: Conversion["args"], key: string): number {
  const value = args[key];
  if (typeof value !== "number" || !Number.isInteger(value))
    throw new FormatError(`manifest.json: args.${key}: got ${JSON.stringify(value)}, expected a whole number`);
  return value;
}
