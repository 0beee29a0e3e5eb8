/** Contraction against OpenBLAS, one and two threads. */
import { biform, builds, openblas, startAll } from "./engines.ts";
import type { Peer, Timing } from "./peer.ts";
import { interleave } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const shapes = [
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [512, 2048, 2048],
] as const;

/** What the project asks of each build, as a share of OpenBLAS. */
const targets: Readonly<Record<string, number>> = { relaxed: 0.5, wide: 0.75 };

/** GFLOP/s of `m k, k n -> m n` per size, thread count and engine. */
export async function gemm(plan: Plan): Promise<Table[]> {
  const { rounds, seconds, threads, folder } = plan;
  const tables: Table[] = [];
  for (const t of threads) {
    const peers = await startAll(
      [
        { name: `OpenBLAS ${t}T`, start: () => openblas(t) },
        ...builds.map((build) => ({ name: `Biform ${build} ${t}T`, start: () => biform(folder, build, t) })),
      ],
      plan,
    );
    for (const [m, n, k] of shapes) {
      const ask = (peer: Peer) => ({
        name: peer.name,
        turn: async () => (await peer.ask({ op: "gemm", m, n, k, seconds })) as Timing,
      });
      const results = await interleave(rounds, peers.map(ask));
      const flops = 2 * m * n * k;
      const lines = results.map(
        (r): Line => ({ engine: r.name, median: flops / r.median / 1e9, best: flops / r.best / 1e9 }),
      );
      const blas = lines.find(({ engine }) => engine.startsWith("OpenBLAS"));
      tables.push({
        title: `contraction ${m} x ${k} x ${n}`,
        unit: "GFLOP/s",
        lines: lines.map((line) =>
          line === blas ? line : { ...line, ratios: ratio(line, blas, targets[line.engine.split(" ")[1]!]) },
        ),
      });
    }
    for (const peer of peers) await peer.close();
  }
  return tables;
}
