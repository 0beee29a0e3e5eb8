/** Models as packages of Python on a disk, with their weights. */
import { openModel } from "../checkpoint/open.ts";
import { recast } from "../checkpoint/recast.ts";
import { biform } from "../family/biform.ts";
import type { Config } from "../family/config.ts";
import { type FolderFile, writeFolder } from "../file/atomic.ts";
import { safetensorsChunks, type TensorToWrite } from "../file/safetensors.ts";
import { type Model, modelSize, parametersOf } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { basename, readdir, resolve } from "../tensor/node.ts";
import { drawParameter } from "../train/initial.ts";
import { Kinds, pythonConfig } from "./package.ts";

/** What was written. */
export interface Written {
  readonly files: readonly string[];
  /** The kinds of attention, each a file of its own. */
  readonly kinds: readonly string[];
  readonly parameters: number;
}

/** Throws FormatError where a folder has something in it. */
export async function expectEmpty(dir: string): Promise<void> {
  const there = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOTDIR")
      throw new FormatError(`${dir}: got a file, expected a folder or nothing; choose another path`);
    return [];
  });
  if (there.length)
    throw new FormatError(
      `${dir}: got a folder with ${there.slice(0, 3).join(", ")} in it, expected an empty one or none; choose another`,
    );
}

/** Fresh weights of a model, drawn one parameter at a time as `biform train` draws them. */
export function freshTensors(model: Model, seed: number): TensorToWrite[] {
  return parametersOf(model).map((parameter, i) => ({
    name: parameter.name,
    shape: [...parameter.shape],
    dtype: "F32",
    data: async () => Float32Array.from(drawParameter(model, parameter, i, seed)),
  }));
}

/** Writes a new model with weights from a seed. Throws FormatError for a folder that is not empty, DeviceError for what Python has no words for, and of the disk. */
export async function exportFresh(model: Model, dir: string, seed: number): Promise<Written> {
  await expectEmpty(dir);
  return writePackage(model, dir, freshTensors(model, seed), `fresh weights of seed ${seed}`);
}

/** The same of a checkpoint that Biform reads, whichever kind of file it is in. Throws besides FormatError as `openModel`. */
export async function exportTrained(path: string, dir: string): Promise<Written> {
  const { model, parameters, sources, tensors, config } = await openModel(path);
  await expectEmpty(dir);
  const read = async (name: string) => Float32Array.from((await tensors.read(name)) as ArrayLike<number>);
  const moved = recast(parameters, sources, biform.sources(model, {}), read).map(
    ({ name, shape, data }): TensorToWrite => ({ name, shape: [...shape], dtype: "F32", data }),
  );
  return writePackage(
    model,
    dir,
    moved,
    `the weights of ${basename(resolve(path))}`,
    config.ids ? { ids: config.ids } : {},
  );
}

async function writePackage(
  model: Model,
  dir: string,
  tensors: readonly TensorToWrite[],
  weights: string,
  others: Config = {},
): Promise<Written> {
  const kinds = new Kinds();
  const config = pythonConfig(model, kinds, others);
  const name = basename(resolve(dir));
  const files: FolderFile[] = [
    ...kinds.files().map(({ name: file, text }) => ({ name: file, chunks: [text] })),
    { name: "README.md", chunks: [card(name, kinds.names(), weights)] },
    { name: "config.json", chunks: [`${JSON.stringify(config, null, 1)}\n`] },
    { name: "model.safetensors", chunks: safetensorsChunks("model.safetensors", tensors, { format: "pt" }) },
  ];
  await writeFolder(dir, files);
  return { files: files.map((file) => file.name), kinds: kinds.names(), parameters: modelSize(model) };
}

function card(name: string, kinds: readonly string[], weights: string): string {
  return `# ${name}

Written by \`biform export torch\`, with ${weights}. Attention: ${kinds.map((kind) => `\`${kind}.py\``).join(", ")}; each has the forms
that Biform has, over the same cache. Parameters bear Biform's names, so \`biform run ${name}\` reads what is saved here.

    from ${name} import model                     # with the folder that this one is in on the path
    m = model.load("${name}")
    logits = m(ids, form="absorbed")              # [B, t, vocabulary] of ids [B, t]; the first form unless one is named
    caches = m.caches()                           # one for each layer
    m(prompt, caches=caches); m(next, caches=caches)

    AutoModelForCausalLM.from_pretrained("${name}", trust_remote_code=True)
`;
}
