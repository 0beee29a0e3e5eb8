/** The command line with which a stock engine serves a model as a plan lays it out, and the reason for each flag. */
import type { Blueprint } from "../../cost/blueprint.ts";
import { deviceMemory, type Group } from "../../cost/group.ts";
import { longestWithin } from "../../cost/longest.ts";
import { rankWeights } from "../../cost/rank.ts";
import { type Split, splitName } from "../../cost/split.ts";
import { bytes, compact } from "../../draw/quantity.ts";
import { ShapeError } from "../../tensor/error.ts";
import { isServing } from "../choose.ts";
import type { PlanSettings } from "../plan.ts";
import { requireClass } from "./class.ts";
import { draftFlags, type Proposer } from "./draft.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";
import { draftIn, keptBy } from "./keep.ts";
import { kernelFlags } from "./kernel.ts";
import { parallelFlags, routedOf, splitFor } from "./place.ts";
import { loadedAs, weightFlags } from "./weight.ts";

/** What is to be served, and on what. */
export interface LaunchQuestion {
  readonly engine: EngineName;
  /** What the engine is to load: a folder, or a repository on the hub, and its revision. */
  readonly path: string;
  readonly revision?: string | undefined;
  /** Whether weights lie there without a tokenizer. */
  readonly bare?: boolean | undefined;
  readonly group: Group;
  readonly settings: PlanSettings;
  readonly proposer?: Proposer | undefined;
}

/** A command line with its reasons. */
export interface Launch {
  readonly format: "biform launch 1";
  readonly engine: string;
  readonly version: string;
  /** The engine's class of the model. */
  readonly class: string;
  readonly machine: string;
  readonly layout: string;
  /** Words of the command, of one node; $NODE and $HEAD stand for its number and the first one's address. */
  readonly command: readonly string[];
  readonly flags: readonly Flag[];
  /** The most tokens of each sequence that fit, whatever the model is declared for; null where no length fills the memory. */
  readonly longestContext: number | null;
  readonly notes: readonly string[];
}

/** New tokens of a batch that prompts are cut into. */
const CHUNK = 8192;

/**
 * The command line of a plan: the layout that answers first (one sequence) or writes most (several), or the one that is asked for, of
 * those that the engine can express; the longest context that this leaves room for, by what the engine allocates.
 *
 * Errors: FormatError where the engine cannot run the model, its types or its draft; ShapeError where nothing fits, or less than asked.
 */
export function launchOf(blueprint: Blueprint, question: LaunchQuestion): Launch {
  const { engine, path, revision, bare, group, proposer } = question;
  const settings = { ...question.settings, weightType: loadedAs(blueprint, question.settings.weightType) };
  const { title, version, start, share } = enginesBy[engine];
  const subject = `--serve ${engine}`;
  if (!isServing(group))
    throw new ShapeError(
      `${subject}: got --machine ${group.name}, expected graphics cards or accelerators; ${title} runs on those`,
    );
  if (settings.offload || group.beside)
    throw new ShapeError(
      `${subject}: got a processor beside ${group.device.name}, expected devices alone; leave it and --offload away`,
    );
  const own = requireClass(engine, blueprint);
  const weights = weightFlags(engine, blueprint, question.settings.weightType);
  const kernels = kernelFlags(engine, blueprint, group);
  const drafts = draftFlags(engine, blueprint, { step: settings.step, proposer });
  const loaded = { ...question, settings };
  const { split, why } = splitFor(blueprint, loaded);
  const sequences = Math.ceil(settings.batch / split.data);
  const kept = keptBy(blueprint, loaded, split);
  const held = [blueprint, ...draftIn(blueprint, settings)].reduce(
    (sum, part) => sum + rankWeights(part, split, settings),
    0,
  );
  const working = workingBytes(blueprint, split, sequences);
  // vLLM counts what it computes with within its share, SGLang beside it.
  const room = share.value * deviceMemory(group) - held - (engine === "vllm" ? working : 0);
  const longest = room > 0 ? longestWithin(kept.bytesOf, room) : 0;
  const tokens = Math.min(longest, blueprint.maxContext ?? Number.POSITIVE_INFINITY);
  if (tokens < settings.context)
    throw new ShapeError(
      `${subject}: got --context ${settings.context} for ${settings.batch} ${settings.batch === 1 ? "sequence" : "sequences"} on ${group.name} as ${splitName(split)}, expected at most ${tokens}: ` +
        `weights take ${bytes(held)} of a device's ${bytes(deviceMemory(group))}; ask for less, or name a larger machine`,
    );
  const most = Number.isFinite(tokens) ? tokens : settings.context;
  const bound =
    longest > tokens
      ? `what the model is declared for; ${Number.isFinite(longest) ? compact(longest) : "more"} would fit`
      : `the most that ${sequences === 1 ? "the sequence of a rank has" : `each of ${sequences} sequences of a rank has`} room for: ${bytes(kept.bytesOf(tokens))} of cache beside ${bytes(held)} of weights${engine === "vllm" ? ` and ${bytes(working)} to compute in` : ""}, by ${kept.by}`;
  const flags: Flag[] = [
    ...(revision === undefined ? [] : [{ flag: "--revision", value: revision, why: "the one that was planned" }]),
    ...(bare ? [{ flag: "--skip-tokenizer-init", why: "the folder has no tokenizer, so requests are token ids" }] : []),
    ...parallelFlags(engine, blueprint, group, split, why),
    ...weights,
    ...kept.flags,
    ...kernels,
    { flag: engine === "vllm" ? "--max-model-len" : "--context-length", value: String(most), why: bound },
    {
      flag: engine === "vllm" ? "--gpu-memory-utilization" : "--mem-fraction-static",
      value: String(share.value),
      why: share.why,
    },
    engine === "vllm"
      ? {
          flag: "--max-num-seqs",
          value: String(sequences),
          why: `of the ${settings.batch} that were planned, those of a rank`,
        }
      : {
          flag: "--max-running-requests",
          value: String(routedOf(blueprint) ? settings.batch : sequences),
          why: "those that were planned",
        },
    {
      flag: engine === "vllm" ? "--max-num-batched-tokens" : "--chunked-prefill-size",
      value: String(CHUNK),
      why: `prompts in pieces of so many tokens, which take ${bytes(working)} or more to compute in`,
    },
    ...drafts,
  ];
  const words = flags.flatMap(({ flag, value }) => (value === undefined ? [flag] : [flag, value]));
  return {
    format: "biform launch 1",
    engine: title,
    version,
    class: own,
    machine: group.name,
    layout: splitName(split),
    command: [...start, path, ...words],
    flags,
    longestContext: Number.isFinite(longest) ? longest : null,
    notes: [
      ...(group.count > group.node
        ? ["the same on every node: $NODE is its number from 0, $HEAD the first one's address"]
        : []),
      `${title} measures what it computes in when it starts; at least ${bytes(working)} are counted here`,
    ],
  };
}

/** The least that a piece of a prompt takes beside weights and caches: hidden states, a half's widest rows in 16 bits, float32 logits. */
function workingBytes({ width, vocabulary, layers }: Blueprint, { tensor }: Split, sequences: number): number {
  const rows = layers.map(({ feed: { always, expert, experts, chosen } }) =>
    experts ? chosen * (width + (2 * expert) / (3 * width)) : (2 * always) / (3 * width) / tensor,
  );
  return CHUNK * 2 * (2 * width + Math.max(...rows)) + (4 * sequences * vocabulary) / tensor;
}
