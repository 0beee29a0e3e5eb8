import { PREFILL_CHUNK } from "../cost/host.ts";
import { DeviceError, ShapeError } from "../tensor/error.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Advance, advance, makeRoom, type StepOptions, undo } from "./advance.ts";
import type { Sequence } from "./sequence.ts";
import type { Session } from "./session.ts";

/** What a session brings to a step. */
export interface Entry {
  readonly session: Session;
  /** Its new tokens: one at least. */
  readonly ids: Int32Array;
  /** Logits of all its new tokens, of the last alone, or of none; of the last unless given. */
  readonly logits?: Advance["logits"] | undefined;
}

/** Why a session cannot step, for want of memory say: `entry` is its place among those that were to step. */
export class EntryError extends DeviceError {
  readonly entry: number;

  constructor(message: string, entry: number, cause: unknown) {
    super(message, { cause });
    this.entry = entry;
  }
}

/**
 * One step of several sessions of one model: each weight is read once for the new tokens of all, and attention goes over each one's
 * cache. Some may bring a token, others a piece of their prompts; one that is longer than a chunk is run in chunks beforehand, its last
 * one with the others. A session stays its own: it may step alone or with others, be forked, taken back and saved.
 * The caller frees the result: logits of the tokens that are wanted, in the order of the entries, `[rows, vocabulary]`.
 *
 * Errors: ShapeError for sessions of different models or cache types, for one that comes twice, an id outside the vocabulary or more
 * tokens than a context; EntryError, a DeviceError, where memory is full, with the first one that got no pages. All sessions are then
 * as they were (over a state of fixed size as long as there is memory to run again what followed the last snapshot). Where a device
 * tells only later that it has failed, reading the result rejects, and every further step of these sessions throws DeviceError.
 */
export function appendTogether(entries: readonly Entry[], options: StepOptions = {}): Tensor {
  const parts = entries.map(({ session, ids, logits = "last" }) => ({ sequence: session.sequence, ids, logits }));
  checkParts(parts);
  const starts = parts.map(({ sequence }) => sequence.length);
  let output: Tensor;
  try {
    reserveAll(parts);
    output = advance(
      parts.map((part) => runChunks(part, options)),
      options,
    );
  } catch (error) {
    for (const [i, { sequence }] of parts.entries()) undo(sequence, starts[i]!);
    throw error;
  }
  for (const device of parts[0]!.sequence.ground.devices)
    device.fence().catch((error) => {
      for (const { sequence } of parts) sequence.lose(error);
    });
  return output;
}

/** Runs all of a long input but its last chunk, and gives that; all at once where the logits or the states of all are wanted. */
function runChunks(part: Advance, options: StepOptions): Advance {
  const { sequence, ids, logits } = part;
  if (logits === "all" || options.watch) return part;
  let from = 0;
  for (; ids.length - from > PREFILL_CHUNK; from += PREFILL_CHUNK)
    advance([{ sequence, ids: ids.subarray(from, from + PREFILL_CHUNK), logits: "last" }], options).free();
  return { ...part, ids: ids.subarray(from) };
}

function checkParts(parts: readonly Advance[]): void {
  const [first] = parts;
  if (!first) throw new ShapeError("sessions: got none to step together, expected one at least");
  if (new Set(parts.map(({ sequence }) => sequence)).size < parts.length)
    throw new ShapeError("sessions: got one twice in a step, expected each once; put its tokens together");
  for (const [i, { sequence, ids }] of parts.entries()) {
    tell(parts, i, () => sequence.check());
    if (parts.length === 1) continue;
    if (!ids.length) throw new ShapeError(`session ${i + 1} of ${parts.length}: got no tokens, expected one at least`);
    checkAlike(first.sequence, sequence, `session ${i + 1} of ${parts.length}`);
  }
}

/** Throws ShapeError where two sequences cannot share a step. */
function checkAlike({ ground: a }: Sequence, { ground: b }: Sequence, subject: string): void {
  const same = a.weights === b.weights && a.model.layers.length === b.model.layers.length;
  if (!same || a.model.layers.some(({ attention }, i) => attention.variant !== b.model.layers[i]!.attention.variant))
    throw new ShapeError(
      `${subject}: got another model than the first one's, expected one model for all; step them apart`,
    );
  if (a.cache !== b.cache)
    throw new ShapeError(
      `${subject}: got a cache of ${b.cache}, expected ${a.cache} as the first one has; step them apart`,
    );
}

function reserveAll(parts: readonly Advance[]): void {
  const sequences = parts.map(({ sequence }) => sequence);
  for (const [i, { sequence, ids }] of parts.entries())
    tell(parts, i, () => makeRoom(sequences, () => sequence.reserve(sequence.length + ids.length)));
}

/** Runs `body` for entry `i`, which is named in its errors where there are several. */
function tell(parts: readonly Advance[], i: number, body: () => void): void {
  try {
    body();
  } catch (error) {
    const subject = parts.length > 1 ? `session ${i + 1} of ${parts.length}: ` : "";
    const { message } = error as Error;
    if (error instanceof DeviceError) throw new EntryError(subject + message, i, error);
    if (error instanceof ShapeError && subject) throw new ShapeError(subject + message, { cause: error });
    throw error;
  }
}
