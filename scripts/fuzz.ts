// Fuzzes the parsers of weight files, the readers of configs and the server's requests for as long as wanted: node scripts/fuzz.ts [--minutes 10]
// [--target gguf|safetensors|config|request] [--seed N] [--cases N]. Case i is made from seed + i alone, so a failure is repeated with its seed and --cases 1.
import { fuzz, type News } from "../test/fuzz/run.ts";
import { targetNames as names, type TargetName } from "../test/fuzz/target.ts";
import { readOptions } from "./options.ts";

const { values } = readOptions({
  options: {
    minutes: { type: "string", default: "10" },
    target: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    cases: { type: "string" },
  },
});
const chosen = names.filter((name) => !values.target || name === values.target);
const milliseconds = Number(values.minutes) * 60_000;
const cases = values.cases === undefined ? Number.POSITIVE_INFINITY : Number(values.cases);
const seed = Number(values.seed);
if (!chosen.length || !(milliseconds > 0) || !Number.isSafeInteger(seed) || !(cases >= 1)) {
  console.error(`--target is one of ${names.join(", ")}; --minutes, --cases and --seed are numbers`);
  process.exit(2);
}

const start = performance.now();
const state = new Map<TargetName, News>();
const minutes = (ms: number) => `${Math.floor(ms / 60_000)}:${String(Math.floor((ms / 1000) % 60)).padStart(2, "0")}`;
const line = () => {
  const gone = performance.now() - start;
  const counts = [...state].map(([name, news]) => {
    const share = Math.round((100 * news.accepted) / Math.max(1, news.cases));
    return `${name} ${news.cases} cases (${share} % taken)`;
  });
  return `${minutes(gone)} of ${minutes(milliseconds)}, ${minutes(Math.max(0, milliseconds - gone))} left: ${counts.join(", ")}`;
};

console.log(`seed ${seed}`);
const timer = setInterval(() => console.log(line()), 10_000);
const outcomes = await Promise.all(
  chosen.map(async (target) => {
    const watch = (news: News) => void state.set(target, news);
    const news = await fuzz({ target, seed, cases, milliseconds, watch });
    watch(news);
    return { target, ...news };
  }),
);
clearInterval(timer);
console.log(line());
for (const { target, failure } of outcomes) if (failure) console.error(`${target}: ${failure}`);
process.exitCode = outcomes.some(({ failure }) => failure) ? 1 : 0;
