// A real Slurm of three nodes on this host: an experiment by job arrays, with a node killed in the middle.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, lacksSlurm, startSlurm } from "./slurm.ts";
import { begin, doOn, layOut, untilCheckpoint } from "./study.ts";

const lacks = lacksSlurm();
if (lacks) console.log(`slurm.test.ts is skipped: ${lacks}`);

const dir = mkdtempSync(join(tmpdir(), "biform-study-"));
const minutes = (n: number) => 60_000 * n;
let cluster: Cluster;

beforeAll(async () => {
  if (!lacks) cluster = await startSlurm(3);
}, minutes(10));
afterAll(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const states = () =>
  execFileSync("sacct", ["-n", "-P", "-X", "-D", "-o", "JobID,State"], { env: cluster.env, encoding: "utf8" })
    .trim()
    .split("\n");

test.skipIf(lacks)(
  "runs end with the losses of one machine, bit for bit, though a node dies",
  { timeout: minutes(60) },
  async () => {
    const { file, losses } = layOut(dir);
    const out = join(dir, "killed");
    const { losses: found, said } = await doOn(["--on", "slurm", "--with", "partition=cpu", "time=30"], {
      file,
      out,
      env: cluster.env,
      async disturb() {
        await untilCheckpoint(out);
        cluster.kill("n2");
        while (!states().some((line) => /NODE_FAIL|REQUEUED/.test(line))) await wait(1000);
        cluster.start("n2");
      },
    });
    expect(found).toEqual(losses);
    expect(said).toMatch(/6 of 6 runs handed to slurm/);
    console.log(states().join("\n"));
  },
);

test.skipIf(lacks)(
  "Ctrl-C leaves the runs to Slurm, and the same command goes on; with --cancel it ends them",
  { timeout: minutes(60) },
  async () => {
    const { file, losses } = layOut(dir);
    const out = join(dir, "left");
    const words = ["--run", file, "--out", out, "--threads", "1", "--on", "slurm"];
    const first = begin(words, cluster.env);
    await untilCheckpoint(out);
    first.child.kill("SIGINT");
    expect(await first.end).toBe(130);
    expect(first.said()).toMatch(/the runs go on/);
    const second = await doOn(["--on", "slurm"], { file, out, env: cluster.env, disturb: async () => {} });
    expect(second.losses).toEqual(losses);
    expect(second.said).not.toMatch(/handed to slurm/);
    const cancelled = begin([...words.with(3, join(dir, "cancelled")), "--cancel"], cluster.env);
    await untilCheckpoint(join(dir, "cancelled"));
    cancelled.child.kill("SIGINT");
    expect(await cancelled.end).toBe(130);
    const queue = () => execFileSync("squeue", ["-h"], { env: cluster.env, encoding: "utf8" });
    for (let tries = 0; tries < 60 && queue() !== ""; tries++) await wait(1000);
    expect(queue()).toBe("");
  },
);

test.skipIf(lacks)("a partition that is not there is told by Slurm's own words", { timeout: minutes(5) }, async () => {
  const { file } = layOut(dir);
  const refused = begin(
    ["--run", file, "--out", join(dir, "refused"), "--on", "slurm", "--with", "partition=none"],
    cluster.env,
  );
  expect(await refused.end).toBe(1);
  expect(refused.said()).toMatch(/sbatch: got .*invalid partition.*, expected it to do/i);
});
