/** Markdown that is still being written: what stands is drawn once, and only its last block again. */
import type { Token, Tokens } from "marked";
import { make } from "./element.ts";
import { drawBlock, readBlocks, writeBlock } from "./markdown.ts";

interface Block {
  html: string;
  readonly element: HTMLElement;
}

/**
 * Blocks of Markdown under an element. `grow` reads no further back than the last block's beginning, since no later text
 * changes an earlier block, but for links that are defined at the end: `settle` reads all of it again.
 */
export class Flow {
  readonly #root: HTMLElement;
  /** Called with each block's text once it stands. */
  readonly #stands: (text: string) => void;
  readonly #blocks: Block[] = [];
  /** Blocks that stand, and the characters of the text that they are made of. */
  #standing = 0;
  #read = 0;

  constructor(root: HTMLElement, stands: (text: string) => void = () => {}) {
    this.#root = root;
    this.#stands = stands;
  }

  /** Shows a text that begins with the one before. */
  grow(text: string): void {
    const tokens = readBlocks(tail(text, this.#read));
    const last = tokens.findLastIndex(isShown);
    let at = this.#standing;
    for (const [index, token] of tokens.entries()) {
      if (index < last) this.#read += token.raw.length;
      if (!isShown(token)) continue;
      this.#put(at++, token, writeBlock(token));
      if (index < last) this.#stands(this.#blocks[this.#standing++]!.element.textContent);
    }
    this.#cut(at);
  }

  /** Shows the whole text, that no more follows. */
  settle(text: string): void {
    const tokens = readBlocks(tail(text, 0));
    const shown = tokens.filter(isShown);
    for (const [at, token] of shown.entries()) this.#put(at, token, writeBlock(token));
    this.#cut(shown.length);
    for (; this.#standing < shown.length; this.#standing++)
      this.#stands(this.#blocks[this.#standing]!.element.textContent);
  }

  #put(at: number, token: Token, html: string): void {
    const block = this.#blocks[at] ?? { html: "", element: make("div", { class: "block" }) };
    if (!this.#blocks[at]) {
      this.#blocks.push(block);
      this.#root.append(block.element);
    }
    if (block.html === html) return;
    if (!extendCode(block, token, html)) block.element.replaceChildren(drawBlock(html));
    block.html = html;
  }

  #cut(count: number): void {
    for (const { element } of this.#blocks.splice(count)) element.remove();
    this.#standing = Math.min(this.#standing, count);
  }
}

/** The text from a place on, in lines that end in "\n": places are counted in those. */
const tail = (text: string, from: number) => text.replaceAll(/\r\n?/g, "\n").slice(from);

const isShown = (token: Token) => token.type !== "space" && token.type !== "def";

/** Code that grew gets the rest of its text and stays as it is, with what of it is selected; whether that could be. */
function extendCode(block: Block, token: Token, html: string): boolean {
  const code = block.element.querySelector(":scope > .code > pre > code");
  if (token.type !== "code" || !code || html.split(">", 2).join() !== block.html.split(">", 2).join()) return false;
  const text = `${(token as Tokens.Code).text}\n`;
  const before = code.textContent.trimEnd();
  if (!text.startsWith(before) || !(code.lastChild instanceof Text)) return false;
  const { lastChild } = code;
  lastChild.replaceData(before.length, lastChild.length - before.length, text.slice(before.length));
  return true;
}
