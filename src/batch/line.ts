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

  /** At the end. The first `free` begin within this turn and wait for nothing. Throws Refused where too many wait. */
  join(job: Job, free: number): void {
    const waiting = Math.max(0, this.#jobs.length + 1 - free);
    if (waiting > this.#most)
      throw new Refused(
        "queue",
        `queue: got a request while ${waiting - 1} wait, expected at most ${this.#most} with it; ask again later`,
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
