import { execFileSync, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

const programs = ["unshare", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mysql_install_db"];

/** Programs of a Slurm with accounting that this machine has not, or why it cannot be started. */
export function lacksSlurm(): string | undefined {
  const missing = programs.filter((name) => spawnSync("which", [name], { env: paths() }).status !== 0);
  if (missing.length > 0)
    return `no ${missing.join(", ")} (Debian: apt-get install slurm-wlm slurmdbd munge mariadb-server)`;
  return userInfo().uid === 0 ? undefined : "Slurm's daemons want to be started as root";
}

const paths = () => ({ ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` });

/** A Slurm of its own: controller, accounting in MariaDB, and nodes of one processor each, all on this host. */
export interface Cluster {
  /** What its commands are called with. */
  readonly env: NodeJS.ProcessEnv;
  /** Kills a node with all that runs on it, as a machine that loses its power. */
  kill(node: string): void;
  start(node: string): void;
  stop(): Promise<void>;
}

/** Starts one with so many nodes, n1 and so on. */
export async function startSlurm(nodes: number): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), "biform-slurm-"));
  const at = (name: string) => join(dir, name);
  for (const name of ["state", "log", "spool"]) mkdirSync(at(name));
  const ports = await freePorts(nodes + 3);
  const host = execFileSync("hostname", ["-s"], { encoding: "utf8" }).trim();
  const [control, accounting, database] = ports as [number, number, number];
  const names = Array.from({ length: nodes }, (_, i) => `n${i + 1}`);
  writeFileSync(at("munge.key"), crypto.getRandomValues(new Uint8Array(1024)), { mode: 0o600 });
  writeFileSync(
    at("slurm.conf"),
    [
      "ClusterName=biform",
      `SlurmctldHost=${host}(127.0.0.1)`,
      "SlurmUser=root",
      "SlurmdUser=root",
      "AuthType=auth/munge",
      "CredType=cred/munge",
      `AuthInfo=socket=${at("munge.socket")}`,
      `StateSaveLocation=${at("state")}`,
      `SlurmdSpoolDir=${at("spool")}/%n`,
      `SlurmctldPidFile=${at("control.pid")}`,
      `SlurmdPidFile=${at("%n.pid")}`,
      `SlurmctldLogFile=${at("log/control")}`,
      `SlurmdLogFile=${at("log/%n")}`,
      `SlurmctldPort=${control}`,
      "ProctrackType=proctrack/linuxproc",
      "TaskPlugin=task/none",
      "SelectType=select/cons_tres",
      "SelectTypeParameters=CR_Core",
      "ReturnToService=2",
      // A dead node is noticed soon, and its runs are handed out again soon.
      "SlurmdTimeout=15",
      "KillWait=5",
      "MpiDefault=none",
      "JobAcctGatherType=jobacct_gather/none",
      "AccountingStorageType=accounting_storage/slurmdbd",
      "AccountingStorageHost=127.0.0.1",
      `AccountingStoragePort=${accounting}`,
      `AccountingStoragePass=${at("munge.socket")}`,
      ...names.map(
        (name, i) =>
          `NodeName=${name} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[3 + i]} CPUs=1 RealMemory=500`,
      ),
      "PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
      "",
    ].join("\n"),
  );
  writeFileSync(
    at("slurmdbd.conf"),
    [
      "AuthType=auth/munge",
      `AuthInfo=${at("munge.socket")}`,
      "DbdHost=localhost",
      "DbdAddr=127.0.0.1",
      `DbdPort=${accounting}`,
      "SlurmUser=root",
      `LogFile=${at("log/accounting")}`,
      `PidFile=${at("accounting.pid")}`,
      "StorageType=accounting_storage/mysql",
      "StorageHost=127.0.0.1",
      `StoragePort=${database}`,
      "StorageUser=slurm",
      "StoragePass=slurm",
      "StorageLoc=slurm",
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
  const env = { ...paths(), SLURM_CONF: at("slurm.conf") };
  const options: SpawnOptions = { env, stdio: "ignore" };
  const children = new Map<string, ReturnType<typeof spawn>>();
  const begin = (name: string, program: string, ...words: string[]) =>
    children.set(name, spawn(program, words, options));
  const call = (program: string, ...words: string[]) => spawnSync(program, words, { env, encoding: "utf8" });
  const until = async (what: string, holds: () => boolean) => {
    for (let tries = 0; tries < 240; tries++) {
      if (holds()) return;
      await wait(500);
    }
    throw new Error(`slurm: got no ${what} within two minutes; see ${dir}/log`);
  };

  begin(
    "munge",
    "munged",
    "--foreground",
    "--force",
    `--key-file=${at("munge.key")}`,
    `--socket=${at("munge.socket")}`,
    `--pid-file=${at("munge.pid")}`,
    `--log-file=${at("log/munge")}`,
    `--seed-file=${at("munge.seed")}`,
  );
  call("mysql_install_db", "--user=root", `--datadir=${at("db")}`);
  begin(
    "database",
    "mariadbd",
    "--no-defaults",
    "--user=root",
    `--datadir=${at("db")}`,
    `--socket=${at("db.socket")}`,
    `--port=${database}`,
    "--bind-address=127.0.0.1",
  );
  const sql = (text: string) => call("mysql", `--socket=${at("db.socket")}`, "-e", text).status === 0;
  await until("database", () => sql("select 1"));
  for (const from of ["127.0.0.1", "localhost"])
    sql(`create user 'slurm'@'${from}' identified by 'slurm'; grant all on slurm.* to 'slurm'@'${from}'`);
  await until("munge", () => existsSync(at("munge.socket")));
  begin("accounting", "slurmdbd", "-D");
  await until("accounting", () => call("sacctmgr", "-i", "add", "cluster", "biform").status === 0);
  begin("control", "slurmctld", "-D");
  const start = (name: string) => {
    mkdirSync(join(at("spool"), name), { recursive: true });
    // Processes of their own: when their first ends, all end, as those of a machine without power.
    begin(name, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "slurmd", "-D", "-N", name);
  };
  names.forEach(start);
  await until("idle nodes", () => call("sinfo", "-h", "-o", "%D", "-t", "idle").stdout?.trim() === String(nodes));

  return {
    env,
    start,
    kill: (name) => void children.get(name)!.kill("SIGKILL"),
    async stop() {
      call("scancel", "-u", "root");
      for (const child of [...children.values()].toReversed()) child.kill("SIGTERM");
      await wait(2000);
      for (const child of children.values()) child.kill("SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
