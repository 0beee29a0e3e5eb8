import { z } from "zod";
import { makeFolder, writeAtomic } from "../file/atomic.ts";
import { openSafetensors } from "../file/disk.ts";
import { safetensorsChunks, type TensorReader, type TensorToWrite } from "../file/safetensors.ts";
import { FormatError } from "../tensor/error.ts";
import { basename, dirname, join, readFile, resolve, rm, stat } from "../tensor/node.ts";
import type { LatentLayer } from "./latent.ts";
import { type Matrix, matrix } from "./matrix.ts";

/** A converted layer, and the gains of the norm before its attention. */
export interface Finished {
  readonly layer: LatentLayer;
  readonly gains: Float64Array;
}

/**
 * Finished layers of a conversion on the disk, beside what is to be written, each a file that appears whole. A second run of the same
 * conversion finds them and goes on; layers of another are removed.
 */
export class Shelf {
  readonly #dir: string;
  readonly #key: string;

  private constructor(dir: string, key: string) {
    this.#dir = dir;
    this.#key = key;
  }

  /**
   * The folder of that kind beside `out`. `key` tells what is in it from what else may have been there, which is removed. Errors:
   * DeviceError of the disk.
   */
  static async open(out: string, key: string, kind: "layers" | "look" = "layers"): Promise<Shelf> {
    const dir = folderOf(out, kind);
    const known = await readFile(join(dir, "key"), "utf8").catch(() => undefined);
    if (known !== key) {
      await makeFolder(dirname(dir));
      await rm(dir, { recursive: true, force: true });
      await makeFolder(dir);
      await writeAtomic(join(dir, "key"), [key]);
    }
    return new Shelf(dir, key);
  }

  /** Removes what may be there of an earlier run. */
  static async remove(out: string, kind: "layers" | "look"): Promise<void> {
    await rm(folderOf(out, kind), { recursive: true, force: true });
  }

  /** Whether a layer, or what is called `name`, is finished. */
  async has(of: number | string): Promise<boolean> {
    return (await stat(this.#path(of)).catch(() => undefined))?.isFile() ?? false;
  }

  /** Puts a finished layer there. Errors: DeviceError of the disk. */
  async put(i: number, { layer, gains }: Finished): Promise<void> {
    const path = this.#path(i);
    const { tensors, text } = takeApart(layer);
    const all: TensorToWrite[] = [...tensors, { name: "gains", shape: [gains.length], data: gains }];
    await writeAtomic(path, safetensorsChunks(path, all, { layer: text, key: this.#key }));
  }

  /** A finished layer. Throws FormatError where its file is damaged. */
  async get(i: number): Promise<Finished> {
    const file = await openSafetensors(this.#path(i));
    return { layer: await putTogether(file), gains: await numbers(file, "gains") };
  }

  /** Puts matrices of a layer there, under a name of what they are. Errors: DeviceError of the disk. */
  async keep(name: string, i: number, all: Readonly<Record<string, Matrix>>): Promise<void> {
    const path = this.#path(`${name}-${i}`, "safetensors");
    const tensors = Object.entries(all).map(([name, { rows, columns, values }]) => ({
      name,
      shape: [rows, columns],
      data: values,
    }));
    await writeAtomic(path, safetensorsChunks(path, tensors, {}));
  }

  /** Matrices of a layer by their names, where they are there. Throws FormatError where their file is damaged. */
  async kept(name: string, i: number): Promise<Readonly<Record<string, Matrix>> | undefined> {
    const path = this.#path(`${name}-${i}`, "safetensors");
    if (!(await stat(path).catch(() => undefined))) return undefined;
    const file = await openSafetensors(path);
    const all: Record<string, Matrix> = {};
    for (const name of file.names) all[name] = await matrixOf(file, name);
    return all;
  }

  /** Notes something beside the layers, as JSON. */
  async note(name: string, value: unknown): Promise<void> {
    await writeAtomic(this.#path(name), [JSON.stringify(value)]);
  }

  async noted<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    const text = await readFile(this.#path(name), "utf8").catch(() => undefined);
    if (text === undefined) return undefined;
    return schema.safeParse(JSON.parse(text)).data;
  }

  /** Removes all of it, once what it was for is written. */
  async clear(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }

  #path(of: number | string, kind = typeof of === "string" ? "json" : "safetensors"): string {
    return join(this.#dir, `${typeof of === "string" ? of : `layer-${String(of).padStart(3, "0")}`}.${kind}`);
  }
}

/** The folder of that kind beside a path. */
function folderOf(out: string, kind: "layers" | "look"): string {
  const path = resolve(out);
  return join(dirname(path), `.${basename(path)}.${kind}`);
}

const matrices = ["content", "rotary", "latent", "shared", "keys", "values", "output"] as const;

const said = z.object({
  d: z.int(),
  h: z.int(),
  n: z.int(),
  v: z.int(),
  scale: z.number(),
  rotation: z.object({ layout: z.enum(["interleaved", "half"]), magnitude: z.number() }),
  eps: z.number().optional(),
  bottleneckEps: z.number().optional(),
  groups: z.int().optional(),
  latents: z.int().optional(),
});

function takeApart(layer: LatentLayer): { tensors: TensorToWrite[]; text: string } {
  const { d, h, n, v, scale, rotation, norm, bottleneck, outputBias, groups, latents } = layer;
  const vector = (name: string, data: Float64Array | undefined): TensorToWrite[] =>
    data ? [{ name, shape: [data.length], data }] : [];
  const of = (name: string, m: Matrix | undefined): TensorToWrite[] =>
    m ? [{ name, shape: [m.rows, m.columns], data: m.values }] : [];
  return {
    tensors: [
      ...matrices.flatMap((name) => of(name, layer[name])),
      ...of("down", bottleneck?.down),
      ...vector("downGain", bottleneck?.norm?.gain),
      ...vector("gain", norm?.gain),
      ...vector("outputBias", outputBias),
      ...vector("frequencies", rotation.frequencies),
    ],
    text: JSON.stringify({
      d,
      h,
      n,
      v,
      scale,
      groups,
      latents,
      eps: norm?.eps,
      bottleneckEps: bottleneck?.norm?.eps,
      rotation: { layout: rotation.layout, magnitude: rotation.magnitude },
    }),
  };
}

async function putTogether(file: TensorReader): Promise<LatentLayer> {
  const { rotation, eps, bottleneckEps, ...sizes } = said.parse(JSON.parse(file.metadata.layer ?? "{}"));
  const norm = async (name: string, eps: number | undefined) =>
    file.has(name) ? { gain: await numbers(file, name), eps: eps ?? 0 } : undefined;
  const all: Partial<Record<(typeof matrices)[number], Matrix>> = {};
  for (const name of matrices) all[name] = await matrixOf(file, name);
  return {
    ...sizes,
    ...(all as Record<(typeof matrices)[number], Matrix>),
    bottleneck: file.has("down")
      ? { down: await matrixOf(file, "down"), norm: await norm("downGain", bottleneckEps) }
      : undefined,
    norm: await norm("gain", eps),
    outputBias: file.has("outputBias") ? await numbers(file, "outputBias") : undefined,
    rotation: { ...rotation, frequencies: await numbers(file, "frequencies") },
  };
}

async function matrixOf(file: TensorReader, name: string): Promise<Matrix> {
  const [rows = 0, columns = 0] = file.entry(name).shape;
  return matrix(rows, columns, await numbers(file, name));
}

async function numbers(file: TensorReader, name: string): Promise<Float64Array<ArrayBuffer>> {
  const values = await file.read(name);
  if (values instanceof Float64Array) return values as Float64Array<ArrayBuffer>;
  throw new FormatError(`${file.file}: ${name}: got other numbers than F64; remove the folder and convert again`);
}
