/**
 * Training, decoding, prefill and more by one build of Biform, for the sections `busy` and `older`.
 *
 *   node busy.ts FOLDER [THREADS]     FOLDER: the checkout that is measured; its default number of threads unless given
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Biform from "../../src/index.ts";
import type * as Pack from "../../src/ops/pack/index.ts";
import type * as Packing from "../../src/tensor/packing.ts";
import type * as Tensors from "../../src/tensor/tensor.ts";
import type * as Step from "../../src/train/step.ts";
import type { Work } from "../peer.ts";
import { serve } from "./serve.ts";

const [folder = "", threads] = process.argv.slice(2);
const from = async <T>(file: string) => (await import(pathToFileURL(join(folder, file)).href)) as T;
const library = await from<typeof Biform>("src/index.ts");
const { buildModel, initialWeights, Optimiser, optimiserDefaults, parametersOf, Random, Session, WasmDevice } = library;
const { trainStep } = await from<typeof Step>("src/train/step.ts");

const vocabulary = 2048;
const random = new Random(1);
const idsOf = (count: number) => Int32Array.from({ length: count }, () => random.integer(vocabulary));
const device = await WasmDevice.open(threads ? { threads: Number(threads) } : {});

/** A step of a small model, an MLA unless told: 8 rows of 256 tokens. */
function training(
  pattern = "MLA",
  [width, length]: readonly number[] = [256, 256],
  on: Biform.Device = device,
): () => Promise<unknown> {
  const model = buildModel(pattern, { vocabulary, width: width!, heads: 4, layers: 4 });
  const weights = initialWeights(model, on, 1);
  const optimiser = new Optimiser(on, parametersOf(model), optimiserDefaults);
  const batch = { count: 8, length: length!, ids: idsOf(8 * length!), targets: idsOf(8 * length!) };
  return () => trainStep(model, weights, optimiser, batch, 1e-3);
}

/** A session of a middling MLA; a unit is `count` tokens after `context` cached ones, which are then forgotten. */
function writing(context: number, count: number): () => Promise<unknown> {
  const model = buildModel("MLA", { vocabulary, width: 512, heads: 8, layers: 8 });
  const session = new Session(model, initialWeights(model, device, 1));
  const run = async (ids: Int32Array) => {
    const logits = session.append(ids, { logits: "last" });
    await logits.read();
    logits.free();
  };
  let ready = context === 0;
  return async () => {
    if (!ready) await run(idsOf(context));
    ready = true;
    await run(idsOf(count));
    session.rewind(context);
  };
}

const { pack } = await from<typeof Pack>("src/ops/pack/index.ts");
const { rowBytes } = await from<typeof Packing>("src/tensor/packing.ts");
const { packedTensor, scope, tensor } = await from<typeof Tensors>("src/tensor/tensor.ts");

/** One row times weights of 16 MiB in three formats. */
function packed(): () => Promise<unknown> {
  const columns = 2048;
  const x = tensor(
    device,
    [1, columns],
    Float32Array.from({ length: columns }, (_, i) => Math.sin(i)),
  );
  const weights = (["F16", "Q8_0", "Q4_0"] as const).map(async (format) => {
    const rows = Math.floor((16 << 20) / rowBytes(format, columns) / 128) * 128;
    // Older builds look for the last.
    const w = packedTensor(device, [columns, rows], { format, rows: [1], columns: [0], ...{ careful: false } });
    const at = Int32Array.from({ length: rows }, (_, i) => i);
    // No byte of 120 or more: as halves and scales, all are finite.
    await pack(w, { at, read: async (_, into) => into.set(Array.from(into, (_, i) => (i * 7919) % 120)) });
    return w;
  });
  return async () => {
    for (const w of await Promise.all(weights)) scope(device, () => void library.einsum("t d, d w -> t w", x, w));
  };
}

const works: Readonly<Record<Work, () => () => Promise<unknown>>> = {
  training,
  packed,
  family: () => training("[KDA,TPA,MLA-FoX,GQA2-128]"),
  reference: () => training("MLA", [32, 16], new library.ReferenceDevice()),
  decoding: () => writing(512, 1),
  prefill: () => writing(0, 256),
};
const opened = new Map<Work, () => Promise<unknown>>();

/** Repeats a unit of work for about so many seconds; the mean, since what a busy machine takes comes in rare large pieces. */
async function repeat(work: Work, seconds: number): Promise<{ seconds: number }> {
  const unit = opened.get(work) ?? works[work]();
  opened.set(work, unit);
  const start = performance.now();
  let done = 0;
  do {
    await unit();
    done++;
  } while (performance.now() - start < seconds * 1000);
  return { seconds: (performance.now() - start) / 1000 / done };
}

const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
await serve({ engine: "Biform", version }, async (request) =>
  request.op === "work" ? repeat(request.work, request.seconds) : { unsupported: request.op },
);
process.exit(0);
