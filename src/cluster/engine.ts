/** What does many runs on many machines: its scheduling is its own, and Biform hands runs over and asks how they stand. */

/** Runs that were handed over together, and the word by which the engine knows them. */
export interface Job {
  readonly id: string;
  /** The list in the store whose lines are the runs' keys: the engine's i-th task does the i-th. */
  readonly list: number;
  readonly keys: readonly string[];
}

/** What an engine says of its jobs' runs: those it still has, at work or waiting, those that ended well, and those it gave up with its reason. */
export interface Held {
  readonly waiting: ReadonlySet<string>;
  readonly running: ReadonlySet<string>;
  readonly ended: ReadonlySet<string>;
  readonly failed: ReadonlyMap<string, string>;
}

/** What an engine says, while it is being read. */
export interface Sorting extends Held {
  readonly waiting: Set<string>;
  readonly running: Set<string>;
  readonly ended: Set<string>;
  readonly failed: Map<string, string>;
}

/** Nothing yet of any run. */
export function nothingHeld(): Sorting {
  return { waiting: new Set(), running: new Set(), ended: new Set(), failed: new Map() };
}

/** An engine; what it throws is a DeviceError that says what it refused. */
export interface Engine {
  readonly name: string;
  /** Most runs of one job. */
  readonly most: number;
  /** Hands the runs of a list over and gives the job's id. */
  submit(list: number, keys: readonly string[]): Promise<string>;
  look(jobs: readonly Job[]): Promise<Held>;
  cancel(jobs: readonly Job[]): Promise<void>;
  /** Whether its runs go on when nobody watches. */
  readonly lasting: boolean;
}

/** How an engine's tasks call Biform, and where. */
export interface Call {
  /** The program and its first words. */
  readonly biform: readonly string[];
  readonly file: string;
  readonly where: string;
  /** Words after all others, such as the device and its threads. */
  readonly words: readonly string[];
}

/** The words with which a run is done: by its key, or by its place in a list (`list-3.17`). */
export function taskWords({ biform, file, where, words }: Call, key: string): string[] {
  return [...biform, "compare", "--run", file, key, "--out", where, ...words];
}

/** The same for a POSIX shell, where `variable` has the place of the run in a list. */
export function taskLine(task: Call, list: number, variable: string): string {
  const key = "KEY";
  const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;
  return taskWords(task, key)
    .map((word) => (word === key ? `list-${list}."$${variable}"` : quote(word)))
    .join(" ");
}
