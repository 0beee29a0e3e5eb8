/** Biform on a machine whose cores are wanted by others too: an older build, this one on 1 and 2 threads, and its default. */
import { type ChildProcess, spawn } from "node:child_process";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Peer, type Took, type Work } from "./peer.ts";
import { interleave } from "./rounds.ts";
import { type Line, type Plan, ratio, type Table } from "./section.ts";

export const works: readonly Work[] = ["training", "decoding", "prefill"];
/** What the default is asked to reach of the older build's, by the number of competitors. */
const asked = [0.98, 1.5, 2];
const [BASE, ONE, TWO, DEFAULT, LIMIT] = ["older, default", "1 thread", "2 threads", "default", "limit: fair share"];

/** Units of work per second, for every kind of work and number of competing processes that burn the cores. */
export async function busy(plan: Plan): Promise<Table[]> {
  const { rounds, seconds, report, base, competitors } = plan;
  const here = fileURLToPath(new URL("..", import.meta.url));
  const start = (name: string, folder: string, threads: string[]) =>
    Peer.start(name, process.execPath, [fileURLToPath(new URL("peers/busy.ts", import.meta.url)), folder, ...threads]);
  const tables: Table[] = [];
  for (const work of plan.works) {
    const peers = await Promise.all([
      ...(base ? [start(BASE, resolve(base), [])] : []),
      start(ONE, here, ["1"]),
      start(TWO, here, ["2"]),
      start(DEFAULT, here, []),
    ]);
    try {
      for (const peer of peers) await peer.ask({ op: "work", work, seconds: 2 * seconds });
      let alone: number | undefined;
      for (const count of competitors) {
        report(`${work} beside ${count} competing processes`);
        const others = burn(count);
        try {
          const turns = peers.map((peer) => ({ name: peer.name, turn: () => turn(peer, work, seconds) }));
          // The machine has just changed: the default finds out how many threads are of use.
          for (const { turn } of turns) await turn();
          const results = await interleave(rounds, turns);
          if (count === 0) alone = 1 / results.find(({ name }) => name === ONE)!.best;
          tables.push(tableOf(work, count, results, alone));
        } finally {
          for (const other of others) other.kill("SIGKILL");
        }
      }
    } finally {
      for (const peer of peers) await peer.close();
    }
  }
  return tables;
}

async function turn(peer: Peer, work: Work, seconds: number): Promise<{ median: number; best: number }> {
  const took = (await peer.ask({ op: "work", work, seconds })) as Took;
  return { median: took.seconds, best: took.seconds };
}

/** Processes that do nothing but use a core each. */
function burn(count: number): ChildProcess[] {
  return Array.from({ length: count }, () => spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
}

/** Cores that `threads` threads get of as many beside so many competitors, where a scheduler is fair to each of them. */
export function fairShare(threads: number, competitors: number): number {
  return (threads * threads) / (threads + competitors);
}

/** `alone`: what one thread does on the machine when it is quiet, so that no scheduler that is fair lets two do more than so often that. */
function tableOf(
  work: Work,
  count: number,
  results: readonly { name: string; median: number; best: number }[],
  alone: number | undefined,
): Table {
  const lines = results.map(({ name, median, best }): Line => ({ engine: name, median: 1 / median, best: 1 / best }));
  const [older, one, two] = [BASE, ONE, TWO].map((name) => lines.find(({ engine }) => engine === name));
  const better = one!.median > two!.median ? one : two;
  const rated = lines.map((line) =>
    line.engine === DEFAULT
      ? { ...line, ratios: [...ratio(line, older, asked[count]), ...ratio(line, better, 0.95)] }
      : line,
  );
  const most = alone && count ? alone * fairShare(2, count) : undefined;
  const limit: Line[] = most
    ? [{ engine: LIMIT, median: most, best: most, ratios: ratio({ engine: LIMIT, median: most, best: most }, older) }]
    : [];
  return {
    title: `${work}, ${count} ${count === 1 ? "competitor" : "competitors"}`,
    unit: "1/s",
    lines: [...rated, ...limit],
  };
}
