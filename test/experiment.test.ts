import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { openExperiment } from "../src/cluster/experiment.ts";
import { parseComparison } from "../src/lab/result.ts";
import { biform as commanded } from "./fixture/command.ts";

// An experiment through the front door: laid out, done here and by processes, and put together.

const scratch = mkdtempSync(join(tmpdir(), "biform-experiment-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const biform = (...words: string[]) => commanded(scratch, words);
const study = (
  "--variants MHA,MLA --seeds 2 --steps 4 --width 16 --heads 2 --layers 1 --batch 2 --evaluations 1 " +
  "--held-out 2 --data copying --items 3 --vocabulary 9 --length 8 --contexts 8"
).split(" ");

/** What decides nothing but the time it took is left out. */
function losses(name: string) {
  const { variants } = parseComparison(JSON.parse(readFileSync(join(scratch, name), "utf8")));
  return variants.map(({ spec, seeds, accuracy }) => ({ spec, seeds, accuracy }));
}

test("is laid out, done run by run and by processes, and collected: losses are those of a comparison, bit for bit", async () => {
  const laid = await biform("compare", ...study, "--experiment", "study.json");
  expect(laid).toEqual({ status: 0, stdout: "", stderr: "study.json: 4 runs, v0-MHA-s1, v1-MLA-s1, v0-MHA-s2, ...\n" });
  const none = await biform("compare", "--collect", "study.json");
  expect(none.status).toBe(1);
  expect(none.stderr).toMatch(/study\.json: got no finished run in .*study\.runs, expected one at least/);

  // By its key and by its place, one after the other.
  expect((await biform("compare", "--run", "study.json", "v1-MLA-s2", "0", "--threads", "1")).status).toBe(0);
  const again = await biform("compare", "--run", "study.json", "v1-MLA-s2", "--threads", "1");
  expect(again.status).toBe(0);
  expect(again.stderr).toMatch(/v1-MLA-s2: was done before, in .*study\.runs/);
  const some = await biform("compare", "--collect", "study.json", "--json", "some.json");
  expect(some.stderr).toContain("2 of 4 runs have finished; v1-MLA-s1, v0-MHA-s2 have not");
  expect(losses("some.json").map(({ seeds }) => seeds.map(({ seed }) => seed))).toEqual([[1], [2]]);

  const whole = await biform(
    ...["compare", "--run", "study.json", "--on", "processes:2", "--threads", "1"],
    ...["--json", "whole.json", "--picture", "whole.svg"],
  );
  expect(whole.stderr).toContain("2 of 4 runs handed to processes");
  expect(whole).toMatchObject({ status: 0, stdout: expect.stringMatching(/ right [\s\S]*picture: whole\.svg/) });
  await biform("compare", ...study, "--threads", "1", "--json", "local.json");
  expect(losses("whole.json")).toEqual(losses("local.json"));
  for (const name of ["whole.json", "local.json"]) {
    const { equal } = parseComparison(JSON.parse(readFileSync(join(scratch, name), "utf8")));
    expect(equal!.map(({ unit, place }) => [unit, place?.engine])).toEqual([
      ["FLOPs", undefined],
      ["seconds", "biform"],
    ]);
  }
  expect(whole.stdout).toMatch(/At equal time: .* of training steps, what a run of \w+ takes, on biform, /);
  for (const { accuracy } of losses("local.json")) expect(accuracy!.mean).toBeGreaterThanOrEqual(0);
  expect(readFileSync(join(scratch, "whole.svg"), "utf8")).toMatch(/<svg[\s\S]*right answers, %[\s\S]*MLA/);
});

test("gives each variant the steps that it had time for, by the times of a result", async () => {
  await biform("compare", ...study, "--threads", "1", "--json", "timed.json");
  const result = parseComparison(JSON.parse(readFileSync(join(scratch, "timed.json"), "utf8")));
  // Half as quick as the first, by a hand's measure.
  const times = result.equal!.find(({ unit }) => unit === "seconds")!;
  times.variants = times.variants.map((line, i) => ({ ...line, steps: 4 / (i + 1), share: 1 / (i + 1) }));
  const write = (name: string) => writeFileSync(join(scratch, name), JSON.stringify(result));
  write("timed.json");
  const timed = ["compare", ...study, "--match", "time", "--times"];
  expect((await biform(...timed, "timed.json", "--steps", "40", "--experiment", "even.json")).status).toBe(0);
  const { matched, experiment } = await openExperiment(join(scratch, "even.json"));
  expect([...matched.values()].map(({ steps }) => steps)).toEqual([40, 20]);
  expect(experiment.goal.speeds!.MHA).toBe(2 * experiment.goal.speeds!.MLA!);

  const refused = async (...words: string[]) => (await biform(...words, "--experiment", "none.json")).stderr;
  expect(await refused(...timed, "timed.json", "--variants", "MHA,GQA1-128")).toMatch(/got no time of GQA1-128/);
  result.equal!.push({ ...times, place: { engine: "torch" } });
  write("two.json");
  expect(await refused(...timed, "two.json")).toMatch(
    /two\.json: got times of 2 machines and engines, expected of one/,
  );
  expect(await refused("compare", ...study, "--match", "time")).toMatch(/--match: got time without --times/);
  expect(await refused("compare", ...study, "--times", "timed.json")).toMatch(/--times: got it without --match time/);
  expect(await refused(...timed.with(-2, "flops,time"), "timed.json")).toMatch(/got flops and time, expected one/);
});

const committed = globSync(join(import.meta.dirname, "../results/experiments/*.json"));

test.each(committed.map((file) => [basename(file), file]))("%s is what this version lays out", async (name, file) => {
  const read = JSON.parse(readFileSync(file, "utf8"));
  // Texts lie with whoever runs it; stories have as many ids as bytes.
  if (read.data.kind === "text") read.data = { kind: "story", seed: 1 };
  writeFileSync(join(scratch, name), JSON.stringify(read));
  const { matched } = await openExperiment(join(scratch, name));
  expect([...matched.keys()]).toEqual(read.variants.map(({ spec }: { spec: string }) => spec));
});

test.each([
  [["--experiment", "other.json", "--minutes", "1"], /--experiment: got a budget in minutes or a demo/],
  [["--run", "study.json"], /--run: got no keys, expected those of the runs/],
  [["--run", "study.json", "v7-MHA-s1"], /got run v7-MHA-s1, expected 0 to 3 or a key such as v0-MHA-s1/],
  [["--run", "study.json", "4"], /got run 4, expected 0 to 3/],
  [["--run", "study.json", "0", "--on", "slurm"], /--run: got 0 and --on/],
  [["--run", "nothing.json", "0"], /nothing\.json/],
  [["--run", "torn.json", "0"], /torn\.json/],
  [["--run", "newer.json", "0"], /newer\.json: .*format/],
  [["--collect", "study.json", "--run", "study.json"], /got --run and --collect, expected one/],
  [["--on", "processes:2"], /--on: got processes:2 without --experiment FILE or --run FILE/],
  [["--run", "study.json", "--on", "pbs"], /--on: got pbs, expected processes:N, slurm, ray/],
  [["--collect", "study.json", "--out", "s3://UP"], /s3:\/\//],
  [["--data", "copying", "--items", "0"], /--items: got "0"/],
  [["--data", "copying", "--items", "80"], /copying: got rows of 128 tokens, expected at least 160/],
  [["--data", "copying", "--vocabulary", "2"], /copying: got vocabulary 2, expected a whole number of at least 3/],
] as const)("compare %j says in a line what is wrong", async (words, message) => {
  await biform("compare", ...study, "--experiment", "study.json");
  const text = readFileSync(join(scratch, "study.json"), "utf8");
  writeFileSync(join(scratch, "torn.json"), text.slice(0, text.length >> 1));
  writeFileSync(join(scratch, "newer.json"), text.replace("biform experiment 1", "biform experiment 2"));
  const { status, stderr } = await biform("compare", ...words);
  expect(stderr).toMatch(message);
  expect(status).toBe(1);
  expect(stderr).not.toMatch(/^\s+at /m);
});
