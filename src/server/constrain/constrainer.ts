import type { Constraint } from "../../generate/writer.ts";
import { FormatError } from "../../tensor/error.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { afterThoughts } from "./after.ts";
import { type Form, grammarOf } from "./grammar.ts";
import { startThread, type Thread } from "./thread.ts";
import { packVocabulary, pieceOf, type Vocabulary } from "./vocabulary.ts";

/** Compiled grammars that are kept, each with a thread and its memory. */
const KEPT = 8;
/** Characters of a grammar. */
const GRAMMAR_LIMIT = 2_000_000;

/** Whose text is constrained. */
export interface Writing {
  readonly tokenizer: Tokenizer;
  /** Logits of the model; some have more of them than their tokenizer has tokens. */
  readonly vocabulary: number;
  /** Tokens after which nothing follows; without any, a text ends where its grammar cannot go on. */
  readonly end: ReadonlySet<number>;
}

/** Makes constraints for one model. */
export interface Constrainer {
  /**
   * A sequence at the beginning of a form. Special tokens do not follow in it but for those in `marks`, which stand for their names.
   * With `after`, which closes a model's thoughts, it begins where that was written. Grammars are compiled once, and the newest few
   * kept. Free it.
   *
   * Errors: FormatError for a form that cannot be heeded, or takes too much time or memory, where too many others are at work, or
   * where the tokenizer cannot write what the form asks for.
   */
  constrain(
    form: Form,
    options?: { marks?: ReadonlySet<number> | undefined; after?: string | undefined },
  ): Promise<Constraint>;
  close(): void;
}

/**
 * A constrainer for a model, once it has been shown that library and vocabulary fit: a grammar of one text must allow exactly the
 * tokens that go on with it, and at its end nothing but end tokens. Where they do not fit, a library may constrain nothing, and says
 * nothing of it (transformers.js, issue 1733). A grammar may take so many seconds to compile, 20 unless given.
 *
 * Errors: FormatError where they do not fit.
 */
export async function openConstrainer(writing: Writing, { seconds = 20 } = {}): Promise<Constrainer> {
  const { tokenizer, vocabulary: size } = writing;
  const end = [...writing.end].filter((id) => id < size);
  if (tokenizer.vocabulary > size)
    throw new FormatError(
      `constraint: got ${tokenizer.vocabulary} tokens for ${size} logits, expected at most as many; this tokenizer is another model's`,
    );
  checkPieces(tokenizer);
  const vocabularies = new Map<string, Vocabulary>();
  /** Threads by grammar, the one used last at the end. */
  const threads = new Map<string, Promise<Thread>>();
  let closed = false;
  const vocabularyOf = (marks: ReadonlySet<number>) => {
    const key = [...marks].toSorted().join();
    const found = vocabularies.get(key) ?? packVocabulary(tokenizer, marks);
    vocabularies.set(key, found);
    return found;
  };
  const makeRoom = async () => {
    for (const [key, thread] of threads) {
      if (threads.size < KEPT) return;
      // What is wrong with another's grammar is told to whoever asked for that one.
      const kept = await thread.catch(() => undefined);
      if (kept?.count) continue;
      threads.delete(key);
      kept?.close();
    }
    if (threads.size >= KEPT)
      throw new FormatError(`constraint: got one more beside ${KEPT} others at work, expected fewer; try again later`);
  };
  const find = async (grammar: string, marks: ReadonlySet<number>) => {
    if (closed) throw new FormatError("constraint: got one after the end, expected none");
    if (grammar.length > GRAMMAR_LIMIT)
      throw new FormatError(
        `constraint: got a grammar of ${grammar.length} characters, expected at most ${GRAMMAR_LIMIT}`,
      );
    const key = `${[...marks].toSorted().join()}:${grammar}`;
    const found = threads.get(key);
    threads.delete(key);
    if (!found) await makeRoom();
    const thread = found ?? startThread({ ...vocabularyOf(marks), size, end, grammar }, seconds);
    threads.set(key, thread);
    const forget = () => {
      if (threads.get(key) === thread) threads.delete(key);
    };
    if (!found) thread.then(({ ended }) => ended).then(forget, forget);
    return { thread };
  };
  let last: Promise<unknown> = Promise.resolve();
  /** One after the other, so that two who ask for one grammar get one thread; each compiles beside the others. */
  const threadOf = async (grammar: string, marks: ReadonlySet<number>) => {
    const turn = last.then(() => find(grammar, marks));
    last = turn.catch(() => {});
    return (await turn).thread;
  };
  const constrainer: Constrainer = {
    async constrain(form, { marks = new Set<number>(), after } = {}) {
      const constraint = (await threadOf(grammarOf(form, after === undefined ? "none" : "lines"), marks)).start();
      try {
        checkBeginning(constraint, size);
      } catch (error) {
        constraint.free();
        throw error;
      }
      return after === undefined ? constraint : afterThoughts(constraint, tokenizer, end, after);
    },
    close() {
      closed = true;
      for (const thread of threads.values()) void thread.then(({ close }) => close()).catch(() => {});
      threads.clear();
    },
  };
  try {
    await checkMasks(constrainer, vocabularyOf(new Set()), writing, end);
  } catch (error) {
    constrainer.close();
    throw error;
  }
  return constrainer;
}

/** A text that has what most grammars need. */
const TEXT = '{"a": [1, true, null], "b c": "x\\n"}';

/** The bytes of single tokens must be the bytes of their text. */
function checkPieces(tokenizer: Tokenizer): void {
  const bytes = [...tokenizer.encode(TEXT)].flatMap((id) => [...tokenizer.piece(id)]);
  const text = new TextDecoder().decode(Uint8Array.from(bytes));
  if (text.trim() !== TEXT)
    throw new FormatError(
      `constraint: got tokens that say ${JSON.stringify(text).slice(0, 80)} for ${TEXT}, expected the text itself; this tokenizer cannot be constrained`,
    );
}

/** Where nothing may follow at the beginning, no token writes what the grammar begins with. */
function checkBeginning(constraint: Constraint, size: number): void {
  if (maskOf(constraint, size).some((open) => open)) return;
  throw new FormatError("constraint: got a grammar that no token begins, expected one that this tokenizer can write");
}

/** Which tokens may follow. */
function maskOf(constraint: Constraint, size: number): boolean[] {
  const logits = new Float32Array(size);
  constraint.mask(logits);
  return Array.from(logits, (x) => x === 0);
}

/** Holds the masks of a grammar of one text to what follows from the tokens' bytes alone, to its end. */
async function checkMasks(
  { constrain }: Constrainer,
  pieces: Vocabulary,
  { vocabulary: size }: Writing,
  end: readonly number[],
): Promise<void> {
  const text = new TextEncoder().encode("{1}");
  const constraint = await constrain({ kind: "grammar", grammar: 'root ::= "{1}"' });
  const fits = (id: number, at: number) => {
    const piece = pieceOf(pieces, id);
    if (!piece.length || piece.length > text.length - at || end.includes(id)) return false;
    return piece.every((byte, i) => byte === text[at + i]);
  };
  const fail = (what: string, at: number): never => {
    throw new FormatError(
      `constraint: got a mask that ${what} after ${at} of ${text.length} bytes, expected exactly the tokens that fit; library and vocabulary do not go together`,
    );
  };
  try {
    for (let at = 0; at < text.length; ) {
      const mask = maskOf(constraint, size);
      const wrong = mask.findIndex((open, id) => open !== fits(id, at));
      if (wrong >= 0) fail(`${mask[wrong] ? "allows" : "forbids"} token ${wrong}`, at);
      const next = mask.indexOf(true);
      if (next < 0) fail("allows nothing", at);
      constraint.accept(next);
      at += pieceOf(pieces, next).length;
    }
    if (end.length === 0) {
      if (!constraint.done) fail("does not end", text.length);
      return;
    }
    const mask = maskOf(constraint, size);
    const wrong = mask.findIndex((open, id) => open !== end.includes(id));
    if (wrong >= 0) fail(`${mask[wrong] ? "allows" : "forbids"} token ${wrong}`, text.length);
  } finally {
    constraint.free();
  }
}
