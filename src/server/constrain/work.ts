import { createRequire } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import type * as Library from "@mlc-ai/web-xgrammar";
import { byteCharacters } from "../../tokenizer/piece.ts";
import { COUNT, HEAD, type Order, STATE, type Task } from "./order.ts";

// The thread of one grammar: it compiles it, and for each sequence works out what may follow.

/** Bytes of memory that a grammar may take. */
const MEMORY_LIMIT = 512 * 2 ** 20;

const port = parentPort!;
const task = workerData as Task;

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
    if (this.buffer.byteLength + pages * 2 ** 16 > MEMORY_LIMIT)
      throw new RangeError("more memory than a grammar may take");
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

try {
  boundMemory();
  // What the library prints goes nowhere, but for the first line that says why it ends.
  let said = "";
  const hear = (...words: unknown[]) => {
    const line = words.join(" ");
    if (line.startsWith("[FATAL]")) said ||= line;
  };
  Object.assign(console, { log: hear, warn: hear, error: hear });
  const { Grammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } = await openLibrary();
  try {
    const vocabulary = [...tokensOf(task)];
    const info = await TokenizerInfo.createTokenizerInfo(vocabulary, "byte_level", false, task.size, [...task.end]);
    const compiler = await GrammarCompiler.createGrammarCompiler(info, false);
    const compiled = await compiler.compileGrammar(await Grammar.fromEBNF(task.grammar));
    await listen(() => GrammarMatcher.createGrammarMatcher(compiled));
    port.postMessage({ kind: "ready" });
  } catch (error) {
    // What the library says of a grammar begins with where in its own code it says so.
    const reason = said.replace(/^\[\w+\] \S+ /, "") || String(error);
    port.postMessage({ kind: "failed", reason });
  }
} catch (error) {
  port.postMessage({ kind: "failed", reason: String(error) });
}

type Matcher = Library.GrammarMatcher;

async function listen(open: () => Promise<Matcher>): Promise<void> {
  const sequences = new Map<number, { matcher: Matcher; shared: Int32Array }>();
  /** Tells what may follow, or that nothing is known any more. */
  const tell = async (shared: Int32Array, matcher: Matcher | undefined) => {
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
  };
  const follow = async (order: Order) => {
    const { id } = order;
    const known = sequences.get(id);
    if (order.kind === "open") {
      const matcher = await open();
      sequences.set(id, { matcher, shared: order.shared });
      await tell(order.shared, matcher);
    } else if (order.kind === "accept" && known) {
      await tell(known.shared, known.matcher.acceptToken(order.token) ? known.matcher : undefined);
    } else if (known) {
      known.matcher.dispose();
      sequences.delete(id);
    }
  };
  // One after the other, though each waits for the library.
  let last = Promise.resolve();
  port.on("message", (order: Order) => {
    last = last.then(() => follow(order));
  });
}
