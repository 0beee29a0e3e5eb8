/** A text that ended before it was whole: more of it may make it so. */
export class Cut extends Error {
  override name = "Cut";
}

/** A text that no continuation makes right. */
export class Broken extends Error {
  override name = "Broken";
}

/** Deeper than any arguments in use, and far from the end of the stack. */
const DEPTH_LIMIT = 200;

/** A place in a text. Its methods throw Cut where the text ends too early, and Broken where it says something else. */
export class Scanner {
  readonly text: string;
  at = 0;
  #depth = 0;

  constructor(text: string) {
    this.text = text;
  }

  get ended(): boolean {
    return this.at >= this.text.length;
  }

  /** Goes over blanks, and over `more` where it comes next. */
  skip(more = ""): this {
    while (!this.ended && (" \t\r\n".includes(this.text[this.at]!) || more.includes(this.text[this.at]!))) this.at++;
    return this;
  }

  /** The next character, which stays. */
  peek(): string {
    if (this.ended) throw new Cut("the text ends");
    return this.text[this.at]!;
  }

  /** Goes over a word where it comes next. */
  has(word: string): boolean {
    const rest = this.text.slice(this.at, this.at + word.length);
    if (rest.length < word.length && word.startsWith(rest)) throw new Cut("the text ends");
    if (rest !== word) return false;
    this.at += word.length;
    return true;
  }

  expect(word: string): void {
    if (!this.has(word)) throw new Broken(`expected ${word}`);
  }

  /** What an expression finds here; undefined where it does not fit. */
  match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = this.at;
    const found = sticky.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  /** As `match`, where it must fit. */
  take(pattern: RegExp): string {
    this.peek();
    const found = this.match(pattern);
    if (found === undefined) throw new Broken(`expected ${pattern.source}`);
    return found;
  }

  /** All up to a word, which is gone over. */
  until(word: string): string {
    const end = this.text.indexOf(word, this.at);
    if (end < 0) throw new Cut("the text ends");
    const found = this.text.slice(this.at, end);
    this.at = end + word.length;
    return found;
  }

  /** Items between two marks, with commas between them. */
  list(open: string, close: string, item: () => void): void {
    this.expect(open);
    if (++this.#depth > DEPTH_LIMIT) throw new Broken(`more than ${DEPTH_LIMIT} levels`);
    if (!this.skip().has(close))
      for (;;) {
        this.skip();
        item();
        if (this.skip().has(close)) break;
        this.expect(",");
      }
    this.#depth--;
  }
}
