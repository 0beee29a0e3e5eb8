import type { Session } from "../generate/session.ts";
import type { Numbers } from "../tensor/tensor.ts";

/** What a sequence brings to a step: its new tokens, and of which of them logits are wanted. */
export interface Entry {
  readonly session: Session;
  readonly ids: Int32Array;
  readonly logits: "none" | "last" | "all";
}

/** One step of several sessions: logits `[rows, vocabulary]` of each. Where it fails, they are as they were. */
export async function stepTogether(entries: readonly Entry[]): Promise<Numbers[]> {
  const starts = entries.map(({ session }) => session.length);
  const read: Promise<Numbers>[] = [];
  try {
    for (const { session, ids, logits } of entries) {
      const output = session.append(ids, { logits: logits === "all" ? "all" : "last" });
      read.push(output.read());
      output.free();
    }
  } catch (error) {
    for (const [i, { session }] of entries.entries()) session.rewind(starts[i]!);
    await Promise.allSettled(read);
    throw error;
  }
  return Promise.all(read);
}
