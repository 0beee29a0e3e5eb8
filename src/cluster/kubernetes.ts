import { ShapeError } from "../tensor/error.ts";
import { type Call, type Engine, type Job, nothingHeld, type Sorting, taskLine } from "./engine.ts";
import { placesOf } from "./place.ts";
import { call } from "./shell.ts";

/** Times that Kubernetes starts a run anew when its pod fails. */
const RETRIES = 3;
const missing = "install kubectl and name a cluster in its configuration";
const known = ["image", "namespace", "parallelism", "cpu", "memory", "gpu", "claim", "mount", "secret", "account"];

/** What stands in the annotations of an Indexed Job's pods. */
const INDEX = "batch\\.kubernetes\\.io/job-completion-index";

/**
 * Kubernetes: an Indexed Job through kubectl, a pod for each run. Options: image (with Biform in it), namespace, parallelism, cpu, memory,
 * gpu, claim and mount (a volume that all pods see), secret (its keys become variables, for a bucket), account (of the service).
 */
export function kubernetesEngine(options: ReadonlyMap<string, string>, task: Call): Engine {
  const wrong = [...options.keys()].find((name) => !known.includes(name));
  if (wrong !== undefined) throw new ShapeError(`--with: got ${wrong}, expected ${known.join(", ")} or biform`);
  if (!options.has("image"))
    throw new ShapeError("--with: got no image, expected one that has Biform; add --with image=REGISTRY/NAME:TAG");
  if (!task.where.startsWith("s3:") && !options.has("claim"))
    throw new ShapeError(
      "--with: got no claim, expected a volume that all pods see, or a bucket by --out s3://BUCKET/PREFIX",
    );
  const space = options.has("namespace") ? ["--namespace", options.get("namespace")!] : [];
  const kubectl = (words: readonly string[], input?: string) =>
    call("kubectl", [...words, ...space], { missing, input });
  return {
    name: "kubernetes",
    most: 1000,
    lasting: true,
    async submit(list, keys) {
      const made = await kubectl(
        ["create", "-f", "-", "-o", "name"],
        JSON.stringify(manifestOf(options, task, list, keys.length)),
      );
      return made.trim().replace(/^job\.batch\//, "");
    },
    async look(jobs) {
      const held = nothingHeld();
      for (const job of jobs) {
        const state = await kubectl([
          "get",
          "job",
          job.id,
          "--ignore-not-found",
          "-o",
          "jsonpath={.status.completedIndexes}|{.status.failedIndexes}|{.status.conditions[?(@.status=='True')].type}",
        ]);
        const pods = await kubectl([
          "get",
          "pods",
          "-l",
          `job-name=${job.id}`,
          "-o",
          `jsonpath={range .items[*]}{.metadata.annotations.${INDEX}}|{.status.phase}{"\\n"}{end}`,
        ]);
        read(job, state, pods, held);
      }
      return held;
    },
    async cancel(jobs) {
      for (const { id } of jobs) await kubectl(["delete", "job", id, "--ignore-not-found", "--wait=false"]);
    },
  };
}

/** What a job's state and its pods say of each run; a job that is gone holds none. */
export function read(
  { keys }: Job,
  state: string,
  pods: string,
  { waiting, running, ended: well, failed }: Sorting,
): void {
  const [done = "", lost = "", conditions = ""] = state.trim().split("|");
  if (state.trim() === "") return;
  const over = /\b(Complete|Failed|FailureTarget|SuccessCriteriaMet)\b/.test(conditions);
  const ended = new Set([...placesOf(done), ...placesOf(lost)]);
  for (const place of placesOf(lost))
    if (keys[place]) failed.set(keys[place], `its pods failed ${RETRIES + 1} times; see kubectl logs`);
  for (const place of placesOf(done)) if (keys[place]) well.add(keys[place]);
  const atWork = new Set(
    pods.split("\n").flatMap((line) => (/\|Running$/.test(line) ? [Number(line.split("|")[0])] : [])),
  );
  keys.forEach((key, place) => {
    if (over || ended.has(place)) return;
    (atWork.has(place) ? running : waiting).add(key);
  });
}

/** The Indexed Job of a list (API batch/v1): each pod does the run at its index, and one that was only disrupted counts as no failure. */
export function manifestOf(
  options: ReadonlyMap<string, string>,
  task: Call,
  list: number,
  count: number,
): Record<string, unknown> {
  const [claim, mount, secret] = [options.get("claim"), options.get("mount") ?? "/shared", options.get("secret")];
  const amounts = Object.fromEntries(
    (["cpu", "memory", "gpu"] as const).flatMap((name) => {
      const value = options.get(name);
      return value === undefined ? [] : [[name === "gpu" ? "nvidia.com/gpu" : name, value]];
    }),
  );
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { generateName: "biform-", labels: { "app.kubernetes.io/name": "biform" } },
    spec: {
      completionMode: "Indexed",
      completions: count,
      parallelism: Math.min(count, Number(options.get("parallelism") ?? count)),
      backoffLimitPerIndex: RETRIES,
      podFailurePolicy: {
        rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
      },
      template: {
        metadata: { labels: { "app.kubernetes.io/name": "biform" } },
        spec: {
          restartPolicy: "Never",
          // A pod that is told to end saves its checkpoint first.
          terminationGracePeriodSeconds: 60,
          ...(options.has("account") ? { serviceAccountName: options.get("account") } : {}),
          containers: [
            {
              name: "run",
              image: options.get("image"),
              command: ["sh", "-c", `exec ${taskLine(task, list, "JOB_COMPLETION_INDEX")}`],
              resources: { requests: amounts, limits: amounts },
              ...(secret ? { envFrom: [{ secretRef: { name: secret } }] } : {}),
              ...(claim ? { volumeMounts: [{ name: "shared", mountPath: mount }] } : {}),
            },
          ],
          ...(claim ? { volumes: [{ name: "shared", persistentVolumeClaim: { claimName: claim } }] } : {}),
        },
      },
    },
  };
}
