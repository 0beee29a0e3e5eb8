/** A whole training step, the same in every engine. */
import { biform, builds, jax, pytorch, startAll, tfjs } from "./engines.ts";
import { sizes } from "./model.ts";
import type { Peer, Steps } from "./peer.ts";
import { interleave, median } from "./rounds.ts";
import { type Line, type Plan, type Ratio, ratio, type Table } from "./section.ts";

/** Steps of one turn, so that slow engines do not stretch the round. */
const stepsOf = (name: string) => (name.startsWith("TensorFlow") ? 1 : name.startsWith("jax") ? 2 : 4);

/** Largest difference between two engines' first three losses that float32 explains. */
const tolerance = 2e-4;

/** Tokens/s per engine and thread count, after three warm-up steps whose losses must agree. */
export async function train(plan: Plan): Promise<Table[]> {
  const { rounds, threads, folder, report } = plan;
  const peers = await startAll(
    [
      ...threads.map((t) => ({ name: `PyTorch ${t}T`, start: () => pytorch(folder, t) })),
      ...threads.map((t) => ({ name: `jax-js ${t}T`, start: () => jax(folder, t) })),
      { name: "TensorFlow.js", start: () => tfjs(folder) },
      ...threads.flatMap((t) =>
        builds.map((build) => ({ name: `Biform ${build} ${t}T`, start: () => biform(folder, build, t) })),
      ),
    ],
    plan,
  );
  const first = new Map<string, Steps>();
  const ready: Peer[] = [];
  for (const peer of peers) {
    report(`warming up ${peer.name} (${peer.greeting.version})`);
    try {
      first.set(peer.name, (await peer.ask({ op: "train", steps: 3 })) as Steps);
      ready.push(peer);
    } catch (error) {
      report(`${peer.name} not measured: ${(error as Error).message}`);
    }
  }
  const last = new Map<string, Steps>();
  const results = await interleave(
    rounds,
    ready.map((peer) => ({
      name: peer.name,
      turn: async () => {
        const steps = (await peer.ask({ op: "train", steps: stepsOf(peer.name) })) as Steps;
        last.set(peer.name, steps);
        return { median: median(steps.seconds), best: Math.min(...steps.seconds) };
      },
    })),
  );
  for (const peer of ready) await peer.close();
  const tokens = sizes.batch * sizes.tokens;
  const lines = results.map((r): Line => ({ engine: r.name, median: tokens / r.median, best: tokens / r.best }));
  const reference = first.get(ready[0]?.name ?? "");
  return [
    {
      title: "training step",
      unit: "tokens/s",
      lines: lines.map((line) => ({
        ...line,
        ...(line.engine.startsWith("Biform") ? { ratios: against(line, lines) } : {}),
        note: noteOf(first.get(line.engine)!, last.get(line.engine)!, reference),
      })),
    },
  ];
}

/** To PyTorch at the same thread count; to jax-js at the same and as shipped; to TensorFlow.js, which has one thread. */
function against(line: Line, lines: readonly Line[]): Ratio[] {
  const threads = line.engine.split(" ").at(-1)!;
  const wide = line.engine.includes("wide");
  return lines.flatMap((peer) => {
    if (peer.engine === `PyTorch ${threads}`) return ratio(line, peer, wide && threads !== "1T" ? 0.9 : undefined);
    if (peer.engine.startsWith("jax") && (peer.engine.includes(threads) || peer.engine.includes("1T")))
      return ratio(line, peer, 3);
    return peer.engine.startsWith("TensorFlow") ? ratio(line, peer, 3) : [];
  });
}

function noteOf(steps: Steps, last: Steps, reference: Steps | undefined): string {
  const losses = `losses ${steps.losses.map((loss) => loss.toFixed(4)).join(", ")}`;
  const off = Math.max(...steps.losses.map((loss, i) => Math.abs(loss - (reference?.losses[i] ?? Number.NaN))));
  const verdict = off <= tolerance ? "" : `, WRONG: off by ${off.toExponential(1)} from the first engine's`;
  const mebi = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const { peakBytes, memoryBytes } = last;
  const memory =
    peakBytes && memoryBytes
      ? `; tensors' peak ${mebi(peakBytes)}, memory ${mebi(memoryBytes)} (${(memoryBytes / peakBytes).toFixed(2)} times)`
      : "";
  return losses + verdict + memory;
}
