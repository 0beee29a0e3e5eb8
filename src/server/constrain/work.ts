import { createRequire } from "node:module";
import { parentPort } from "node:worker_threads";
import type * as Library from "@mlc-ai/web-xgrammar";
import { byteCharacters } from "../../tokenizer/piece.ts";
import { type Answer, COUNT, HEAD, type Order, STATE, type Task } from "./order.ts";

// The thread of one grammar after the other: it compiles it, and for each sequence works out what may follow.

/** Bytes of memory that a grammar may take. */
const MEMORY_LIMIT = 512 * 2 ** 20;

const port = parentPort!;
const answer = (message: Answer) => port.postMessage(message);
/** Bytes that the library had to be given: in all, and before the grammar that it has now. */
let [given, before] = [0, 0];

/**
 * The library. Its file says that it is a module and is a script: as a module it finds neither `exports` nor `require`, and gives
 * itself to the global object. So that is where it is taken from, in a thread that has nothing else there.
 */
async function openLibrary(): Promise<typeof Library> {
  const require = createRequire(import.meta.url);
  Object.assign(globalThis, { require, __filename: require.resolve("@mlc-ai/web-xgrammar") });
  await import("@mlc-ai/web-xgrammar");
  return Reflect.get(globalThis, "xgrammar") as typeof Library;
}

/** The library asks for more memory by this call alone, and ends with an error where it gets none. */
function boundMemory(): void {
  const { grow } = WebAssembly.Memory.prototype;
  WebAssembly.Memory.prototype.grow = function (pages) {
    const bytes = this.buffer.byteLength + pages * 2 ** 16;
    if (bytes - before > MEMORY_LIMIT) throw new RangeError("more memory than a grammar may take");
    given = bytes;
    return grow.call(this, pages);
  };
}

/** Each token as a vocabulary of bytes writes it, which holds for any tokenizer; one that is no text is empty, and never fits. */
function* tokensOf({ bytes, ends }: Task): Generator<string> {
  let from = 0;
  for (const end of ends) {
    let text = "";
    for (; from < end; from++) text += byteCharacters[bytes[from]!]!;
    yield text;
  }
}

type Matcher = Library.GrammarMatcher;

/** What the library says as it ends goes nowhere but here; it begins with where in its own code it says so. */
let said = "";
const hear = (...words: unknown[]) => {
  const line = words.join(" ");
  if (line.startsWith("[FATAL]")) said ||= line.replace(/^\[\w+\] \S+ /, "");
};

const sameBytes = (a: ArrayBufferView, b: ArrayBufferView) =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
const sameTokens = (a: Task, b: Task) =>
  a.size === b.size && a.end.join() === b.end.join() && sameBytes(a.ends, b.ends) && sameBytes(a.bytes, b.bytes);

/** A compiler of grammars over the tokens of a task, which take a second to read where there are many. */
let known: { readonly task: Task; readonly compiler: Library.GrammarCompiler } | undefined;
let compiled: Library.CompiledGrammar | undefined;
const sequences = new Map<number, { matcher: Matcher; shared: Int32Array }>();

async function compile(task: Task): Promise<void> {
  const { Grammar, GrammarCompiler, TokenizerInfo } = await library;
  if (!known || !sameTokens(known.task, task)) {
    known?.compiler.dispose();
    const tokens = [...tokensOf(task)];
    const info = await TokenizerInfo.createTokenizerInfo(tokens, "byte_level", false, task.size, [...task.end]);
    known = { task, compiler: await GrammarCompiler.createGrammarCompiler(info, false) };
    info.dispose();
  }
  const grammar = await Grammar.fromEBNF(task.grammar);
  compiled = await known.compiler.compileGrammar(grammar);
  grammar.dispose();
}

function clear(): void {
  for (const { matcher } of sequences.values()) matcher.dispose();
  sequences.clear();
  compiled?.dispose();
  compiled = undefined;
  before = given;
}

/** Tells what may follow, or that nothing is known any more. */
async function tell(shared: Int32Array, matcher: Matcher | undefined): Promise<void> {
  let state: number = STATE.refused;
  if (matcher && !matcher.isTerminated()) {
    const mask = await matcher.getNextTokenBitmask();
    shared.set(mask, HEAD);
    state = mask.some((word) => word !== 0) ? STATE.open : STATE.done;
  } else if (matcher) {
    shared.fill(0, HEAD);
    state = STATE.done;
  }
  Atomics.store(shared, 1, state);
  Atomics.add(shared, COUNT, 1);
  Atomics.notify(shared, COUNT);
}

async function follow(order: Order): Promise<void> {
  switch (order.kind) {
    case "compile":
      said = "";
      try {
        await compile(order.task);
        answer({ kind: "ready" });
      } catch (error) {
        answer({ kind: "failed", reason: said || String(error) });
      }
      return;
    case "clear":
      clear();
      answer({ kind: "cleared", bytes: given });
      return;
    case "open": {
      const matcher = await (await library).GrammarMatcher.createGrammarMatcher(compiled!);
      sequences.set(order.id, { matcher, shared: order.shared });
      await tell(order.shared, matcher);
      return;
    }
    case "accept": {
      const { matcher, shared } = sequences.get(order.id)!;
      await tell(shared, matcher.acceptToken(order.token) ? matcher : undefined);
      return;
    }
    case "free":
      sequences.get(order.id)!.matcher.dispose();
      sequences.delete(order.id);
  }
}

boundMemory();
Object.assign(console, { log: hear, warn: hear, error: hear });
const library = openLibrary();
// One that does not open is told with the first grammar.
library.catch(() => {});
// One after the other, though each waits for the library.
let last = Promise.resolve();
port.on("message", (order: Order) => {
  last = last.then(() => follow(order));
});
