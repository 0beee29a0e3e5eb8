import { FormatError } from "../../tensor/error.ts";
import { formatJson } from "../../tensor/json.ts";
import { at, type Settings, settle } from "./settings.ts";

const windowed = new Set(["sliding_attention", "local_attention", "sliding", "local", "swa"]);
const whole = new Set(["full_attention", "attention", "global_attention", "full", "global"]);

/**
 * The window of layer i in tokens, or undefined where it sees everything. A chunk (Llama 4) is given as a window of its length: what
 * is kept is at most that much.
 *
 * Errors: FormatError for a kind of layer that is not known, and for a layer with a window of no size.
 */
export function windowAt(s: Settings, i: number): number | undefined {
  const size = s.sliding_window || undefined;
  settle(s, "use_sliding_window", "max_window_layers", "sliding_window_pattern");
  if (s.layer_types) {
    const type = at(s.layer_types, i, "layer_types");
    if (whole.has(type)) return undefined;
    if (type === "chunked_attention") return needSize(s.attention_chunk_size ?? size, "attention_chunk_size");
    if (windowed.has(type)) return needSize(size, "sliding_window");
    throw new FormatError(
      `layer_types: got ${formatJson(type)}, expected ${[...whole, ...windowed, "chunked_attention"].join(", ")}; this architecture has no other`,
    );
  }
  if (size === undefined || s.use_sliding_window === false) return undefined;
  const pattern = s.sliding_window_pattern;
  if (typeof pattern === "number") return (i + 1) % pattern ? size : undefined;
  if (typeof pattern === "string") return pattern[i % pattern.length] === "L" ? size : undefined;
  return s.use_sliding_window && i < (s.max_window_layers ?? 0) ? undefined : size;
}

function needSize(size: number | undefined, key: string): number {
  if (!size)
    throw new FormatError(`${key}: got nothing, expected the window of layers that have one; add it to the config`);
  return size;
}

/** The kind of layer i, one of those that an architecture has. */
export function kindAt(s: Settings, i: number, ...kinds: readonly string[]): string {
  const kind = at(s.layer_types!, i, "layer_types");
  if (!kinds.includes(kind))
    throw new FormatError(
      `layer_types: got ${formatJson(kind)}, expected ${kinds.join(" or ")}; this architecture has no other`,
    );
  return kind;
}
