/** The WebGPU device on whatever adapter there is, a software one included, beside what that adapter can do and beside jax-js. */
import { biform, jaxGpu, startAll } from "./engines.ts";
import { sizes } from "./model.ts";
import type { AttentionCase, Launched, Peer, Steps, Timing } from "./peer.ts";
import { interleave, median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/**
 * Sizes for a real GPU; a software one takes smaller ones, as `WEBGPU_CONTEXTS=512,2048 WEBGPU_HEADS=16 WEBGPU_SIZES=256
 * WEBGPU_COPY=16`, or hours.
 */
const { WEBGPU_CONTEXTS, WEBGPU_HEADS, WEBGPU_SIZES, WEBGPU_COPY = "256" } = process.env;
const numbers = (text: string | undefined, otherwise: readonly number[]) => text?.split(",").map(Number) ?? otherwise;
const contexts = numbers(WEBGPU_CONTEXTS, [8192, 32768, 131072]);
const heads = numbers(WEBGPU_HEADS, [16, 128]);
const squares = numbers(WEBGPU_SIZES, [1024, 4096]);
const copied = Number(WEBGPU_COPY) * 2 ** 20;

/** The least share of a copy's bandwidth that decoding asks for; of jax-js's training step; the most launches of a layer and token. */
const [BANDWIDTH, TRAINING, LAUNCHES] = [0.6, 2, 10];

export async function webgpu(plan: Plan): Promise<Table[]> {
  const { folder, report } = plan;
  const [gpu, peer] = [
    ...(await startAll([{ name: "Biform WebGPU", start: () => biform(folder, "webgpu", 1) }], plan)),
    ...(await startAll([{ name: "jax-js WebGPU", start: () => jaxGpu(folder) }], plan)),
  ];
  if (!gpu?.name.startsWith("Biform")) return [];
  const tables = [await bandwidth(gpu, plan), await products(gpu, plan), await tokensOf(gpu)];
  report("training steps");
  tables.push(await training([gpu, ...(peer ? [peer] : [])], plan));
  for (const one of [gpu, peer]) await one?.close();
  return tables;
}

/** MLA absorbed, one query: its latents counted once, beside a copy. */
async function bandwidth(peer: Peer, { rounds, seconds }: Plan): Promise<Table> {
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

async function products(peer: Peer, { rounds, seconds }: Plan): Promise<Table> {
  const results = await interleave(
    rounds,
    squares.map((n) => ({
      name: `${n} x ${n} x ${n}`,
      turn: async () => (await peer.ask({ op: "gemm", m: n, n, k: n, seconds })) as Timing,
    })),
  );
  const lines = results.map(({ name, median: middle, best }, i): Line => {
    const flops = 2 * squares[i]! ** 3;
    return { engine: name, median: flops / middle / 1e9, best: flops / best / 1e9 };
  });
  return { title: "contraction in float32, WebGPU", unit: "GFLOP/s", lines };
}

/** Tokens of a small model; the first of all compiles, and is shown beside the second. */
async function tokensOf(peer: Peer): Promise<Table> {
  const layers = 4;
  const { seconds, launches } = (await peer.ask({ op: "tokens", layers, tokens: 24 })) as Launched;
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
      line("first token", first, { ratios: ratio(line("first", first), line("second token", second), 1 / 3) }),
      line("those after", median(others), {
        note: `${launches} launches a token, ${each.toFixed(1)} a layer (asked: at most ${LAUNCHES})`,
      }),
    ],
  };
}

async function training(peers: readonly Peer[], { rounds }: Plan): Promise<Table> {
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
