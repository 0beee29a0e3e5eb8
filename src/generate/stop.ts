/** Text that is safe to show, and whether a stop string was met. */
export interface Passed {
  readonly text: string;
  readonly stopped: boolean;
}

/** Lets text through up to the first stop string. */
export interface Stopper {
  /** Takes the next piece; gives what can no longer be part of a stop string. Once stopped, nothing passes. */
  push(piece: string): Passed;
  /** What was held back, where the text ends without a stop string. */
  end(): string;
}

/**
 * Watches for `stops` in text that comes in pieces of any size: the one that is complete first ends it, so that the outcome
 * does not depend on how the text is cut.
 */
export function stopper(stops: readonly string[]): Stopper {
  const wanted = stops.filter((stop) => stop !== "");
  let held = "";
  let stopped = false;
  return {
    push(piece) {
      if (stopped) return { text: "", stopped };
      held += piece;
      let [start, end] = [0, Number.POSITIVE_INFINITY];
      for (const stop of wanted) {
        const at = held.indexOf(stop);
        const after = at + stop.length;
        if (at >= 0 && (after < end || (after === end && at < start))) [start, end] = [at, after];
      }
      stopped = end < Number.POSITIVE_INFINITY;
      const safe = stopped ? start : held.length - overhang(held, wanted);
      const text = held.slice(0, safe);
      held = stopped ? "" : held.slice(safe);
      return { text, stopped };
    },
    end() {
      const text = held;
      held = "";
      return text;
    },
  };
}

/** Length of the longest end of `text` that begins one of `stops`. */
function overhang(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops)
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--)
      if (text.endsWith(stop.slice(0, n))) longest = n;
  return longest;
}
