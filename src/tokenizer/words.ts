import { FormatError } from "../tensor/error.ts";
import type { Encode } from "./bpe.ts";
import type { Model } from "./parts.ts";
import { Trie } from "./trie.ts";

type Vocab = ReadonlyMap<string, number>;

/** The unknown token's id, for words that need it. */
function unknownOf(file: string, vocab: Vocab, token: string): () => number {
  const id = vocab.get(token);
  return () => {
    if (id !== undefined) return id;
    throw new FormatError(
      `${file}: model.unk_token: got ${JSON.stringify(token).slice(0, 80)}, expected a token of the vocabulary; the text has words without one`,
    );
  };
}

/** WordPiece: the longest token that a word begins with, then the longest that goes on, or the unknown token for all of it. */
export function buildWordPiece(file: string, settings: Extract<Model, { type: "WordPiece" }>, vocab: Vocab): Encode {
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: most } = settings;
  const first = new Trie(vocab.size);
  const later = new Trie(vocab.size);
  for (const [token, id] of vocab) {
    first.set(token, id);
    if (token.startsWith(prefix)) later.set(token.slice(prefix.length), id);
  }
  const unknown = unknownOf(file, vocab, settings.unk_token);
  return (piece, ids) => {
    // A character has at most two code units; counting them is needed only where that decides.
    if (piece.length > most && [...piece].length > most) {
      ids.push(unknown());
      return;
    }
    const before = ids.length;
    for (let at = 0; at < piece.length; ) {
      const { value, end } = (at ? later : first).longest(piece, at);
      if (value < 0) {
        ids.length = before;
        ids.push(unknown());
        return;
      }
      ids.push(value);
      at = end;
    }
  };
}

/** WordLevel: a word is a token, or unknown. */
export function buildWordLevel(
  file: string,
  { unk_token }: Extract<Model, { type: "WordLevel" }>,
  vocab: Vocab,
): Encode {
  const unknown = unknownOf(file, vocab, unk_token);
  return (piece, ids) => {
    ids.push(vocab.get(piece) ?? unknown());
  };
}
