import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { clock, progress, sparkline } from "../src/cli/progress.ts";

/** A stream that keeps what was written; a terminal if it has a size. */
function recorder(size?: { columns: number; rows: number }): { stream: PassThrough; text: () => string } {
  const stream = new PassThrough();
  const parts: string[] = [];
  stream.on("data", (part) => parts.push(String(part)));
  if (size) Object.assign(stream, size, { isTTY: true });
  return { stream, text: () => parts.join("") };
}

describe("progress in a log", () => {
  test("prints a line every few seconds at most, with what is at work and the time left", async () => {
    const { stream, text } = recorder();
    let time = 0;
    const display = progress({ title: "Comparing", total: 100, stream, now: () => time });
    for (let done = 1; done <= 100; done++) {
      time += 200;
      display.update({ done, label: "MLA seed 1", loss: 5 - done / 50, detail: `step ${done} of 100` });
    }
    await display.finish("done");
    const lines = text().trimEnd().split("\n");
    expect(lines).toHaveLength(20_000 / 5000 + 1);
    expect(lines[0]).toMatch(
      /^Comparing .* 25 %, 0:05 spent, 0:15 left; MLA seed 1 {2}[▁-█]+ 4\.5000 {2}step 25 of 100$/,
    );
    expect(lines.at(-1)).toBe("done");
    expect(text()).not.toContain("\u001b");
  });

  test("leaves its last state where no message is given", async () => {
    const { stream, text } = recorder();
    const display = progress({ title: "Training", total: 10, stream, now: () => 0 });
    display.update({ done: 10, label: "MHA" });
    await display.finish();
    expect(text()).toMatch(/^Training ━{20} 100 %, 0:00 spent; MHA\n$/);
  });

  test("prints lines on a terminal that has no size", async () => {
    const { stream, text } = recorder({ columns: 0, rows: 0 });
    const display = progress({ title: "Training", total: 10, stream, now: () => 0 });
    await display.finish("end");
    expect(text()).toBe("end\n");
  });
});

describe("progress on a terminal", () => {
  test("keeps the curves of finished runs above the one at work and gives the cursor back", async () => {
    const { stream, text } = recorder({ columns: 90, rows: 30 });
    let time = 0;
    const display = progress({ title: "Comparing", total: 4, stream, now: () => time });
    const turn = async () => {
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    await turn();
    for (const [done, label, loss] of [
      [1, "MHA", 5],
      [2, "MHA", 4],
      [3, "MLA", 5],
      [4, "MLA", 3],
    ] as const) {
      time += 1000;
      display.update({ done, label, loss });
      await turn();
    }
    await display.finish("result");
    expect(text()).toMatch(/Comparing .*100 %.*\n.*MHA {2}█▁ 4\.0000\n.*MLA {2}█▁ 3\.0000\n/);
    expect(text().lastIndexOf("\u001b[?25h")).toBeGreaterThan(text().lastIndexOf("\u001b[?25l"));
    expect(text()).toMatch(/result\n$/);
  });
});

describe("a sparkline", () => {
  test("goes from the highest block to the lowest for a falling curve, in the width asked for", () => {
    const line = sparkline(
      Array.from({ length: 200 }, (_, step) => 5 - step / 100),
      10,
    );
    expect([...line]).toHaveLength(10);
    expect(line).toMatch(/^█.*▁$/);
  });

  test("is flat for a constant, empty for nothing, and skips what is not finite", () => {
    expect(sparkline([2, 2, 2])).toBe("▁▁▁");
    expect(sparkline([])).toBe("");
    expect(sparkline([Number.NaN, 1, Number.POSITIVE_INFINITY, 2])).toBe("▁█");
  });
});

test("a clock shows hours only where there are any", () => {
  expect([0, 42.4, 200, 3900].map(clock)).toEqual(["0:00", "0:42", "3:20", "1:05:00"]);
});
