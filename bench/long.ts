/**
 * A long run: many tokens written, memory flat, speed along the line that its first part predicts.
 *
 *   node bench/long.ts FILE [--tokens 10000] [--threads 2] [--cache bf16]
 *
 * A token's time grows by what its context adds to be read: t(n) = a + b n. The line is laid through the first half; the
 * second must follow it within 15 %. Memory may grow by the cache and no more.
 */

import { readOptions } from "../scripts/options.ts";
import { load } from "../src/generate/load.ts";
import type { CacheType } from "../src/tensor/page.ts";
import { median } from "./rounds.ts";

const { values, positionals } = readOptions({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "10000" },
    threads: { type: "string", default: "2" },
    cache: { type: "string", default: "bf16" },
  },
});
const [file] = positionals;
if (!file) throw new Error("long: got no file, expected a model's folder or GGUF file");
const count = Number(values.tokens);
const model = await load(file, { threads: Number(values.threads) });
const text = model.session({ context: count + 16, cache: values.cache as CacheType });

/** Tokens of one line of the table. */
const step = Math.max(1, Math.round(count / 20));
const lines: { at: number; seconds: number; rss: number; cache: number }[] = [];
let times: number[] = [];
let last = performance.now();
console.log("context  ms/token  tokens/s  resident MiB  cache MiB");
for await (const _ of text.generate([1, 2, 3], { maxTokens: count, temperature: 0, end: new Set() })) {
  const now = performance.now();
  times.push((now - last) / 1000);
  last = now;
  if (times.length < step) continue;
  const line = {
    at: text.length,
    seconds: median(times),
    rss: process.memoryUsage.rss() / 2 ** 20,
    cache: text.bytes / 2 ** 20,
  };
  lines.push(line);
  const cells = [line.at, (1000 * line.seconds).toFixed(2), (1 / line.seconds).toFixed(1), line.rss.toFixed(0)];
  console.log([...cells, line.cache.toFixed(1)].map((cell, i) => `${cell}`.padStart([7, 9, 9, 13, 10][i]!)).join(" "));
  times = [];
}

// The first line of the table has the second compilation of hot kernels in it.
const [, ...settled] = lines;
const half = settled.slice(0, settled.length >> 1);
const mean = (f: (line: (typeof lines)[number]) => number) =>
  half.reduce((sum, line) => sum + f(line), 0) / half.length;
const [at, seconds] = [mean((line) => line.at), mean((line) => line.seconds)];
const slope = mean((line) => (line.at - at) * (line.seconds - seconds)) / mean((line) => (line.at - at) ** 2);
const off = settled.map((line) => line.seconds / (seconds + slope * (line.at - at)) - 1).slice(half.length);
const growth = settled.at(-1)!.rss - settled[0]!.rss - (settled.at(-1)!.cache - settled[0]!.cache);
const largest = off.reduce((x, y) => (Math.abs(y) > Math.abs(x) ? y : x), 0);
console.log(
  `\nt(n) = ${(1000 * (seconds - slope * at)).toFixed(2)} ms + ${(1e9 * slope).toFixed(0)} ns n by the first half; ` +
    `the second is off by ${(100 * median(off)).toFixed(1)} % (median), ${(100 * largest).toFixed(1)} % at most`,
);
console.log(`memory beyond the cache: ${growth.toFixed(0)} MiB in ${settled.at(-1)!.at - settled[0]!.at} tokens`);
const held = Math.abs(median(off)) < 0.15 && growth < 64;
console.log(held ? "flat, and along the line" : "not flat, or off the line");
process.exit(held ? 0 : 1);
