/** `attend`, forward and backward, against this device's own contraction. */
import { biform, builds, startAll } from "./engines.ts";
import type { AttentionCase, Timing } from "./peer.ts";
import { interleave } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

/** A training step's attention, the same work in longer rows, MLA's two forms, and a group per two heads. */
export const cases: readonly AttentionCase[] = [
  {
    ...sized("MHA, 8 x 256, 4 x 64", 8, 256, 4),
    terms: [{ width: 64, groups: 4 }],
    values: { width: 64, groups: 4 },
  },
  {
    ...sized("MHA, 2048, 4 x 64", 1, 2048, 4),
    terms: [{ width: 64, groups: 4 }],
    values: { width: 64, groups: 4 },
  },
  {
    ...sized("GQA4, 1024, 8 x 128", 1, 1024, 8),
    terms: [{ width: 128, groups: 4 }],
    values: { width: 128, groups: 4 },
  },
  {
    ...sized("MLA expanded, 1024, 8 x (128+64)", 1, 1024, 8),
    terms: [
      { width: 128, groups: 8 },
      { width: 64, groups: 1 },
    ],
    values: { width: 128, groups: 8 },
  },
  {
    ...sized("MLA expanded, 8 x 256, 4 x (64+32)", 8, 256, 4),
    terms: [
      { width: 64, groups: 4 },
      { width: 32, groups: 1 },
    ],
    values: { width: 64, groups: 4 },
  },
  {
    ...sized("MLA absorbed, 512, 8 x (512+64)", 1, 512, 8),
    terms: [
      { width: 512, groups: 1 },
      { width: 64, groups: 1 },
    ],
    values: "firstKey",
  },
];

/** The least share of the contraction's speed that the project asks for. */
const target = 0.6;

/** GFLOP/s per case, pass, build and thread count; the contraction at 512^3 takes turns with them. */
export async function attention(plan: Plan): Promise<Table[]> {
  const { rounds, seconds, threads, folder } = plan;
  const tables: Table[] = [];
  for (const t of threads) {
    for (const build of builds) {
      const name = `Biform ${build} ${t}T`;
      for (const peer of await startAll([{ name, start: () => biform(folder, build, t) }], plan)) {
        const [m, n, k] = [512, 512, 512];
        const lines: Line[] = [];
        for (const z of cases) {
          const results = await interleave(rounds, [
            { name: "contraction", turn: async () => (await peer.ask({ op: "gemm", m, n, k, seconds })) as Timing },
            ...(["forward", "backward"] as const).map((pass) => ({
              name: pass,
              turn: async () => (await peer.ask({ op: "attention", case: z, pass, seconds })) as Timing,
            })),
          ]);
          const rate = (i: number, flops: number, engine: string): Line => ({
            engine,
            median: flops / results[i]!.median / 1e9,
            best: flops / results[i]!.best / 1e9,
          });
          const own = rate(0, 2 * m * n * k, "own 512^3");
          for (const [i, pass] of (["forward", "backward"] as const).entries()) {
            const line = rate(i + 1, flopsOf(z)[pass], `${z.name}, ${pass}`);
            lines.push({ ...line, ratios: ratio(line, own, target) });
          }
        }
        tables.push({ title: `attend, ${name}`, unit: "GFLOP/s", lines });
        await peer.close();
      }
    }
  }
  return tables;
}

/**
 * Arithmetic over the (query, key) pairs that the causal mask lets through, masked halves not counted. Forward: scores and
 * weighted sum. Backward: the scores again (they are never stored), dP, dV, dQ and dK.
 */
export function flopsOf(z: AttentionCase): { forward: number; backward: number } {
  const offset = z.keys - z.queries;
  const pairs = z.batch * z.heads * ((z.queries * (z.queries + 1)) / 2 + z.queries * offset);
  const key = z.terms.reduce((sum, { width }) => sum + width, 0);
  const value = z.values === "firstKey" ? z.terms[0]!.width : z.values.width;
  return { forward: 2 * pairs * (key + value), backward: 2 * pairs * (3 * key + 2 * value) };
}

function sized(name: string, batch: number, tokens: number, heads: number) {
  return { name, batch, queries: tokens, keys: tokens, heads };
}
