// node scripts/conversion.ts MODEL --data DIR [--part PART...]: what conversions of a checkpoint cost, beside each other. Every cell is
// kept in results/conversion as it is measured, and a second run goes on from those that are there; `--part docs` makes the table and
// the picture of docs/convert.md from them. DIR has wikitext2-valid.txt, wikitext2-test.txt and tinyshakespeare.txt.
//
//   table        each method at each size, without training: perplexity, divergence, greedy agreement with intervals
//   calibration  one size by three texts, tested on two of them
//   needles      numbers hidden in texts of several lengths
//   speed        bytes, prefill and decode in both forms
//   healed       sizes by --healers after --steps of training, by the processor time that they took, each stopped and gone on with
//   docs         the table and the picture, from what is kept
//
// Of SmolLM2-135M (0.27 TFLOP per thousand tokens) on two cores at 40 GFLOP/s: the original 20 s, a look at 8192 tokens 45 s for each
// method, a cell its conversion and 20 s for 2048 tokens, so that 2 + 24 cells of the table are 15 minutes where a conversion takes 10 s.
import { createHash } from "node:crypto";
import { globSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Conversion, type ConvertOptions } from "../src/convert/convert.ts";
import type { LatentLayer } from "../src/convert/latent.ts";
import { replaceAttention } from "../src/convert/replace.ts";
import { writeConversion } from "../src/convert/write.ts";
import { writeAtomic } from "../src/file/atomic.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { type HealOptions, heal } from "../src/heal/heal.ts";
import { ask, remember, scoreBeside, spreadIds, summarise, type Told } from "../src/lab/evaluate.ts";
import { findNeedles, hideNeedles } from "../src/lab/needle.ts";
import { measure } from "../src/measure/measure.ts";
import type { Model } from "../src/model/model.ts";
import type { Weights } from "../src/model/transformer.ts";
import type { Cell } from "./conversion/cell.ts";
import { chapter, picture } from "./conversion/show.ts";
import { readOptions } from "./options.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const parts = ["table", "calibration", "needles", "speed", "healed", "docs"] as const;
const { values, positionals } = readOptions({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    part: { type: "string", multiple: true, default: ["table", "docs"] },
    out: { type: "string", default: join(root, "results/conversion") },
    scratch: { type: "string", default: join(tmpdir(), "biform-conversion") },
    sizes: { type: "string", default: "320,256,192,160,128,96" },
    methods: { type: "string", default: "biform,transmla,mha2mla,care" },
    some: { type: "string", default: "192" },
    healed: { type: "string", default: "320,256,192,160,128,96" },
    healers: { type: "string", default: "biform" },
    steps: { type: "string", default: "30" },
    threads: { type: "string" },
    goal: { type: "string", default: "layers" },
    tokens: { type: "string", default: "2048" },
    length: { type: "string", default: "256" },
  },
});
const [path] = positionals;
const odd = values.part.find((part) => !parts.some((known) => known === part));
if (odd) throw new Error(`--part: got ${odd}, expected ${parts.join(", ")}`);
const wants = (part: (typeof parts)[number]) => values.part.includes(part);
const listed = (text: string) => text.split(",").map((item) => item.trim());
const [tokens, length] = [Number(values.tokens), Number(values.length)];
const threads = values.threads === undefined ? undefined : Number(values.threads);
/** Tokens that conversions look at. */
const LOOK = 8192;

/** Turned dims where a method does not find them itself. */
const TURNED: Readonly<Record<string, number>> = {
  mha2mla: 48,
  transmla: 64,
  care: 64,
  "care-sequential": 64,
  "care-separate": 64,
};

const read = (name: string) => readFile(join(values.data ?? "", name), "utf8");
const fileOf = (id: string) => join(values.out, `${id}.json`);

/** A cell that is kept, or is measured and then kept. */
async function cell(id: string, make: () => Promise<object>): Promise<void> {
  const there = await readFile(fileOf(id), "utf8").catch(() => undefined);
  if (there) return;
  const start = performance.now();
  const found = await make();
  const seconds = Math.round((performance.now() - start) / 100) / 10;
  await writeAtomic(fileOf(id), [
    `${JSON.stringify({ id, ...found, seconds, date: new Date().toISOString().slice(0, 10) }, null, 1)}\n`,
  ]);
  process.stderr.write(`${id}: ${seconds} s\n`);
}

/** The original, and what it says of each text. */
interface Ground {
  readonly loaded: LoadedModel;
  told(name: string): Promise<Told>;
}

async function open(weights: "packed" | "plain"): Promise<Ground> {
  const loaded = await load(path!, { weights, threads });
  const known = new Map<string, Promise<Told>>();
  return {
    loaded,
    told(name) {
      const found = known.get(name) ?? tell(loaded, name);
      known.set(name, found);
      return found;
    },
  };
}

/** Texts that are tested: all of one, or the last tenth of one that conversions look at the beginning of. */
async function tell({ model, weights, tokenizer }: LoadedModel, name: string): Promise<Told> {
  const text = await textOf(name);
  const part = name === "wikitext2-test.txt" ? text : text.slice(Math.floor(0.9 * text.length));
  const ids = tokenizer!.encode(part);
  return remember(model, weights, spreadIds(ids, tokens, length));
}

/** A text by its name; `code` is this project's own source. */
async function textOf(name: string): Promise<string> {
  if (name !== "code") return read(name);
  const files = globSync("src/{attention,ops,convert}/**/*.ts", { cwd: root }).toSorted();
  return (await Promise.all(files.map((file) => readFile(join(root, file), "utf8")))).join("\n");
}

async function conversionOf(method: string, size: number, look: string): Promise<Conversion> {
  const r = TURNED[method];
  const sizes = r === undefined ? {} : { c: size - r, r };
  const wanted = { method, selection: "high", balance: 1, context: 2048, ...sizes } as ConvertOptions["wanted"];
  const budget = r === undefined ? size : undefined;
  // What conversions have seen of a text serves all sizes of all methods.
  const seen = join(values.scratch, look);
  return Conversion.open(path!, {
    wanted,
    budget,
    text: await textOf(look),
    tokens: LOOK,
    length: 512,
    look: seen,
    threads,
  });
}

/** The original with a conversion's layers; what is made is freed afterwards. */
async function converted<T>(
  { loaded }: Ground,
  conversion: Conversion,
  use: (model: Model, weights: Weights) => Promise<T>,
): Promise<T> {
  const layers: LatentLayer[] = [];
  for (const i of loaded.model.layers.keys()) layers.push((await conversion.convert(i)).layer);
  const made = replaceAttention(loaded.model, loaded.weights, layers);
  return use(made.model, made.weights).finally(made.free);
}

const evaluate = async (ground: Ground, name: string, model: Model, weights: Weights) => {
  const told = await ground.told(name);
  return summarise(await scoreBeside(told, ask(model, weights, told.sequences)));
};

async function table(ground: Ground): Promise<void> {
  const { model, weights } = ground.loaded;
  await cell("original", async () => ({
    part: "table",
    method: "original",
    size: sizeOf(model),
    evaluation: await evaluate(ground, "wikitext2-test.txt", model, weights),
  }));
  await cell("exact", async () => {
    const wanted = { method: "exact", selection: "high", balance: 1, context: 2048 } as const;
    const conversion = await Conversion.open(path!, { wanted });
    const { c, r } = conversion.wanted;
    const evaluation = await converted(ground, conversion, (m, w) => evaluate(ground, "wikitext2-test.txt", m, w));
    return { part: "table", method: "exact", size: c + r, r, evaluation };
  });
  for (const size of listed(values.sizes).map(Number))
    for (const method of listed(values.methods))
      await cell(`untrained-${size}-${method}`, async () => {
        const conversion = await conversionOf(method, size, "wikitext2-valid.txt");
        const evaluation = await converted(ground, conversion, (m, w) => evaluate(ground, "wikitext2-test.txt", m, w));
        return { part: "table", method, size, r: conversion.wanted.r, evaluation };
      });
}

const sizeOf = ({ layers: [first] }: Model) =>
  first!.attention.sizes.g * (first!.attention.sizes.e + first!.attention.sizes.v);

async function calibration(ground: Ground): Promise<void> {
  for (const look of ["wikitext2-valid.txt", "tinyshakespeare.txt", "code"])
    await cell(`calibration-${look.replace(".txt", "")}`, async () => {
      const conversion = await conversionOf("biform", 192, look);
      return converted(ground, conversion, async (model, weights) => ({
        part: "calibration",
        method: "biform",
        size: 192,
        r: conversion.wanted.r,
        look,
        hash: createHash("sha256")
          .update(await textOf(look))
          .digest("hex")
          .slice(0, 12),
        evaluation: await evaluate(ground, "wikitext2-test.txt", model, weights),
        elsewhere: await evaluate(ground, "tinyshakespeare.txt", model, weights),
      }));
    });
}

/** The original and some conversions, by name. */
async function* subjects(ground: Ground) {
  yield { id: "original", method: "original", size: sizeOf(ground.loaded.model), use: use(ground) };
  for (const size of listed(values.some).map(Number))
    for (const method of ["biform", "transmla"])
      yield { id: `${size}-${method}`, method, size, use: use(ground, method, size) };
}

const use =
  (ground: Ground, method?: string, size?: number) => async (run: (m: Model, w: Weights) => Promise<object>) =>
    method === undefined
      ? run(ground.loaded.model, ground.loaded.weights)
      : converted(ground, await conversionOf(method, size!, "wikitext2-valid.txt"), run);

async function needles(ground: Ground): Promise<void> {
  const { tokenizer } = ground.loaded;
  const hay = tokenizer!.encode((await textOf("tinyshakespeare.txt")).slice(0, 400_000));
  for await (const { id, method, size, use } of subjects(ground))
    await cell(`needles-${id}`, () =>
      use(async (model, weights) => {
        const found = [];
        for (const long of [256, 512, 1024, 2048])
          found.push(await findNeedles(model, weights, hideNeedles(tokenizer!, hay, long, 5)));
        return { part: "needles", method, size, found };
      }),
    );
}

async function speed(ground: Ground): Promise<void> {
  for await (const { id, method, size, use } of subjects(ground))
    if (method !== "transmla")
      await cell(`speed-${id}`, () =>
        use(async (model, weights) => ({
          part: "speed",
          method,
          size,
          speeds: await measure(model, weights, [512, 2048], { rounds: 1 }),
        })),
      );
}

async function healed(ground: Ground): Promise<void> {
  for (const method of listed(values.healers))
    for (const size of listed(values.healed).map(Number))
      await cell(`healed-${size}-${method}-${values.goal}`, () => healOne(ground, method, size));
}

/** A conversion trained on, all with the same text, steps and rate. */
async function healOne(ground: Ground, method: string, size: number): Promise<object> {
  const goal = values.goal as HealOptions["goal"];
  const [student, out] = [join(values.scratch, `${size}-${method}`), join(values.scratch, `${size}-${method}-${goal}`)];
  if (!(await readFile(join(student, "config.json")).catch(() => undefined)))
    await writeConversion(await conversionOf(method, size, "wikitext2-valid.txt"), student);
  const options: HealOptions = {
    student,
    teacher: path!,
    texts: [join(values.data!, "wikitext2-valid.txt")],
    out,
    goal,
    part: "attention",
    steps: Number(values.steps),
    batch: 2,
    length: 256,
    rate: goal === "layers" ? 2e-4 : 1e-4,
    seed: 1,
    evaluations: 1,
    heldOutBatches: 1,
    saveEvery: 10,
    threads,
  };
  const told = (text: string) => void process.stderr.write(`${size} ${method} ${goal}: ${text}\n`);
  const before = process.cpuUsage();
  const { training, ...healing } = await heal(options, {
    onPrepare: told,
    onStep: ({ step }, steps, loss) => step % 10 === 0 && told(`step ${step} of ${steps}, ${loss?.toFixed(5)}`),
  });
  const { user, system } = process.cpuUsage(before);
  const minutes = Math.round((user + system) / 6e6) / 10;
  const after = await load(out, { threads });
  try {
    const evaluation = await evaluate(ground, "wikitext2-test.txt", after.model, after.weights);
    return { part: "healed", method: `${method}, ${goal}`, size, minutes, healing, evaluation };
  } finally {
    after.close();
  }
}

async function docs(): Promise<void> {
  const cells: Cell[] = [];
  for (const file of globSync("*.json", { cwd: values.out }).toSorted())
    cells.push(JSON.parse(await readFile(join(values.out, file), "utf8")));
  const page = join(root, "docs/convert.md");
  const text = await readFile(page, "utf8");
  const [begin, end] = ["<!-- measured: conversion -->", "<!-- end -->"];
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end, text.indexOf(begin))];
  if (to < 0) throw new Error(`docs/convert.md: got no ${begin} ... ${end}`);
  await writeAtomic(page, [`${text.slice(0, from)}\n${chapter(cells)}${text.slice(to)}`]);
  await writeAtomic(join(root, "docs/conversion.svg"), [picture(cells)]);
}

const work = { table, calibration, needles, speed, healed } as const;
if (values.part.some((part) => part !== "docs")) {
  if (!path || !values.data) throw new Error("usage: node scripts/conversion.ts MODEL --data DIR [--part PART...]");
  await mkdir(values.out, { recursive: true });
  await mkdir(values.scratch, { recursive: true });
  for (const part of parts) {
    if (part === "docs" || !wants(part)) continue;
    // What is read per token is then the same in all but the attention.
    const ground = await open(part === "speed" ? "plain" : "packed");
    await work[part](ground).finally(() => ground.loaded.close());
  }
}
if (wants("docs")) await docs();
