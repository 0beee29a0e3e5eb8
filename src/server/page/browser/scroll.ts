/** Stays at the end of what grows, for as long as the reader is there. */

/** Pixels from the end that count as there. */
const near = 48;

/** Follows the end of a box; whoever scrolls away is left alone and gets a button back. */
export class Scroll {
  readonly #box: HTMLElement;
  readonly #jump: HTMLElement;
  #there = true;

  /** `jump` is shown while the reader is elsewhere. */
  constructor(box: HTMLElement, jump: HTMLElement) {
    this.#box = box;
    this.#jump = jump;
    box.addEventListener("scroll", () => this.#look(), { passive: true });
    new ResizeObserver(() => this.follow()).observe(box);
    jump.addEventListener("click", () => this.toEnd());
  }

  /** What the box holds has grown. */
  follow(): void {
    if (this.#there) this.#box.scrollTop = this.#box.scrollHeight;
    else this.#look();
  }

  toEnd(): void {
    this.#there = true;
    this.follow();
    this.#look();
  }

  #look(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    this.#there = scrollHeight - scrollTop - clientHeight <= near;
    this.#jump.hidden = this.#there;
  }
}
