import { FormatError } from "../tensor/error.ts";
import type { AddedToken } from "./parts.ts";
import { Trie } from "./trie.ts";
import { rustWord, white } from "./unicode.ts";

/** An added token, with the id that it gets and how it stands in text that is normalized. */
export interface Added extends AddedToken {
  readonly normal: string;
}

/**
 * Ids of added tokens as the original gives them, whatever the file says: a token that the model has keeps its id, the others go on
 * from the model's count of tokens. Later ones of the same text take the place of earlier ones.
 */
export function numberAdded(
  tokens: readonly AddedToken[],
  vocab: { readonly size: number; get(token: string): number | undefined },
  normalize: (text: string) => string,
): Map<number, Added> {
  const ids = new Map<string, number>();
  const made = new Map<number, Added>();
  let next = vocab.size;
  for (const token of tokens) {
    if (!token.content) continue;
    const id = ids.get(token.content) ?? vocab.get(token.content) ?? next++;
    ids.set(token.content, id);
    made.set(id, { ...token, id, normal: token.normalized ? normalize(token.content) : token.content });
  }
  return made;
}

/** Made when it is first asked for, with Unicode's tables for it. */
let word: RegExp | undefined;
const space = new RegExp(`^${white}$`, "v");

/** Whether the character that ends before `at`, or begins there, is one of a word. */
const isWord = (text: string, at: number, side: "before" | "after") => {
  const from = side === "after" ? at : at - (/[\udc00-\udfff]/.test(text[at - 1]!) ? 2 : 1);
  word ??= new RegExp(`^${rustWord}$`, "v");
  return word.test(String.fromCodePoint(text.codePointAt(from)!));
};

/** Cuts added tokens out of a text: what lies between them as text, they as ids. */
export type Extract = (text: string) => (string | number)[];

/**
 * What finds tokens: those that are normalized, or those that are not. Of several that begin at one place the longest counts. A
 * token that may stand for a single word only, and does not, is passed over with all its text. `lstrip` and `rstrip` take the
 * whitespace beside a token along; a token of that whitespace stands as well, unless it would take some along itself.
 *
 * Errors: FormatError for two tokens of the same text, which the original refuses as well.
 */
export function buildExtract(file: string, added: Iterable<Added>, normalized: boolean): Extract {
  const tokens = [...added].filter((token) => token.normalized === normalized && token.normal);
  if (!tokens.length) return (text) => (text ? [text] : []);
  const trie = new Trie(tokens.length);
  const seen = new Set<string>();
  const begins = new Uint8Array(0x10000);
  for (const [i, { normal }] of tokens.entries()) {
    if (seen.has(normal))
      throw new FormatError(
        `${file}: added_tokens: got ${JSON.stringify(normal).slice(0, 80)} twice, expected each token once`,
      );
    seen.add(normal);
    trie.set(normal, i);
    begins[normal.charCodeAt(0)] = 1;
  }
  return (text) => {
    const parts: (string | number)[] = [];
    let given = 0;
    // Whitespace is looked through once, however many tokens take it along.
    let blank = { from: 0, end: 0 };
    for (let at = 0; at < text.length; at++) {
      if (!begins[text.charCodeAt(at)]) continue;
      const { value, end: stop } = trie.longest(text, at);
      if (value < 0) continue;
      const token = tokens[value]!;
      let [from, end] = [at, stop];
      at = stop - 1;
      if (token.single_word) {
        const free = from === 0 || !isWord(text, from, "before");
        if (!free || (end < text.length && isWord(text, end, "after"))) continue;
      }
      if (token.lstrip) {
        while (from > given && space.test(text[from - 1]!)) from--;
        from = Math.max(from, given);
      }
      if (token.rstrip) {
        if (!(blank.from <= end && end < blank.end)) {
          let after = end;
          while (after < text.length && space.test(text[after]!)) after++;
          blank = { from: end, end: after };
        }
        end = Math.max(end, blank.end);
      }
      if (given < from) parts.push(text.slice(given, from));
      // A token that others have taken all of is none.
      if (from < end) parts.push(token.id);
      given = end;
    }
    if (given < text.length) parts.push(text.slice(given));
    return parts;
  };
}
