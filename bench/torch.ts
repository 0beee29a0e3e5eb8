/**
 * A training step of a variant beside the same variant in PyTorch, as `biform export torch` writes it, eager and by torch.compile: the
 * same weights and tokens, whose first losses must agree. BENCH_VARIANTS=MLA,KDA picks some; BENCH_PYTHON names a Python with PyTorch 2.
 */
import { join } from "node:path";
import { WasmDevice } from "../src/device/wasm.ts";
import { buildModel } from "../src/model/build.ts";
import { parametersOf } from "../src/model/model.ts";
import { exportFresh } from "../src/torch/export.ts";
import { initialWeights } from "../src/train/initial.ts";
import { Optimiser, optimiserDefaults } from "../src/train/optimiser.ts";
import { trainStep } from "../src/train/step.ts";
import { exported, startAll } from "./engines.ts";
import type { Steps } from "./peer.ts";
import { interleave, median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/** A model, and the rows and tokens of a step. */
interface Case {
  readonly spec: string;
  readonly sizes: {
    readonly width: number;
    readonly heads: number;
    readonly layers: number;
    readonly vocabulary: number;
  };
  readonly count: number;
  readonly length: number;
}

const { BENCH_VARIANTS = "MHA,MLA,KDA,TPA,GQA2-(192+64)-S2" } = process.env;
const small = { sizes: { width: 256, heads: 4, layers: 4, vocabulary: 2048 }, count: 8, length: 256 };
const large: Case = {
  spec: "MHA",
  sizes: { width: 768, heads: 12, layers: 12, vocabulary: 2048 },
  count: 1,
  length: 1024,
};
const cases = [...BENCH_VARIANTS.split(",").map((spec): Case => ({ spec, ...small })), large];

const SEED = 1;
/** The least ratio to the faster of PyTorch's ways that the project asks for: of MHA at 256, and elsewhere. */
const [PLAIN, ASKED] = [1.2, 1];
/** Relative difference of first losses that float32 explains. */
const TOLERANCE = 1e-4;

/** Tokens a second of every case and engine, on the most threads asked for. */
export async function torch(plan: Plan): Promise<Table[]> {
  const tables: Table[] = [];
  for (const [i, one] of cases.entries()) tables.push(await measure(one, join(plan.folder, `exported${i}`), plan));
  return tables;
}

async function measure(one: Case, folder: string, plan: Plan): Promise<Table> {
  const { spec, sizes, count, length } = one;
  const { rounds, report } = plan;
  const threads = Math.max(...plan.threads);
  const title = `training step of ${spec}, width ${sizes.width}, ${count} x ${length} tokens, ${threads}T`;
  const model = buildModel(spec, sizes);
  await exportFresh(model, folder, SEED);
  const ways = [
    ["PyTorch", false],
    ["PyTorch, compiled", true],
  ] as const;
  const peers = await startAll(
    ways.map(([name, compiled]) => ({ name, start: () => exported(name, folder, threads, [count, length], compiled) })),
    plan,
  );
  const device = await WasmDevice.open({ threads });
  const weights = initialWeights(model, device, SEED);
  const optimiser = new Optimiser(device, parametersOf(model), optimiserDefaults);
  const ids = Int32Array.from({ length: count * length }, (_, i) => (i * 7919) % sizes.vocabulary);
  const step = () => trainStep(model, weights, optimiser, { count, length, ids, targets: ids }, 1e-4);
  const own = (await step()).loss;
  await step();
  const turns = [
    { name: "Biform", turn: async () => timesOf(await repeat(2, step)) },
    ...peers.map((peer) => ({
      name: peer.name,
      turn: async () => timesOf(((await peer.ask({ op: "train", steps: 2 })) as Steps).seconds),
    })),
  ];
  const losses = new Map([["Biform", own]]);
  for (const peer of peers) {
    report(`${title}: ${peer.name} begins`);
    losses.set(peer.name, ((await peer.ask({ op: "train", steps: 2 })) as Steps).losses[0]!);
  }
  const results = await interleave(rounds, turns);
  for (const peer of peers) await peer.close();
  device.close();
  const lines = results.map(
    (r): Line => ({
      engine: r.name,
      median: (count * length) / r.median,
      best: (count * length) / r.best,
      note: lossText(losses.get(r.name)!, own),
    }),
  );
  report(`${title}: ${lines.map(({ engine, median: rate }) => `${engine} ${rate.toFixed(0)}`).join(", ")} tokens/s`);
  const asked = spec === "MHA" && sizes.width === small.sizes.width ? PLAIN : ASKED;
  const ratios = lines.slice(1).flatMap((peer) => ratio(lines[0]!, peer, asked));
  return { title, unit: "tokens/s", lines: [...lines.slice(1), { ...lines[0]!, ratios }] };
}

async function repeat(times: number, call: () => Promise<unknown>): Promise<number[]> {
  const seconds: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await call();
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

const timesOf = (seconds: readonly number[]) => ({ median: median(seconds), best: Math.min(...seconds) });

function lossText(loss: number, own: number): string {
  const off = Math.abs(loss - own) / own;
  return `first loss ${loss.toFixed(5)}${off <= TOLERANCE ? "" : `, WRONG: ${off.toExponential(1)} from Biform's`}`;
}
