import type { Constraint } from "../../generate/writer.ts";
import { DeviceError } from "../../tensor/error.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";

/**
 * A constraint that begins once a model has closed its thoughts. Before, all may follow but what would end the text; of the token
 * that closes them, line ends may be left over, which are no part of the answer.
 */
export function afterThoughts(
  constraint: Constraint,
  tokenizer: Tokenizer,
  end: readonly number[],
  close: string,
): Constraint {
  // Bytes as characters, since a token may begin or end within one.
  const latin = new TextDecoder("latin1");
  const mark = latin.decode(new TextEncoder().encode(close));
  let tail = "";
  let thinking = true;
  return {
    mask(logits) {
      if (!thinking) constraint.mask(logits);
      else for (const id of end) logits[id] = Number.NEGATIVE_INFINITY;
    },
    accept(id) {
      if (!thinking) {
        constraint.accept(id);
        return;
      }
      const text = tail + (id < tokenizer.vocabulary ? latin.decode(tokenizer.piece(id)) : "");
      const at = text.indexOf(mark);
      tail = text.slice(-mark.length);
      if (at < 0) return;
      thinking = false;
      const rest = text.slice(at + mark.length);
      if (/[^\r\n]/.test(rest))
        throw new DeviceError(
          `constraint: got ${JSON.stringify(rest).slice(0, 80)} in one token with ${close}, expected nothing; ask again`,
        );
    },
    get ready() {
      return thinking || (constraint.ready ?? true);
    },
    get done() {
      return !thinking && (constraint.done ?? false);
    },
    get endless() {
      return !thinking && (constraint.endless ?? false);
    },
    free: () => constraint.free(),
  };
}
