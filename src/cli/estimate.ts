/** Marks that are kept of one piece of work; beyond them, every second one is dropped. */
const MOST = 512;

/**
 * The time left of some work, from how far it was at several times. What comes first tells little: it compiles, pages memory in and
 * fills caches. So the pace is that of the later half of what is done, and nothing is said before two pieces are.
 */
export class Estimate {
  #marks: { readonly done: number; readonly time: number }[] = [];

  /** So much is done at this time, in any units. What is done at first, by an earlier process, took none of this time. */
  take(done: number, time: number): void {
    const last = this.#marks.at(-1);
    // Until work begins, time passes with what comes before it.
    if (last?.done === done && this.#marks.length === 1) this.#marks = [];
    else if (last?.done === done) return;
    this.#marks.push({ done, time });
    if (this.#marks.length > MOST) this.#marks = this.#marks.filter((_, i) => i % 2 === 0);
  }

  /** Time from the last mark until `total` is done, in the units of the times given; undefined while nobody can say. */
  left(total: number): number | undefined {
    const [first, second] = this.#marks;
    const last = this.#marks.at(-1);
    if (!first || !second || !last || last === second) return undefined;
    const half = (first.done + last.done) / 2;
    const from = this.#marks.findLast(({ done }) => done <= half);
    const { done, time } = from && from !== first ? from : second;
    return ((total - last.done) * (last.time - time)) / (last.done - done);
  }
}
