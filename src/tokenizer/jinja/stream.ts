import type { Token } from "./lex.ts";
import { TemplateFault } from "./value.ts";

/** Tokens read one after another. */
export class Stream {
  readonly #tokens: readonly Token[];
  #at = 0;
  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }
  get current(): Token {
    return this.#tokens[this.#at]!;
  }
  /** The token after the current one. */
  get following(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)]!;
  }
  /** Moves on, and gives the token that was current. */
  next(): Token {
    const token = this.current;
    if (token.type !== "end") this.#at++;
    return token;
  }
  /** Whether an operator of this spelling is current. */
  is(operator: string): boolean {
    return this.current.type === "operator" && this.current.value === operator;
  }
  /** Whether one of these words is current. */
  isWord(...words: readonly string[]): boolean {
    return this.current.type === "name" && words.includes(this.current.value);
  }
  skip(operator: string): boolean {
    const found = this.is(operator);
    if (found) this.next();
    return found;
  }
  skipWord(word: string): boolean {
    const found = this.isWord(word);
    if (found) this.next();
    return found;
  }
  expect(operator: string): void {
    if (!this.skip(operator)) this.fail(operator);
  }
  expectWord(word: string): void {
    if (!this.skipWord(word)) this.fail(word);
  }
  expectType(type: Token["type"]): Token {
    return this.current.type === type ? this.next() : this.fail(type.replace("_", "'s "));
  }
  fail(expected: string): never {
    const { type, value, line } = this.current;
    throw new TemplateFault(
      `line ${line}: got ${value.slice(0, 40) || type.replace("_", "'s ")}, expected ${expected}`,
    );
  }
}
