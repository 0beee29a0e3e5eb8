import { PREFILL_CHUNK } from "../cost/host.ts";
import { turn } from "../device/turn.ts";
import { allocateBytes } from "../file/bytes.ts";
import type { StepOptions } from "./advance.ts";
import { checkPrompt, type GenerateOptions } from "./generate.ts";
import type { Session } from "./session.ts";

/** How a prompt is run for its logits: as `generate` runs one. */
export type LogitsOptions = Pick<GenerateOptions, "chunk" | "signal" | "watch"> & Pick<StepOptions, "form">;

/** Numbers of logits that a chunk makes at most: 64 MiB in float32, however large the vocabulary. */
const CHUNK_NUMBERS = 2 ** 24;

/**
 * Logits of every token of a prompt, `[tokens, vocabulary]` row by row, run in chunks; undefined where it was aborted.
 *
 * Errors: as `generate`, and DeviceError where the logits do not fit into memory.
 */
export async function promptLogits(
  session: Session,
  ids: Int32Array,
  { form, chunk = PREFILL_CHUNK, signal, watch }: LogitsOptions = {},
): Promise<Float32Array | undefined> {
  checkPrompt(session, ids);
  const { vocabulary } = session.model;
  const all = new Float32Array(allocateBytes("logits", 4 * ids.length * vocabulary));
  const most = Math.min(chunk, Math.max(1, Math.floor(CHUNK_NUMBERS / vocabulary)));
  watch?.(0, ids.length);
  for (let at = 0; at < ids.length; at += most) {
    await turn();
    if (signal?.aborted) return undefined;
    const logits = session.append(ids.subarray(at, at + most), { logits: "all", form, exact: true });
    try {
      all.set(await logits.read(), at * vocabulary);
    } finally {
      logits.free();
    }
    watch?.(Math.min(at + most, ids.length), ids.length);
  }
  return all;
}
