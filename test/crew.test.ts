import { describe, expect, it } from "vitest";
import { Crew } from "../src/device/crew.ts";
import { Random } from "../src/tensor/random.ts";

/** Milliseconds that a launch of `alone` milliseconds takes on so many threads. */
type Machine = (alone: number, threads: number, random: Random) => number;

const quiet: Machine = (alone, threads) => 0.003 + alone / threads;
/** Each thread loses its core now and then for 4 ms of every 8; what it has begun waits, and so does the host. */
const stalled =
  (threadsStall: number): Machine =>
  (alone, threads, random) => {
    const time = 0.003 + alone / threads;
    const lost = threads > 1 ? threadsStall : 0.05;
    return time + (random.uniform() < Math.min(1, time * lost) ? 4 : 0);
  };

/** Runs launches of three kinds for so much work, and says what they took in all by this clock. */
function run(threads: number, machines: readonly Machine[], work: number, crew?: Crew, clock = { now: 0 }) {
  const random = new Random(5);
  const total: number[] = [];
  for (const machine of machines) {
    const start = clock.now;
    for (let done = 0, i = 0; done < work; i++) {
      const [kernel, size, alone] = [
        [1, 100, 0.05],
        [2, 5000, 0.4],
        [2, 70_000, 8],
      ][i % 50 === 49 ? 2 : i % 2]! as [number, number, number];
      const used = crew ? crew.begin(kernel, [2 ** 25, size]) : threads;
      clock.now += machine(alone, used, random);
      crew?.end();
      clock.now += 0.01;
      done += alone;
    }
    total.push(clock.now - start);
  }
  return total;
}

function crewOn(most: number, machines: readonly Machine[], work: number) {
  const clock = { now: 0 };
  const crew = new Crew(most, () => clock.now);
  return { total: run(most, machines, work, crew, clock), crew };
}

describe("the number of threads that is observed to be the fastest", () => {
  it.each([
    { name: "an idle machine", machine: quiet, best: 2, most: 1.02 },
    { name: "a busy machine", machine: stalled(1), best: 1, most: 1.05 },
  ])("on $name costs at most $most times the better one of one and two", ({ machine, best, most }) => {
    const { total, crew } = crewOn(2, [machine], 40_000);
    const [better] = run(best, [machine], 40_000);
    expect(crew.threads).toBe(best);
    expect(total[0]! / better!).toBeLessThan(most);
  });

  it("follows a machine that becomes busy, and idle again", () => {
    const { total, crew } = crewOn(2, [quiet, stalled(1), quiet], 20_000);
    expect(crew.threads).toBe(2);
    for (const [i, best] of [2, 1, 2].entries()) {
      const [better] = run(best, [[quiet, stalled(1), quiet][i]!], 20_000);
      expect(total[i]! / better!).toBeLessThan(1.1);
    }
  });

  it("may be any of many", () => {
    const four: Machine = (alone, threads) => 0.003 + alone / Math.min(threads, 4) + (threads > 4 ? alone : 0);
    expect(crewOn(8, [four], 20_000).crew.threads).toBe(4);
    expect(crewOn(6, [quiet], 20_000).crew.threads).toBe(6);
  });

  it("does not count pauses between launches as work", () => {
    const clock = { now: 0 };
    const crew = new Crew(2, () => clock.now);
    const used = new Set<number>();
    for (let i = 0; i < 5000; i++) {
      used.add(crew.begin(1, [100]));
      clock.now += 0.001;
      crew.end();
    }
    expect([...used]).toEqual([2]);
  });
});
