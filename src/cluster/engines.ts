import { ShapeError } from "../tensor/error.ts";
import type { Call, Engine } from "./engine.ts";
import { kubernetesEngine } from "./kubernetes.ts";
import { processesEngine } from "./processes.ts";
import { rayEngine } from "./ray.ts";
import { slurmEngine } from "./slurm.ts";

/**
 * The engine that a word names: `processes:4`, `slurm`, `ray` or `kubernetes`; `options` are `name=value` or `name`, for the engine, but for `biform=WORDS`,
 * which is how its machines call Biform. Throws ShapeError for what is not known.
 */
export function openEngine(word: string, options: readonly string[], task: Call): Engine {
  const given = new Map<string, string>();
  for (const option of options) {
    const [, name, value = ""] = /^([^=]+)(?:=(.*))?$/s.exec(option) ?? [];
    if (name === undefined) throw new ShapeError(`--with: got "${option}", expected name=value`);
    given.set(name, value);
  }
  const biform = given.get("biform")?.split(" ").filter(Boolean) ?? task.biform;
  given.delete("biform");
  const call = { ...task, biform };
  const [name, more] = [word.split(":")[0]!, word.includes(":") ? word.slice(word.indexOf(":") + 1) : undefined];
  if (name === "processes") {
    const count = Number(more);
    if (!Number.isSafeInteger(count) || count < 1)
      throw new ShapeError(`--on: got ${word}, expected processes:N with N of at least 1`);
    if (given.size > 0)
      throw new ShapeError(`--with: got ${[...given.keys()].join(", ")}, expected no options for processes`);
    return processesEngine(count, call);
  }
  if (name === "slurm" && more === undefined) return slurmEngine(given, call);
  if (name === "ray") return rayEngine(more, given, call);
  // A pod has its own Biform, at no path of this machine.
  if (name === "kubernetes" && more === undefined)
    return kubernetesEngine(given, biform === task.biform ? { ...call, biform: ["biform"] } : call);
  throw new ShapeError(`--on: got ${word}, expected processes:N, slurm, ray, ray:http://HOST:8265 or kubernetes`);
}
