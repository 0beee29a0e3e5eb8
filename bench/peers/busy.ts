/**
 * Training, decoding and prefill by one build of Biform, for the section `busy`.
 *
 *   node busy.ts FOLDER [THREADS]     FOLDER: the checkout that is measured; its default number of threads unless given
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type * as Biform from "../../src/index.ts";
import type * as Step from "../../src/train/step.ts";
import type { Work } from "../peer.ts";
import { serve } from "./serve.ts";

const [folder = "", threads] = process.argv.slice(2);
const from = async <T>(file: string) => (await import(pathToFileURL(join(folder, file)).href)) as T;
const { buildModel, initialWeights, Optimiser, optimiserDefaults, parametersOf, Random, Session, WasmDevice } =
  await from<typeof Biform>("src/index.ts");
const { trainStep } = await from<typeof Step>("src/train/step.ts");

const vocabulary = 2048;
const random = new Random(1);
const idsOf = (count: number) => Int32Array.from({ length: count }, () => random.integer(vocabulary));
const device = await WasmDevice.open(threads ? { threads: Number(threads) } : {});

/** A step of a small MLA: 8 rows of 256 tokens. */
function training(): () => Promise<unknown> {
  const model = buildModel("MLA", { vocabulary, width: 256, heads: 4, layers: 4 });
  const weights = initialWeights(model, device, 1);
  const optimiser = new Optimiser(device, parametersOf(model), optimiserDefaults);
  const batch = { count: 8, length: 256, ids: idsOf(2048), targets: idsOf(2048) };
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

const works: Readonly<Record<Work, () => () => Promise<unknown>>> = {
  training,
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
