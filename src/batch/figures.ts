/** What an engine has done and holds, counted from its start; seconds and bytes. */
export interface Figures {
  /** Whether it can run anything: false once its device has failed. */
  readonly healthy: boolean;
  /** Requests now, and how those before ended. */
  readonly running: number;
  readonly queued: number;
  readonly finished: number;
  readonly aborted: number;
  readonly failed: number;
  readonly refused: number;
  /** Sequences that gave their memory to older ones and read all again. */
  readonly paused: number;
  /** Tokens of prompts that were run, that were there already, and tokens written. */
  readonly tokensRead: number;
  readonly tokensCached: number;
  readonly tokensWritten: number;
  /** Steps, the sequences in all of them together, and the seconds that they took. */
  readonly steps: number;
  readonly sequences: number;
  /** Of the steps, those with at most so many sequences: 1, 2, 4, 8, 16, 32 and any number. */
  readonly stepsUpTo: Readonly<Record<string, number>>;
  readonly busySeconds: number;
  /** Bytes of caches now, and most bytes that they may take. */
  readonly cacheBytes: number;
  readonly cacheLimit: number;
  /** Prefixes that are kept: where they part or end, their bytes, how often one was gone on from, and given up for want of room. */
  readonly prefixNodes: number;
  readonly prefixBytes: number;
  readonly prefixHits: number;
  readonly prefixEvictions: number;
  /** Bytes of prefixes in files, and whether any are written: false without a folder, and since the disk refused one. */
  readonly diskBytes: number;
  readonly diskWrites: boolean;
}

/** What is counted as it happens. */
export class Counts {
  finished = 0;
  aborted = 0;
  failed = 0;
  refused = 0;
  paused = 0;
  tokensRead = 0;
  tokensCached = 0;
  tokensWritten = 0;
  steps = 0;
  sequences = 0;
  busySeconds = 0;
  readonly stepsUpTo: Record<string, number> = { 1: 0, 2: 0, 4: 0, 8: 0, 16: 0, 32: 0, Infinity: 0 };

  /** A step of so many sequences. */
  step(sequences: number, seconds: number): void {
    this.steps++;
    this.sequences += sequences;
    this.busySeconds += seconds;
    for (const most of Object.keys(this.stepsUpTo)) if (sequences <= Number(most)) this.stepsUpTo[most]!++;
  }
}
