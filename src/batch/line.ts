import type { Job } from "./job.ts";
import { Refused } from "./request.ts";

/** Requests that wait for room, first come first served: bounded, and each is told its place whenever that changes. */
export class Line {
  readonly #most: number;
  #jobs: Job[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#jobs.length;
  }

  /** Those that wait, the first one first. */
  get jobs(): readonly Job[] {
    return this.#jobs;
  }

  /** At the end. Throws Refused where too many wait. */
  join(job: Job): void {
    if (this.#jobs.length >= this.#most)
      throw new Refused(
        "queue",
        `queue: got a request while ${this.#jobs.length} wait, expected fewer than ${this.#most}; ask again later`,
      );
    this.#jobs.push(job);
  }

  /** Before all others, whatever their number: one that had begun already and gave its memory to older ones. */
  joinFirst(job: Job): void {
    this.#jobs.unshift(job);
  }

  /** Takes one out, wherever it stands. */
  leave(job: Job): void {
    this.#jobs = this.#jobs.filter((one) => one !== job);
  }

  /** Tells each its place where it has another one than it was told. */
  tell(): void {
    for (const [i, job] of this.#jobs.entries()) job.tellPlace(i + 1);
  }
}
