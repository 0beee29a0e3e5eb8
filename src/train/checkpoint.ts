import { z } from "zod";
import { type FolderFile, recoverFolder, writeFolder } from "../file/atomic.ts";
import { openSafetensors } from "../file/disk.ts";
import { readJson } from "../file/folder.ts";
import { safetensorsChunks, type TensorReader, type TensorToWrite } from "../file/safetensors.ts";
import type { Weights } from "../model/transformer.ts";
import { FormatError } from "../tensor/error.ts";
import { join, stat } from "../tensor/node.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CourseSettings, Progress } from "./course.ts";
import type { Optimiser } from "./optimiser.ts";

const curve = z.object({ steps: z.array(z.int()), losses: z.array(z.number().nullable()) });
const training = z.object({
  settings: z.record(z.string(), z.unknown()),
  progress: z.object({ step: z.int().nonnegative(), training: curve, heldOut: curve, seconds: z.number() }),
});

/** The files that a checkpoint folder is made of; a save replaces these and refuses to remove any other. */
const own = ["config.json", "model.safetensors", "optimiser.safetensors", "training.json"];

/** What a run was told, the config of its model where that is a whole one, and files that belong beside it. */
interface Told {
  readonly settings: CourseSettings;
  readonly config?: object | undefined;
  readonly beside?: readonly FolderFile[] | undefined;
}

/**
 * Saves a run as a folder: model.safetensors with what is trained, and a config.json where that is a whole model, as on the Hugging
 * Face hub; optimiser.safetensors and training.json to go on from. The whole folder appears at once. Throws DeviceError, FormatError.
 */
export async function saveCheckpoint(
  dir: string,
  { settings, config, beside = [] }: Told,
  weights: Weights,
  optimiser: Optimiser,
  progress: Progress,
): Promise<void> {
  const moments = [...optimiser.moments].flatMap(([name, { m, v }]): TensorToWrite[] => [
    writable(`m.${name}`, m),
    ...(v ? [writable(`v.${name}`, v)] : []),
  ]);
  const tensors = [...weights].map(([name, t]) => writable(name, t));
  await writeFolder(
    dir,
    [
      ...(config ? [{ name: "config.json", chunks: [json(config)] }] : []),
      {
        name: "model.safetensors",
        chunks: safetensorsChunks(join(dir, "model.safetensors"), tensors, { format: "pt" }),
      },
      { name: "optimiser.safetensors", chunks: safetensorsChunks(join(dir, "optimiser.safetensors"), moments) },
      { name: "training.json", chunks: [json({ settings, progress })] },
      ...beside,
    ],
    (name) => own.includes(name) || beside.some((file) => file.name === name),
  );
}

/**
 * Puts a saved run's weights and moments in place and gives where it stood; undefined where there is no checkpoint.
 * Throws FormatError where the checkpoint was made with other settings, or is damaged.
 */
export async function loadCheckpoint(
  dir: string,
  settings: CourseSettings,
  weights: Weights,
  optimiser: Optimiser,
): Promise<Progress | undefined> {
  await recoverFolder(dir);
  if (!(await stat(dir).catch(() => undefined))) return undefined;
  const saved = await readJson(join(dir, "training.json"), 256_000_000, training);
  const [was, is] = [flat(saved.settings), flat(settings as unknown as Record<string, unknown>)];
  for (const key of new Set([...was.keys(), ...is.keys()]))
    if (was.get(key) !== is.get(key))
      throw new FormatError(
        `${dir}: got a checkpoint with ${key} ${was.get(key) ?? "unset"}, expected ${is.get(key) ?? "unset"}; ` +
          "name another folder, or the settings it was made with",
      );
  await fill(await openSafetensors(join(dir, "model.safetensors")), [...weights]);
  const moments = await openSafetensors(join(dir, "optimiser.safetensors"));
  await fill(
    moments,
    [...optimiser.moments].flatMap(
      ([name, { m, v }]) => [[`m.${name}`, m], ...(v ? [[`v.${name}`, v]] : [])] as [string, Tensor][],
    ),
  );
  optimiser.steps = saved.progress.step;
  return saved.progress;
}

/** The number of steps that a checkpoint's run was laid out for; undefined where there is none. Throws FormatError. */
export async function plannedSteps(dir: string): Promise<number | undefined> {
  await recoverFolder(dir);
  if (!(await stat(join(dir, "training.json")).catch(() => undefined))) return undefined;
  const saved = await readJson(join(dir, "training.json"), 256_000_000, training);
  return z.int().positive().safeParse(saved.settings.steps).data;
}

async function fill(from: TensorReader, tensors: readonly (readonly [string, Tensor])[]): Promise<void> {
  for (const [name, t] of tensors) {
    const { shape } = from.entry(name);
    if (`${shape}` !== `${t.shape}`)
      throw new FormatError(
        `${from.file}: tensor ${name} got [${shape}], expected [${t.shape}]; is it of another spec?`,
      );
    t.write((await from.read(name)) as ArrayLike<number>);
  }
}

function writable(name: string, t: Tensor): TensorToWrite {
  return { name, shape: [...t.shape], dtype: t.device.elementBytes === 8 ? "F64" : "F32", data: () => t.read() };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 1)}\n`;
}

/** Nested settings as dotted keys, to say which one differs. */
function flat(value: Readonly<Record<string, unknown>>, prefix = ""): Map<string, string> {
  const result = new Map<string, string>();
  for (const [key, item] of Object.entries(value)) {
    if (item && typeof item === "object")
      for (const [k, v] of flat(item as Record<string, unknown>, `${prefix}${key}.`)) result.set(k, v);
    else if (item !== undefined) result.set(prefix + key, String(item));
  }
  return result;
}
