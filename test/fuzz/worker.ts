import { parentPort, workerData } from "node:worker_threads";
import { Random } from "../../src/tensor/random.ts";
import type { Job, News } from "./run.ts";
import { checkRefusal, openTarget } from "./target.ts";

// One case after the other, each from its own seed, with news every now and then. Says what it begins, for when it never ends.

const { target, seed, cases, begun } = workerData as Job;
const { make, read } = await openTarget(target);
const news: News = { cases: 0, accepted: 0 };
let told = performance.now();

for (; news.cases < cases; news.cases++) {
  begun[0] = seed + news.cases;
  try {
    const bytes = make(new Random(seed + news.cases));
    try {
      await read(bytes);
      news.accepted++;
    } catch (error) {
      checkRefusal(error);
    }
  } catch (error) {
    news.failure = `seed ${seed + news.cases}: ${error instanceof Error ? (error.stack ?? error.message) : error}`;
    break;
  }
  if (performance.now() - told > 200) {
    told = performance.now();
    parentPort!.postMessage(news);
  }
}
parentPort!.postMessage({ ...news, done: true } satisfies News);
