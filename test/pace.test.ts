import { describe, expect, test } from "vitest";
import { Pace } from "../src/batch/pace.ts";
import { shareOut } from "../src/batch/share.ts";
import { Random } from "../src/tensor/random.ts";

/** Reads a prompt on a machine whose steps take `seconds` by sequences that write and tokens that are read: the steps' seconds. */
function read(
  pace: Pace,
  prompt: number,
  writers: number,
  seconds: (writers: number, read: number) => number,
): number[] {
  const steps: number[] = [];
  for (let left = prompt; left > 0; ) {
    const tokens = Math.min(left, pace.budget(writers));
    steps.push(seconds(writers, tokens));
    pace.note(writers, tokens, steps.at(-1)!);
    left -= tokens;
  }
  return steps;
}

describe("the pace of reading", () => {
  const machine = (writers: number, read: number) => 0.02 + 0.001 * writers + 0.0007 * read;

  test("others' tokens are at most 3 times as far apart while a prompt of 8k is read, and it is read as fast as that allows", () => {
    const pace = new Pace();
    const alone = machine(4, 0);
    const steps = read(pace, 8192, 4, machine);
    // After a few to find out.
    expect(Math.max(...steps.slice(8))).toBeLessThanOrEqual(3 * alone);
    const best = (8192 * 0.0007) / alone;
    expect(steps.length).toBeLessThan(1.3 * best);
  });

  test("over a context where a token of a prompt costs as much as a step that only writes, it reads a few at a time", () => {
    // As observed of 0.45 B parameters with latents of 512: 8 ms a token at first, 26 after 8000.
    let context = 0;
    const long = (_: number, read: number) => {
      context += read;
      return 0.063 + read * (0.008 + (0.018 * context) / 8000);
    };
    const steps = read(new Pace(), 8000, 4, long).slice(8);
    const ahead = steps.toSorted((a, b) => a - b);
    expect(ahead.at(Math.floor(0.99 * ahead.length))!).toBeLessThanOrEqual(2.4 * 0.063);
    expect(ahead.at(-1)!).toBeLessThanOrEqual(3 * 0.063);
    // And half of the time is the prompt's.
    expect(ahead.reduce((a, b) => a + b, 0)).toBeLessThan(2.3 * ahead.reduce((a, b) => a + b - 0.063, 0));
  });

  test("on a machine where steps now and then take four times as long, most are within 3 times all the same", () => {
    const [pace, random] = [new Pace(), new Random(3)];
    const busy = (writers: number, read: number) => machine(writers, read) * (random.uniform() < 0.2 ? 4 : 1);
    for (let i = 0; i < 20; i++) pace.note(4, 0, busy(4, 0));
    const steps = read(pace, 20_000, 4, busy).toSorted((a, b) => a - b);
    expect(steps.at(Math.floor(0.7 * steps.length))!).toBeLessThanOrEqual(3 * machine(4, 0));
  });

  test("it follows a machine that slows down, and sequences that join", () => {
    const pace = new Pace();
    read(pace, 4000, 4, machine);
    const slow = (writers: number, read: number) => machine(writers, 5 * read);
    expect(Math.max(...read(pace, 4000, 4, slow).slice(8))).toBeLessThanOrEqual(3 * machine(4, 0));
    expect(Math.max(...read(pace, 4000, 9, slow).slice(8))).toBeLessThanOrEqual(3 * machine(9, 0));
  });

  test("where none write, a step takes half a second, and never more tokens than a chunk", () => {
    expect(read(new Pace(), 20_000, 0, machine).at(20)).toBeCloseTo(0.5, 1);
    expect(Math.max(...read(new Pace(100), 2000, 0, machine))).toBeLessThanOrEqual(machine(0, 100));
  });

  test("however slow it is, a prompt comes to its end", () => {
    const steps = read(new Pace(), 1000, 2, (_, read) => (read ? 9 : 0.001));
    expect(steps.length).toBeLessThan(600);
  });
});

describe("the budget of a step", () => {
  test("goes to the oldest by half, and to the shortest", () => {
    expect(shareOut([], 64)).toEqual([]);
    expect(shareOut([500], 64)).toEqual([64]);
    expect(shareOut([500, 400, 10], 64)).toEqual([32, 22, 10]);
    expect(shareOut([3, 400, 10], 64)).toEqual([3, 51, 10]);
    expect(shareOut([500, 400], 0)).toEqual([0, 0]);
  });
});
