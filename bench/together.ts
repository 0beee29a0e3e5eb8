// How many tokens a second several sessions write when they step together: node bench/together.ts MODEL [--context n] [--cache type]
// Steps of different numbers of sessions take turns, so that what else the machine does meets all of them alike; the fastest of
// each counts, and the median stands beside it. On a machine that others use, --threads 1 --clock cpu counts the time that the
// process itself was running.

import { readOptions } from "../scripts/options.ts";
import { load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { appendTogether } from "../src/generate/together.ts";
import type { CacheType } from "../src/tensor/page.ts";

const { values, positionals } = readOptions({
  allowPositionals: true,
  options: {
    context: { type: "string", default: "300" },
    cache: { type: "string", default: "f32" },
    threads: { type: "string", default: "2" },
    seconds: { type: "string", default: "20" },
    clock: { type: "string", default: "wall" },
  },
});
const clock = () => {
  const { user, system } = process.cpuUsage();
  return values.clock === "cpu" ? (user + system) / 1000 : performance.now();
};
const counts = [1, 2, 4, 8, 12, 16];
const loaded = await load(positionals[0]!, { threads: Number(values.threads) });
const { model, weights } = loaded;
const context = Number(values.context);
const draw = (n: number) => Int32Array.from({ length: n }, () => Math.floor(Math.random() * model.vocabulary));
const first = new Session(model, weights, { cache: values.cache as CacheType });
const sessions = Array.from({ length: Math.max(...counts) }, (_, i) => {
  const fork = first.fork();
  // Of mixed lengths, on pages of their own.
  fork.append(draw(Math.max(1, Math.round(context * (0.5 + (i % 4) / 3)))), { logits: "last" }).free();
  return fork;
});
const times = new Map<number, number[]>(counts.map((n) => [n, []]));
const lengths = sessions.map(({ length }) => length);
const end = performance.now() + 1000 * Number(values.seconds);
while (performance.now() < end)
  for (const n of counts) {
    const start = clock();
    const logits = appendTogether(sessions.slice(0, n).map((session) => ({ session, ids: draw(1) })));
    times.get(n)!.push(clock() - start);
    logits.free();
    for (const [i, session] of sessions.entries()) if (session.length > lengths[i]! + 60) session.rewind(lengths[i]!);
  }
let alone = 0;
for (const [n, all] of times) {
  const sorted = all.toSorted((a, b) => a - b);
  const [least, median] = [sorted[0]!, sorted[sorted.length >> 1]!];
  const rate = (1000 * n) / least;
  alone ||= rate;
  console.log(
    `${String(n).padStart(2)} sessions: ${least.toFixed(1)} ms (median ${median.toFixed(1)}), ${rate.toFixed(1)} tokens/s, ` +
      `${(rate / alone).toFixed(2)} times one`,
  );
}
loaded.close();
