/** One new token against a long cache: `attend` by the bytes it must read, against OpenBLAS reading a matrix. */
import { biform, builds, openblas, startAll } from "./engines.ts";
import type { AttentionCase, Timing } from "./peer.ts";
import { interleave } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

const one = { batch: 1, queries: 1, heads: 16 };
export const cases: readonly AttentionCase[] = [
  {
    ...one,
    name: "MHA, 4096, 16 x 128",
    keys: 4096,
    terms: [{ width: 128, groups: 16 }],
    values: { width: 128, groups: 16 },
  },
  {
    ...one,
    name: "GQA2, 16384, 16 x 128",
    keys: 16384,
    terms: [{ width: 128, groups: 2 }],
    values: { width: 128, groups: 2 },
  },
  {
    ...one,
    name: "MLA absorbed, 16384, 512+64",
    keys: 16384,
    terms: [
      { width: 512, groups: 1 },
      { width: 64, groups: 1 },
    ],
    values: "firstKey",
  },
];
const [rows, columns] = [8192, 2048];

/** GB/s of cache rows (each counted once) per case, build and thread count, beside y = A x over 64 MiB. */
export async function decode(plan: Plan): Promise<Table[]> {
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
    const ownBytes = rows * columns * 4;
    const work = peers.flatMap((peer) => {
      const vector = {
        name: `${peer.name}: A x, ${rows} x ${columns}`,
        bytes: ownBytes,
        turn: async () => (await peer.ask({ op: "gemv", m: rows, k: columns, seconds })) as Timing,
      };
      if (peer.name.startsWith("OpenBLAS")) return [vector];
      const attends = cases.map((z) => ({
        name: `${peer.name}: ${z.name}`,
        bytes: bytesOf(z),
        turn: async () => (await peer.ask({ op: "attention", case: z, pass: "forward", seconds })) as Timing,
      }));
      return [vector, ...attends];
    });
    const results = await interleave(rounds, work);
    const lines = results.map((r, i): Line => {
      const { bytes } = work[i]!;
      return { engine: r.name, median: bytes / r.median / 1e9, best: bytes / r.best / 1e9 };
    });
    const blas = lines.find(({ engine }) => engine.startsWith("OpenBLAS"));
    const named = blas && { ...blas, engine: "OpenBLAS A x" };
    tables.push({
      title: `decode, ${t}T`,
      unit: "GB/s",
      lines: lines.map((line) => (line === blas ? line : { ...line, ratios: ratio(line, named) })),
    });
    for (const peer of peers) await peer.close();
  }
  return tables;
}

/** Bytes of cache that one call must read, in float32. */
function bytesOf(z: AttentionCase): number {
  const parts = z.values === "firstKey" ? z.terms : [...z.terms, z.values];
  return 4 * z.batch * z.keys * parts.reduce((sum, { width, groups }) => sum + width * groups, 0);
}
