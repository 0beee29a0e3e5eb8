/** Biform beside an older build of itself, in turns: kernels, attention, decoding, packed weights, variants, training, the reference. */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { cases } from "./attention.ts";
import { cases as decodes } from "./decode.ts";
import { Peer, type Request, type Steps, type Timing, type Took, type Work } from "./peer.ts";
import { interleave, median } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/** The least share of the older build's speed that is asked for. */
const ASKED = 0.98;
const works: readonly Work[] = ["packed", "family", "reference", "training", "decoding", "prefill"];

/** Calls, steps or units a second of both, for each number of threads; nothing without a base. */
export async function older({ base, folder, rounds, seconds, threads, report }: Plan): Promise<Table[]> {
  if (!base) return [];
  const trees = [
    ["older", resolve(base)],
    ["Biform", fileURLToPath(new URL("..", import.meta.url))],
  ] as const;
  const tables: Table[] = [];
  const measure = async (title: string, peers: readonly Peer[], request: Request) => {
    report(title);
    const turns = peers.map((peer) => ({ name: peer.name, turn: async () => timingOf(await peer.ask(request)) }));
    for (const { turn } of turns) await turn();
    const [old, own] = (await interleave(rounds, turns)).map(
      (r): Line => ({ engine: r.name, median: 1 / r.median, best: 1 / r.best }),
    );
    tables.push({ title, unit: "1/s", lines: [old!, { ...own!, ratios: ratio(own!, old, ASKED) }] });
  };
  const between = async (
    t: number,
    args: (tree: string) => string[],
    list: readonly (readonly [string, Request])[],
  ) => {
    const peers = await Promise.all(trees.map(([name, tree]) => Peer.start(name, process.execPath, args(tree))));
    try {
      for (const [title, request] of list) await measure(`${title}, ${t}T`, peers, request);
    } finally {
      for (const peer of peers) await peer.close();
    }
  };
  for (const t of threads) {
    // Each build answers by its own adapter: requests of kernels have stayed what they were.
    await between(t, (tree) => [join(tree, "bench/peers/biform.ts"), folder, "wide", `${t}`], [
      ["contraction 512 x 512 x 512", { op: "gemm", m: 512, n: 512, k: 512, seconds }],
      ["A x, 8192 x 2048", { op: "gemv", m: 8192, k: 2048, seconds }],
      ...cases.flatMap((z) =>
        (["forward", "backward"] as const).map(
          (pass) => [`${z.name}, ${pass}`, { op: "attention", case: z, pass, seconds }] as const,
        ),
      ),
      ...decodes.map((z) => [`decode, ${z.name}`, { op: "attention", case: z, pass: "forward", seconds }] as const),
      ["training step", { op: "train", steps: 2 }],
    ]);
    const peer = fileURLToPath(new URL("peers/busy.ts", import.meta.url));
    await between(
      t,
      (tree) => [peer, tree, `${t}`],
      works.map((work) => [work, { op: "work", work, seconds: 2 * seconds }] as const),
    );
  }
  return tables;
}

function timingOf(answer: unknown): { median: number; best: number } {
  const { seconds, ...timing } = answer as Partial<Took & Timing> | Steps;
  if (typeof seconds === "number") return { median: seconds, best: seconds };
  if (seconds) return { median: median(seconds), best: Math.min(...seconds) };
  return timing as Timing;
}
