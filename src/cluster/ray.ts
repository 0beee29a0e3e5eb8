import { readFile } from "node:fs/promises";
import { request as httpRequest, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import { type Call, type Engine, type Job, nothingHeld, type Sorting, taskWords } from "./engine.ts";

/** Where Ray's head listens for jobs unless told otherwise (Ray Jobs REST API). */
const ADDRESS = "http://127.0.0.1:8265";
/** Times that Ray starts a run anew when its worker or node dies. */
const RETRIES = 3;
/** Most bytes of a job's log: two short lines for each run. */
const LIMIT = 64_000_000;

const jobSchema = z.object({
  status: z.enum(["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]),
  message: z.string().nullish(),
});

/**
 * What Ray runs for a list of runs: a task each, which calls Biform and tells how it ended. A worker that dies takes its Biform with it,
 * and Ray starts the task anew elsewhere.
 */
const driver = `
import ctypes, json, os, signal, subprocess, ray
task = json.loads(os.environ["BIFORM_TASK"])
ray.init(log_to_driver=False)

def die_with_parent():
    try: ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except Exception: pass

@ray.remote(max_retries=${RETRIES}, retry_exceptions=False, **task["options"])
def do(key, words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
    return key, done.returncode, done.stderr.decode(errors="replace").strip().split("\\n")[-1][-300:]

open_tasks = [do.remote(key, [key if word == "KEY" else word for word in task["words"]]) for key in task["keys"]]
while open_tasks:
    ready, open_tasks = ray.wait(open_tasks)
    for one in ready:
        try: print("biform " + json.dumps(ray.get(one)), flush=True)
        except Exception as error: print("biform " + json.dumps(["", -1, type(error).__name__]), flush=True)
`;

/** Ray: a job through its REST API, with a task for each run. Options are those of a task: num_cpus, num_gpus, memory, resources. */
export function rayEngine(address: string | undefined, options: ReadonlyMap<string, string>, task: Call): Engine {
  const root = (address ?? process.env.RAY_ADDRESS ?? ADDRESS).replace(/\/+$/, "");
  if (!/^https?:\/\//.test(root))
    throw new ShapeError(`--on: got ray at ${root}, expected the address of its jobs, such as ${ADDRESS}`);
  const given = taskOptions(options);
  return {
    name: "ray",
    most: 1000,
    lasting: true,
    async submit(_list, keys) {
      const body = {
        entrypoint: 'python -c "import os; exec(os.environ[\\"BIFORM_DRIVER\\"])"',
        runtime_env: {
          env_vars: {
            BIFORM_DRIVER: driver,
            BIFORM_TASK: JSON.stringify({ words: taskWords(task, "KEY"), keys, options: given }),
          },
        },
        metadata: { name: "biform" },
      };
      const answer = z
        .object({ submission_id: z.string() })
        .safeParse(await ask(root, "/api/jobs/", { method: "POST", body: JSON.stringify(body) }));
      if (!answer.success)
        throw new DeviceError(`${root}: got no submission_id, expected Ray's jobs to answer; is it Ray 2 or newer?`);
      return answer.data.submission_id;
    },
    async look(jobs) {
      const held = nothingHeld();
      for (const job of jobs) await lookAt(root, job, held);
      return held;
    },
    async cancel(jobs) {
      for (const { id } of jobs) await ask(root, `/api/jobs/${encodeURIComponent(id)}/stop`, { method: "POST" });
    },
  };
}

/** Ray says of a job, and not of its tasks, whether it is at work; those tell in its log how they ended. */
async function lookAt(root: string, { id, keys }: Job, { running, ended: well, failed }: Sorting): Promise<void> {
  const path = `/api/jobs/${encodeURIComponent(id)}`;
  const found = jobSchema.safeParse(await ask(root, path, {}, [404]));
  // A head that began anew knows none of its old jobs: their runs are lost, and go on from their checkpoints.
  if (!found.success) return;
  const { status, message } = found.data;
  const logs = z.object({ logs: z.string() }).safeParse(await ask(root, `${path}/logs`, {}, [404]));
  const ended = endsOf(logs.success ? logs.data.logs : "");
  for (const key of keys) {
    const end = ended.get(key);
    if (end) {
      // 130: it was told to end, and saved.
      if (end.code === 0) well.add(key);
      else if (end.code !== 130) failed.set(key, `it ended with ${end.code}: ${end.said}`);
    } else if (status === "PENDING" || status === "RUNNING") running.add(key);
    else if (status === "FAILED" && ended.size === 0)
      failed.set(key, `Ray says: ${(message ?? "the job failed").trim().split("\n").at(-1)}`);
  }
}

/** How the runs that have ended did, from a job's log. */
export function endsOf(log: string): Map<string, { readonly code: number; readonly said: string }> {
  const ends = new Map<string, { code: number; said: string }>();
  for (const [, json] of log.matchAll(/^biform (\[.*\])$/gm)) {
    try {
      const [key, code, said] = z.tuple([z.string(), z.int(), z.string()]).parse(JSON.parse(json!));
      ends.set(key, { code, said });
    } catch {}
  }
  return ends;
}

function taskOptions(options: ReadonlyMap<string, string>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of options) {
    const number = Number(value);
    if (["num_cpus", "num_gpus", "memory"].includes(name) && value !== "" && number >= 0) result[name] = number;
    else if (name === "resources" || name === "label_selector") result[name] = parseObject(name, value);
    else
      throw new ShapeError(
        `--with: got ${name}=${value}, expected num_cpus, num_gpus or memory with a number, or resources or label_selector as JSON`,
      );
  }
  return result;
}

function parseObject(name: string, value: string): unknown {
  try {
    return z.record(z.string(), z.json()).parse(JSON.parse(value));
  } catch (error) {
    throw new ShapeError(`--with: got ${name}=${value}, expected a JSON object`, { cause: error });
  }
}

/** Asks Ray's jobs; undefined for a status that is expected to say no. */
async function ask(
  root: string,
  path: string,
  { method = "GET", body = "" }: Asked,
  absent: readonly number[] = [],
): Promise<unknown> {
  const headers = { "Content-Type": "application/json", ...(await ownHeaders()) };
  const { status, text } = await send(root + path, { method, headers }, body).catch((error: Error) => {
    throw new DeviceError(
      `${root}: got ${error.message || error}, expected Ray's jobs to answer; start Ray with its dashboard, or name its address: --on ray:http://HOST:8265`,
      { cause: error },
    );
  });
  if (absent.includes(status)) return undefined;
  if (status === 401)
    throw new DeviceError(
      `${root}: got 401 (${text.trim().slice(0, 200)}), expected Ray to know this user; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the token that it was started with`,
    );
  if (status < 200 || status > 299)
    throw new DeviceError(
      `${root}: got ${status} (${text.trim().split("\n").at(-1)?.slice(0, 200)}), expected Ray to take ${path}`,
    );
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DeviceError(`${root}: got no JSON, expected Ray's jobs; is another server at that address?`, {
      cause: error,
    });
  }
}

/**
 * Headers as Ray's own tools have them: those of RAY_JOB_HEADERS, and the token, if there is one and nothing says to do without
 * (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token). What they are is not repeated in errors.
 */
async function ownHeaders(): Promise<Record<string, string>> {
  const { RAY_JOB_HEADERS = "{}", RAY_AUTH_MODE, RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH } = process.env;
  let given: Record<string, string>;
  try {
    given = z.record(z.string(), z.string()).parse(JSON.parse(RAY_JOB_HEADERS));
  } catch (error) {
    throw new ShapeError("RAY_JOB_HEADERS: got no JSON object of texts, expected one; mend or unset it", {
      cause: error,
    });
  }
  if (RAY_AUTH_MODE?.toLowerCase() === "disabled") return given;
  const token = RAY_AUTH_TOKEN ?? (await readToken(RAY_AUTH_TOKEN_PATH));
  return token ? { Authorization: `Bearer ${token.trim()}`, ...given } : given;
}

/** The token in a file; where none is named, in the one that Ray makes, if it is there. */
async function readToken(named: string | undefined): Promise<string | undefined> {
  try {
    return await readFile(named ?? join(homedir(), ".ray", "auth_token"), "utf8");
  } catch (error) {
    if (named === undefined) return undefined;
    throw new ShapeError(`RAY_AUTH_TOKEN_PATH: got ${named}, which cannot be read, expected a file with Ray's token`, {
      cause: error,
    });
  }
}

interface Asked {
  readonly method?: "GET" | "POST";
  readonly body?: string;
}

/** A request by `node:http`: Node's `fetch` marks its requests as a browser does (Sec-Fetch-Mode), and Ray 2.60 takes no job from browsers. */
function send(address: string, options: RequestOptions, body: string): Promise<{ status: number; text: string }> {
  const request = address.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((done, fail) => {
    const sent = request(address, { ...options, timeout: 60_000 }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (more: string) => {
        text += more;
        if (text.length > LIMIT) sent.destroy(new Error(`more than ${LIMIT} characters`));
      });
      answer.on("end", () => done({ status: answer.statusCode ?? 0, text }));
      answer.on("error", fail);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer within a minute")));
    sent.on("error", fail);
    sent.end(body);
  });
}
