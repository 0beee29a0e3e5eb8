// A real Ray with a head and two nodes on this host: an experiment as a Ray job, with a node killed in the middle.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePorts } from "./slurm.ts";
import { begin, doOn, layOut, untilCheckpoint } from "./study.ts";

const bin = join(import.meta.dirname, ".venv", "bin");
const ray = process.env.BIFORM_RAY ?? join(bin, "ray");
const lacks = !existsSync(ray)
  ? "no Ray (npm run test:clusters installs it)"
  : userInfo().uid === 0
    ? undefined
    : "nodes are namespaces of processes, which only root makes";
if (lacks) console.log(`ray.test.ts is skipped: ${lacks}`);

const dir = mkdtempSync(join(tmpdir(), "biform-ray-"));
const minutes = (n: number) => 60_000 * n;
/** Where a Ray of this user has left a token, every later one wants it: these are asked for one of their own. */
const token = { RAY_AUTH_MODE: "token", RAY_AUTH_TOKEN: crypto.randomUUID() };
const env = { ...process.env, ...token };
const nodes = new Map<string, ChildProcess>();
let address: string;

/** Ray's own limits, which a machine that does much else does not keep (ray_config_def.h, node.py). */
const patience = {
  RAY_agent_register_timeout_ms: "900000",
  RAY_worker_register_timeout_seconds: "600",
  RAY_gcs_server_port_wait_time_s: "600",
  RAY_gcs_rpc_server_connect_timeout_s: "600",
  RAY_gcs_rpc_server_reconnect_timeout_s: "600",
  RAY_gcs_server_request_timeout_seconds: "600",
  RAY_health_check_timeout_ms: "60000",
  RAY_health_check_failure_threshold: "10",
  RAY_DASHBOARD_STARTUP_TIMEOUT_S: "600",
};

/** Times that a node is started: it gives up where its first process is not registered within 30 s, whatever it is told. */
const STARTS = 10;

/** A node as processes of their own: when their first ends, all end, as those of a machine without power. */
async function start(name: string, ...words: string[]): Promise<void> {
  // Told its agents' ports, a node does not wait for their files, and give up, where the machine is slow.
  const ports = await freePorts(4);
  const agents = [
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "runtime-env-agent-port",
  ];
  words.push(...agents.map((agent, i) => `--${agent}=${ports[i]}`));
  const common = ["--block", "--disable-usage-stats", "--object-store-memory", "100000000"];
  const begin = (tries: number) => {
    const child = spawn(
      "unshare",
      ["--pid", "--fork", "--kill-child", "--mount-proc", ray, "start", ...words, ...common],
      {
        stdio: "ignore",
        env: {
          ...env,
          ...patience,
          PATH: `${join(ray, "..")}:${process.env.PATH}`,
          RAY_TMPDIR: join(dir, "t"),
        },
      },
    );
    nodes.set(name, child);
    // One that was killed ended by a signal.
    child.on("exit", (code) => {
      if (code !== null && tries < STARTS) begin(tries + 1);
    });
  };
  begin(1);
}

beforeAll(async () => {
  if (lacks) return;
  const [port, dashboard] = (await freePorts(2)) as [number, number];
  // No runs on the head, which also has the jobs' drivers.
  await start(
    "head",
    "--head",
    "--port",
    `${port}`,
    "--dashboard-port",
    `${dashboard}`,
    "--num-cpus",
    "0",
    "--resources",
    '{"head": 1}',
  );
  address = `http://127.0.0.1:${dashboard}`;
  const answers = () =>
    fetch(`${address}/api/version`, { headers: { Authorization: `Bearer ${token.RAY_AUTH_TOKEN}` } }).then(
      (answer) => answer.ok,
      () => false,
    );
  for (let tries = 0; !(await answers()); tries++) {
    if (tries > 1200) throw new Error("ray: got no answer of its jobs within twenty minutes");
    await wait(1000);
  }
  for (const name of ["a", "b"]) await start(name, "--address", `127.0.0.1:${port}`, "--num-cpus", "1");
}, minutes(30));

afterAll(() => {
  for (const child of nodes.values()) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

test.skipIf(lacks)(
  "runs end with the losses of one machine, bit for bit, though a node dies",
  { timeout: minutes(60) },
  async () => {
    const { file, losses } = layOut(dir);
    const out = join(dir, "killed");
    const words = ["--on", `ray:${address}`, "--with", "num_cpus=1"];
    const { losses: found, said } = await doOn(words, {
      file,
      out,
      env,
      async disturb() {
        await untilCheckpoint(out);
        nodes.get("a")!.kill("SIGKILL");
      },
    });
    expect(found).toEqual(losses);
    expect(said).toMatch(/6 of 6 runs handed to ray/);
  },
);

test.skipIf(lacks)("with --cancel Ctrl-C ends the job and what it started", { timeout: minutes(30) }, async () => {
  const { file } = layOut(dir);
  const out = join(dir, "cancelled");
  const command = begin(["--run", file, "--out", out, "--threads", "1", "--on", `ray:${address}`, "--cancel"], env);
  await untilCheckpoint(out);
  command.child.kill("SIGINT");
  expect(await command.end).toBe(130);
  const left = () => spawnSync("pgrep", ["-f", out], { encoding: "utf8" }).stdout.trim();
  for (let tries = 0; tries < 120 && left() !== ""; tries++) await wait(1000);
  expect(left()).toBe("");
});
