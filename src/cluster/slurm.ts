import { DeviceError, ShapeError } from "../tensor/error.ts";
import { type Call, type Engine, type Held, type Job, nothingHeld, taskLine } from "./engine.ts";
import { placesOf } from "./place.ts";
import { call } from "./shell.ts";

/** Arrays have at most 1001 tasks unless a cluster says otherwise (MaxArraySize, slurm.conf(5)). */
const MOST = 1000;
/** Seconds before a time limit at which a run is told to save (sbatch --signal). */
const SAVE = 60;

const missing = "load Slurm's commands on this machine, or run where a job can be submitted";

/** States in which a task is not over: job state codes of sacct(1) and squeue(1). */
const waitingStates = new Set([
  "PENDING",
  "REQUEUED",
  "REQUEUE_HOLD",
  "REQUEUE_FED",
  "SPECIAL_EXIT",
  "CONFIGURING",
  "RESV_DEL_HOLD",
]);
const runningStates = new Set(["RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"]);
/** States that are the machine's or the limit's doing: the run goes on from its checkpoint if it is handed over again. */
const lostStates = new Set(["NODE_FAIL", "PREEMPTED", "TIMEOUT", "BOOT_FAIL", "REVOKED"]);

/** Slurm: job arrays through sbatch, their states through sacct (or squeue where accounting is off). Options are sbatch's own. */
export function slurmEngine(options: ReadonlyMap<string, string>, task: Call): Engine {
  const own = ["array", "parsable", "wrap", "output", "requeue", "signal", "open-mode"];
  for (const name of options.keys())
    if (own.includes(name) || !/^[a-z][a-z-]*$/.test(name))
      throw new ShapeError(`--with: got ${name}, expected an option of sbatch other than ${own.join(", ")}`);
  return {
    name: "slurm",
    most: MOST,
    lasting: true,
    async submit(list, keys) {
      const given = [...options].map(([name, value]) => (value === "" ? `--${name}` : `--${name}=${value}`));
      const script = `#!/bin/sh\nexec ${taskLine(task, list, "SLURM_ARRAY_TASK_ID")}\n`;
      const words = [
        "--parsable",
        `--array=0-${keys.length - 1}`,
        "--job-name=biform",
        "--requeue",
        "--open-mode=append",
        `--signal=TERM@${SAVE}`,
        `--output=${task.where}/lists/slurm-%A-%a.txt`,
        ...given,
      ];
      // "12345" or "12345;cluster".
      const id = /^(\d+)(;\S+)?\s*$/.exec(await call("sbatch", words, { input: script, missing }))?.[1];
      if (id === undefined)
        throw new DeviceError(
          "sbatch: got no job id, expected one by --parsable; is another program of that name called?",
        );
      return id;
    },
    look: async (jobs) => read(jobs, await statesOf(jobs)),
    async cancel(jobs) {
      if (jobs.length > 0)
        await call(
          "scancel",
          jobs.map(({ id }) => id),
          { missing },
        );
    },
  };
}

/**
 * Lines of job id, state and exit code. The queue knows at once what was submitted, accounting what is over; where accounting is off,
 * a task that is gone left in the store whether it did its run.
 */
async function statesOf(jobs: readonly Job[]): Promise<string[][]> {
  if (jobs.length === 0) return [];
  const ids = jobs.map(({ id }) => id).join(",");
  const over = await call("sacct", ["-n", "-P", "-X", "-j", ids, "-o", "JobID,State,ExitCode"], { missing }).catch(
    unless(/accounting/i),
  );
  const queued = await call("squeue", ["-h", "-r", "-j", ids, "-o", "%i|%T|"], { missing }).catch(
    unless(/invalid job id/i),
  );
  return `${over}\n${queued}`.split("\n").map((line) => line.trim().split("|"));
}

/** Nothing, where the refusal is this one; any other is thrown on. */
const unless = (known: RegExp) => (error: unknown) => {
  if (!known.test(String(error))) throw error;
  return "";
};

/**
 * What the lines say of each run: `12_3` is the fourth of job 12's list, `12_[4-9,11%2]` are those that have not begun. A run that was
 * told to save before its limit ends with 130, and is no failure.
 */
export function read(jobs: readonly Job[], lines: readonly (readonly string[])[]): Held {
  const held = nothingHeld();
  const byId = new Map(jobs.map((job) => [job.id, job]));
  for (const [name = "", state = "", exit = ""] of lines) {
    const [, id = "", places = ""] = /^(\d+)_(.+)$/.exec(name) ?? [];
    const job = byId.get(id);
    if (!job) continue;
    // "CANCELLED by 1000"
    const word = state.split(" ")[0]!;
    for (const place of placesOf(places.replace(/^\[|(%\d+)?\]$/g, ""))) {
      const key = job.keys[place];
      if (key === undefined) continue;
      if (waitingStates.has(word)) held.waiting.add(key);
      else if (runningStates.has(word)) held.running.add(key);
      else if (word === "COMPLETED") held.ended.add(key);
      else if (!lostStates.has(word) && !exit.startsWith("130:"))
        held.failed.set(
          key,
          `Slurm says ${state}${exit ? ` (exit ${exit})` : ""}; its words are in slurm-${id}-${place}.txt`,
        );
    }
  }
  return held;
}
