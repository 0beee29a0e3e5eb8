/** The WebGPU device on whatever adapter there is, a software one included, beside what that adapter can do and beside jax-js. */
import { biform, jaxGpu, startAll } from "./engines.ts";
import { sizes } from "./model.ts";
import type { AttentionCase, Launched, Peer, Steps, Timing } from "./peer.ts";
import { interleave, median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/**
 * Sizes for a real GPU; a software one takes smaller ones, as `WEBGPU_CONTEXTS=512,2048 WEBGPU_HEADS=16 WEBGPU_SIZES=256
 * WEBGPU_COPY=16`, or hours. `WEBGPU_PARTS` names some of what is measured.
 */
const { WEBGPU_PARTS, WEBGPU_CONTEXTS, WEBGPU_HEADS, WEBGPU_SIZES, WEBGPU_COPY = "256" } = process.env;
const numbers = (text: string | undefined, otherwise: readonly number[]) => text?.split(",").map(Number) ?? otherwise;
const contexts = numbers(WEBGPU_CONTEXTS, [8192, 32768, 131072]);
const heads = numbers(WEBGPU_HEADS, [16, 128]);
const squares = numbers(WEBGPU_SIZES, [1024, 4096]);
const copied = Number(WEBGPU_COPY) * 2 ** 20;

/** The least share of a copy's bandwidth that decoding asks for; of jax-js's training step; the most launches of a layer and token. */
const [BANDWIDTH, TRAINING, LAUNCHES] = [0.6, 2, 10];

/** What is measured, by the names that `WEBGPU_PARTS` may give some of. */
const parts: Readonly<Record<string, (plan: Plan, gpu: Peer) => Promise<Table>>> = {
  bandwidth,
  products,
  tokens: (_, gpu) => tokensOf(gpu),
  training,
};

export async function webgpu(plan: Plan): Promise<Table[]> {
  const wanted = WEBGPU_PARTS?.split(",") ?? Object.keys(parts);
  const unknown = wanted.find((name) => !parts[name]);
  if (unknown) {
    plan.report(`WEBGPU_PARTS: got ${unknown}, expected some of ${Object.keys(parts)}`);
    process.exitCode = 2;
    return [];
  }
  const [gpu] = await startAll([{ name: "Biform WebGPU", start: () => biform(plan.folder, "webgpu", 1) }], plan);
  if (!gpu) return [];
  const tables: Table[] = [];
  for (const name of wanted) {
    plan.report(name);
    tables.push(await parts[name]!(plan, gpu));
  }
  await gpu.close();
  return tables;
}

/** MLA absorbed, one query: its latents counted once, beside a copy. */
async function bandwidth({ rounds, seconds }: Plan, peer: Peer): Promise<Table> {
  const cases = contexts.flatMap((keys) => heads.map((h) => mla(h, keys)));
  const results = await interleave(rounds, [
    { name: "copy", turn: async () => (await peer.ask({ op: "move", bytes: copied, seconds })) as Timing },
    ...cases.map((z) => ({
      name: z.name,
      turn: async () => (await peer.ask({ op: "attention", case: z, pass: "forward", seconds })) as Timing,
    })),
  ]);
  const lines = results.map(({ name, median: middle, best }, i): Line => {
    // A copy reads and writes.
    const bytes = i === 0 ? 2 * copied : 4 * 576 * cases[i - 1]!.keys;
    return { engine: name, median: bytes / middle / 1e9, best: bytes / best / 1e9 };
  });
  return {
    title: "MLA decode attention, WebGPU",
    unit: "GB/s of latents",
    lines: lines.map((line, i) => (i === 0 ? line : { ...line, ratios: ratio(line, lines[0], BANDWIDTH) })),
  };
}

function mla(h: number, keys: number): AttentionCase {
  const terms = [512, 64].map((width) => ({ width, groups: 1 }));
  return { name: `${h} heads, ${keys} tokens`, batch: 1, queries: 1, keys, heads: h, terms, values: "firstKey" };
}

/** In float32, and where there are subgroup matrices of 16 bits by these. */
async function products(plan: Plan, peer: Peer): Promise<Table> {
  const { rounds, seconds, folder } = plan;
  const [half] = await startAll([{ name: "16 bits", start: () => biform(folder, "webgpu16", 1) }], plan);
  const engines = [{ peer, of: "float32" }, ...(half ? [{ peer: half, of: "16 bits, by subgroup matrices" }] : [])];
  const cases = engines.flatMap(({ peer, of }) => squares.map((n) => ({ peer, n, name: `${n} x ${n} x ${n}, ${of}` })));
  const results = await interleave(
    rounds,
    cases.map(({ peer, n, name }) => ({
      name,
      turn: async () => (await peer.ask({ op: "gemm", m: n, n, k: n, seconds })) as Timing,
    })),
  );
  const lines = results.map(({ name, median: middle, best }, i): Line => {
    const flops = 2 * cases[i]!.n ** 3;
    return { engine: name, median: flops / middle / 1e9, best: flops / best / 1e9 };
  });
  await half?.close();
  return { title: "contraction, WebGPU", unit: "GFLOP/s", lines };
}

/** Tokens of a small model, the first beside the second: shaders are compiled before, as while weights load. */
async function tokensOf(peer: Peer): Promise<Table> {
  const layers = 4;
  const { seconds, launches, ready } = (await peer.ask({ op: "tokens", layers, tokens: 24 })) as Launched;
  const [first = Number.NaN, second = Number.NaN, ...others] = seconds.map((s) => 1 / s);
  const line = (engine: string, rate: number, rest: Partial<Line> = {}) => ({
    engine,
    median: rate,
    best: rate,
    ...rest,
  });
  const each = launches / layers;
  return {
    title: `MLA, ${layers} layers of width 256, WebGPU`,
    unit: "tokens/s",
    lines: [
      line("second token", second),
      line("first token", first, {
        ratios: ratio(line("first", first), line("second token", second), 1 / 3),
        note: `once shaders were compiled, which took ${ready.toFixed(1)} s`,
      }),
      line("those after", median(others), {
        note: `${launches} launches a token, ${each.toFixed(1)} a layer (asked: at most ${LAUNCHES})`,
      }),
    ],
  };
}

async function training(plan: Plan, gpu: Peer): Promise<Table> {
  const { rounds, folder } = plan;
  const [jax] = await startAll([{ name: "jax-js WebGPU", start: () => jaxGpu(folder) }], plan);
  const peers = [gpu, ...(jax ? [jax] : [])];
  const losses = new Map<string, readonly number[]>();
  for (const peer of peers) losses.set(peer.name, ((await peer.ask({ op: "train", steps: 3 })) as Steps).losses);
  const results = await interleave(
    rounds,
    peers.map((peer) => ({
      name: peer.name,
      turn: async () => {
        const { seconds } = (await peer.ask({ op: "train", steps: 1 })) as Steps;
        return { median: median(seconds), best: Math.min(...seconds) };
      },
    })),
  );
  await jax?.close();
  const tokens = sizes.batch * sizes.tokens;
  const lines = results.map((r): Line => ({ engine: r.name, median: tokens / r.median, best: tokens / r.best }));
  return {
    title: "training step, WebGPU",
    unit: "tokens/s",
    lines: lines.map((line, i) => ({
      ...line,
      ...(i === 0 ? { ratios: ratio(line, lines[1], TRAINING) } : {}),
      note: `losses ${losses
        .get(line.engine)!
        .map((loss) => loss.toFixed(4))
        .join(", ")}`,
    })),
  };
}
