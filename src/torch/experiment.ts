/** An experiment as a package that trains in PyTorch: its variants, its data in Biform's order, the weights that each run begins with. */
import type { Opened } from "../cluster/experiment.ts";
import { type Batch, idsOf, type Source } from "../data/source.ts";
import { type FolderFile, writeFolder } from "../file/atomic.ts";
import { safetensorsChunks } from "../file/safetensors.ts";
import type { Matched } from "../lab/match.ts";
import { trainSettings } from "../lab/schedule.ts";
import { modelSize, parametersOf } from "../model/model.ts";
import { FormatError } from "../tensor/error.ts";
import { basename, resolve } from "../tensor/node.ts";
import { kindOf } from "../train/initial.ts";
import { trainFlopsPerToken } from "../train/train.ts";
import { expectEmpty, freshTensors, type Written } from "./export.ts";
import { Kinds, pythonConfig, readPython } from "./package.ts";

/** What trains, beside what every package has. */
const trainers = ["course.py", "data.py", "draw.py", "optimiser.py", "ray_train.py", "store.py", "train.py"] as const;

/** Most bytes of rows that are written beforehand, where a source makes them and is no text. */
const LIMIT = 4e9;

/**
 * Writes an experiment. `out` is where its runs leave what they found. Throws FormatError for a folder that is not empty and for more
 * generated data than is sensible, DeviceError for what Python has no words for, and of the disk.
 */
export async function exportExperiment(opened: Opened, dir: string, out: string): Promise<Written> {
  const { experiment, settings, matched, id } = opened;
  await expectEmpty(dir);
  const kinds = new Kinds();
  const all = [...matched.values()];
  const place = (m: Matched) => all.indexOf(m);
  const others = { max_position_embeddings: settings.goal.length, ...idsOf(opened.source(1)) };
  const configs = all.map((m) => pythonConfig(m.model, kinds, others));
  const about = all.map(({ model }) =>
    Object.fromEntries(parametersOf(model).map((p) => [p.name, { axes: p.axes, kind: kindOf(p) }])),
  );
  const initial = new Map<string, FolderFile>();
  const runs = experiment.runs.map(({ key, variant, seed, rate }) => {
    const m = matched.get(variant)!;
    const name = `initial-v${place(m)}-s${seed}.safetensors`;
    if (!initial.has(name))
      initial.set(name, { name, chunks: safetensorsChunks(name, freshTensors(m.model, seed), { format: "pt" }) });
    const own = trainSettings(settings, m, { seed, rate: 0, source: opened.source(seed).name });
    return {
      key,
      variant,
      config: `config-v${place(m)}.json`,
      initial: name,
      // null: the best of those that the variant's first seed tries.
      settings: { ...own, rate: rate === "best" ? null : rate },
      flopsPerToken: trainFlopsPerToken(m.model, settings.goal.length),
      parameters: about[place(m)],
    };
  });
  const json = (name: string, value: unknown): FolderFile => ({
    name,
    chunks: [`${JSON.stringify(value, null, 1)}\n`],
  });
  const files: FolderFile[] = [
    ...kinds.files().map(({ name, text }) => ({ name, chunks: [text] })),
    ...trainers.map((name) => ({ name, chunks: [readPython(name)] })),
    ...configs.map((config, i) => json(`config-v${i}.json`, config)),
    json("runs.json", { id, versions: experiment.versions, out: resolve(out), runs }),
    { name: "README.md", chunks: [card(basename(resolve(dir)), runs[0]!.key)] },
    ...dataFiles(opened, all),
    ...initial.values(),
  ];
  await writeFolder(dir, files);
  return {
    files: files.map((file) => file.name),
    kinds: kinds.names(),
    parameters: all.reduce((sum, { model }) => sum + modelSize(model), 0),
  };
}

/** Held-out batches, and what training batches are made of: a text's tokens, or the batches themselves. */
function dataFiles(opened: Opened, all: readonly Matched[]): FolderFile[] {
  const { settings, experiment, source } = opened;
  const { batch: rows, length } = settings.goal;
  const first = source(1);
  // Targets that are not counted are -1.
  const numbers = first.vocabulary <= 127 ? "int8" : first.vocabulary <= 32767 ? "int16" : "int32";
  const { tokens } = first;
  const told = {
    kind: tokens ? "windows" : "rows",
    numbers: `${numbers === "int8" ? "" : "<"}${{ int8: "i1", int16: "i2", int32: "i4" }[numbers]}`,
    seed: experiment.data.seed,
  };
  const files: FolderFile[] = [
    { name: "data.json", chunks: [`${JSON.stringify(told)}\n`] },
    { name: "held.bin", chunks: batchChunks(first.heldOut(settings.heldOutBatches, rows, length), numbers) },
  ];
  if (tokens) return [...files, { name: "train.bin", chunks: pieces(tokens, numbers) }];
  const seeds = [...new Set(experiment.runs.map(({ seed }) => seed))];
  const steps = Math.max(...all.map((m) => m.steps));
  const bytes = seeds.length * steps * rows * length * 2 * sizes[numbers].BYTES_PER_ELEMENT;
  if (bytes > LIMIT)
    throw new FormatError(
      `${opened.file}: got ${(bytes / 1e9).toFixed(1)} GB of generated rows, expected at most ${LIMIT / 1e9}; take fewer steps or seeds, or a text`,
    );
  return [
    ...files,
    ...seeds.map((seed) => ({
      name: `rows-s${seed}.bin`,
      chunks: batchChunks(made(source(seed), steps, rows, length), numbers),
    })),
  ];
}

function* made(source: Source, steps: number, rows: number, length: number): Generator<Batch> {
  for (let step = 0; step < steps; step++) yield source.batch(step, rows, length);
}

const sizes = { int8: Int8Array, int16: Int16Array, int32: Int32Array } as const;

/** Ids, then targets, of each batch. */
function* batchChunks(batches: Iterable<Batch>, numbers: keyof typeof sizes): Generator<Uint8Array> {
  for (const { ids, targets } of batches) yield* [ids, targets].map((list) => bytesOf(list, numbers));
}

function* pieces(tokens: Int32Array, numbers: keyof typeof sizes): Generator<Uint8Array> {
  const most = 1 << 20;
  for (let from = 0; from < tokens.length; from += most) yield bytesOf(tokens.subarray(from, from + most), numbers);
}

function bytesOf(list: Int32Array, numbers: keyof typeof sizes): Uint8Array {
  return new Uint8Array(sizes[numbers].from(list).buffer);
}

function card(name: string, key: string): string {
  return `# ${name}

An experiment, written by \`biform export torch\`: data, order and first weights of every run are Biform's.

    torchrun --nproc-per-node 2 ${name}/train.py ${key}    # one run on two processes; python ${name}/train.py on one
    torchrun --nproc-per-node 8 ${name}/train.py --bf16 --compile --peak 989e12
    python ${name}/ray_train.py --workers 4 ${key}         # by Ray Train

Without keys all runs that are not done are done, one after the other; \`--help\` has the rest. What a run leaves is what
\`biform compare --collect\` puts together, beside runs that Biform did itself, and its checkpoint is one that Biform goes on with.
`;
}
