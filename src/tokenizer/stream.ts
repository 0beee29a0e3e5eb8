import type { Tokenizer } from "./tokenizer.ts";

/** Ids in, text out, piece by piece. */
export interface TextStream {
  /** The text that the id makes certain, perhaps none: half a character waits for its other half. */
  push(id: number): string;
  /** What still waits, as the whole would decode it. */
  end(): string;
}

/**
 * Decodes ids as they come. The pieces put together are what the ids decode to at once, special tokens left out if
 * `special` says so, all of them or all but some; an id that the tokenizer does not know is no text (some models have more ids than their tokenizer).
 *
 * Only the last few ids are decoded again for each new one. What they say may still change where bytes of a character are
 * missing, which decode to one U+FFFD at the very end; all before that is certain in byte-level BPE, in byte fallback and in
 * the decoders that look at the first token alone (SentencePiece's leading space, WordPiece).
 */
export function textStream(
  tokenizer: Tokenizer,
  { special = "keep" }: { special?: "keep" | "omit" | ReadonlySet<number> } = {},
): TextStream {
  const isText = (id: number) =>
    id < tokenizer.vocabulary &&
    (special === "keep" || !tokenizer.special.has(id) || (special !== "omit" && special.has(id)));
  // The last ids: those before `known` only set the scene for the rest, and decode to `scene` characters.
  let ids: number[] = [];
  let known = 0;
  let scene = 0;
  let given = 0;
  const left = (text: string, most: number) => {
    const piece = text.slice(scene + given, most);
    given += piece.length;
    return piece;
  };
  return {
    push(id) {
      if (!isText(id)) return "";
      ids.push(id);
      const text = tokenizer.decode(ids);
      const open = openEnd(tokenizer, text);
      if (open) return left(text, text.length - open);
      const piece = left(text, text.length);
      // All is certain up to here. What came since the last such place is scene enough if it is any text at all.
      const since = tokenizer.decode(ids.slice(known));
      if (since === "" || ids.length === known) return piece;
      ids = ids.slice(known);
      [known, scene, given] = [ids.length, since.length, 0];
      return piece;
    },
    end() {
      if (ids.length === known) return "";
      const text = tokenizer.decode(ids);
      const piece = left(text, text.length);
      [ids, known, scene, given] = [[], 0, 0, 0];
      return piece;
    },
  };
}

/**
 * How many characters at the end of a text what follows may still change. Bytes of a character that is not whole yet decode to
 * one U+FFFD; where they are tokens of their own, to one each, and all bytes in a row before them too, until they are whole. These
 * can be of two characters: more are none, whatever follows.
 */
function openEnd({ kind }: Tokenizer, text: string): number {
  if (!text.endsWith("\ufffd")) return 0;
  if (kind !== "byte-fallback") return 1;
  const count = /\ufffd{1,9}$/.exec(text)![0].length;
  return count > 8 ? 0 : count;
}
