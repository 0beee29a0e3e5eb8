import type { Likelihood, Scored } from "../batch/request.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Texts of single tokens. */
export interface Speller {
  /** What a token says in the midst of a text; where it is a part of a character, its bytes as OpenAI's API writes them: bytes:\xe2\x80. */
  text(id: number): string;
  /** The bytes of its text; null without a tokenizer. */
  bytes(id: number): number[] | null;
}

const made = new WeakMap<Tokenizer, Speller>();

/** The speller of a tokenizer, made once. Without a tokenizer a token's text is `token_id:N`. */
export function spellerOf(tokenizer: Tokenizer | undefined): Speller {
  if (!tokenizer) return { text: (id) => `token_id:${id}`, bytes: () => null };
  const known = made.get(tokenizer);
  if (known) return known;
  const texts = new Map<number, string>();
  // Some models have more ids than their tokenizer has tokens.
  const piece = (id: number) => (id < tokenizer.vocabulary ? tokenizer.piece(id) : new Uint8Array());
  const speller: Speller = {
    text(id) {
      const text = texts.get(id) ?? textOf(piece(id));
      texts.set(id, text);
      return text;
    },
    bytes: (id) => [...piece(id)],
  };
  made.set(tokenizer, speller);
  return speller;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

/** JSON has no infinity: what cannot be has the log probability that OpenAI's API gives it. */
const finite = (logprob: number) => Math.max(logprob, -9999);

/** Chat's form of a token's log probability. */
export function chatLogprob(spell: Speller, { id, logprob, top }: Scored) {
  const one = (of: Likelihood) => ({
    token: spell.text(of.id),
    logprob: finite(of.logprob),
    bytes: spell.bytes(of.id),
  });
  return { ...one({ id, logprob }), top_logprobs: top.map(one) };
}

/** The older form of completions: four lists over tokens. */
export interface LegacyLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: (number | null)[];
  readonly top_logprobs: (Record<string, number> | null)[];
  readonly text_offset: number[];
}

/** The older form, of no tokens yet. */
export const noLogprobs = (): LegacyLogprobs => ({ tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] });

/** Adds a token whose text begins at `offset`. The first of a prompt, before which there is nothing, has no score. */
export function addLegacy(
  to: LegacyLogprobs,
  spell: Speller,
  id: number,
  score: Scored | undefined,
  offset: number,
): void {
  to.tokens.push(spell.text(id));
  to.token_logprobs.push(score ? finite(score.logprob) : null);
  to.top_logprobs.push(score ? topOf(spell, score) : null);
  to.text_offset.push(offset);
}

/** The likeliest by their texts, the token itself among them. Where several have one text, all but the likeliest go by their ids. */
function topOf(spell: Speller, { id, logprob, top }: Scored): Record<string, number> {
  const found: Record<string, number> = Object.create(null);
  const all = top.some((one) => one.id === id) ? top : [...top, { id, logprob }];
  for (const one of all) {
    const text = spell.text(one.id);
    found[Object.hasOwn(found, text) ? `token_id:${one.id}` : text] = finite(one.logprob);
  }
  return found;
}
