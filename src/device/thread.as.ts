// How threads share the work of a kernel. Every kernel is NAME(args, thread): it reads its arguments, does the pieces that
// `first` and `next` hand out, and nothing after that. Neither the borders of pieces nor what is done for one depends on the
// number of threads, so results do not either. The host's thread takes pieces until none is left, whether or not a worker has
// woken up meanwhile, and then waits only for pieces that a worker has begun.
import {
  CLAIM,
  DONE,
  JOB,
  KERNEL,
  OVER,
  PIECES,
  SCRATCH,
  SCRATCH_BYTES,
  SHARED,
  SLEEPING,
  THREADS,
  WAITING,
} from "./layout";

/** What `next` answers once no piece is left: above any number of pieces. */
const NONE: i32 = i32.MAX_VALUE;
/**
 * Looks at a word, some 0.4 ns each, before a thread goes to sleep: a worker between jobs, the host at the end of one. A worker
 * looks for longer than the small kernels between two large ones take: waking it costs as much as a product of a token.
 */
const IDLE_SPINS: i32 = 1 << 19;
const END_SPINS: i32 = 1 << 16;
/** Nanoseconds that the host sleeps before it looks whether the workers are alive. */
const PATIENCE: i64 = 100000000;
/** Numbers of a piece of elementwise work, some microseconds of it; a multiple of every vector's width. */
export const GRAIN: i32 = 8192;

/** Whether the job at hand is open to other threads; how many pieces it has; how many of them this thread has taken. */
let open = false;
let count: i32 = 0;
let taken: i32 = 0;
/** In a worker's instance true; the piece that it took before it entered the kernel. */
let worker = false;
let held: i32 = 0;
/** The piece at hand of a job that is not open. */
let piece: i32 = 0;

/** Argument i as a float. */
// @ts-ignore: decorator
@inline
export function real(args: usize, i: i32): f32 {
  return <f32>load<f64>(args + (<usize>i << 3));
}

/** Argument i as a whole number. */
// @ts-ignore: decorator
@inline
export function whole(args: usize, i: i32): i32 {
  return <i32>load<f64>(args + (<usize>i << 3));
}

/** Argument i as an address. */
// @ts-ignore: decorator
@inline
export function address(args: usize, i: i32): usize {
  return <usize>load<f64>(args + (<usize>i << 3));
}

/** Argument i, counted in elements, as a step in bytes. */
// @ts-ignore: decorator
@inline
export function stride(args: usize, i: i32): usize {
  return <usize>(whole(args, i) << 2);
}

/** SCRATCH_BYTES that only this thread uses; contents undefined at the start of a kernel. */
export function scratch(thread: i32): usize {
  return <usize>(SCRATCH + thread * SCRATCH_BYTES);
}

/** SHARED_BYTES that all threads of a kernel see, and the next kernel of the same launch. */
export function shared(): usize {
  return <usize>SHARED;
}

/** Pieces of at most `each` that `n` things make. */
// @ts-ignore: decorator
@inline
export function piecesOf(n: i32, each: i32): i32 {
  return (n + each - 1) / each;
}

/**
 * Where piece `i` of `n` rows begins, n where there is none. The first pieces have `most` rows, later ones half of what
 * is left down to `least`, of which all are multiples: large pieces cost least, and small ones at the end let all threads
 * finish together.
 */
export function cutAt(n: i32, most: i32, least: i32, i: i32): i32 {
  let from: i32 = 0;
  for (; i > 0 && from < n; i--) from += max(least, min(most, ((n - from) / (2 * least)) * least));
  return min(from, n);
}

/** Pieces that `cutAt` makes of `n` rows. */
export function cutsOf(n: i32, most: i32, least: i32): i32 {
  let cuts = 0;
  for (let from = 0; from < n; cuts++) from += max(least, min(most, ((n - from) / (2 * least)) * least));
  return cuts;
}

/** Rows of `width` numbers that make a piece. */
// @ts-ignore: decorator
@inline
export function rowsOf(width: i32): i32 {
  return max(1, GRAIN / max(1, width));
}

/** Whether the next job will be for the host's thread alone, which then may take the pieces of one result at once. */
export function alone(): bool {
  return load<i32>(THREADS) <= 1;
}

/** First of the `n` things in run `i` of `runs`, all as equal as can be; those of run i + 1 begin where they end. */
export function share(n: i32, i: i32, runs: i32): i32 {
  return <i32>((<i64>n * i) / runs);
}

/**
 * Opens a job of `n` pieces and returns this thread's first one: `for (let i = first(n); i < n; i = next())`. A worker enters
 * a kernel with a piece in hand: as long as it has not asked for the next, the job cannot end nor its arguments change.
 */
export function first(n: i32): i32 {
  if (worker) return held;
  piece = 0;
  open = n > 1 && load<i32>(THREADS) > 1;
  if (!open) return 0;
  count = n;
  taken = 0;
  store<i32>(PIECES, n);
  atomic.store<i32>(DONE, 0);
  atomic.store<i64>(CLAIM, (<i64>(atomic.load<i32>(JOB) + 1) << 32) | n);
  if (atomic.load<i32>(SLEEPING) > 0) atomic.notify(JOB, min(n, load<i32>(THREADS)) - 1);
  return next();
}

/** This thread's next piece; above all of them where none is left. A worker must touch nothing after that. */
export function next(): i32 {
  if (!open) return ++piece;
  for (;;) {
    const word = atomic.load<i64>(CLAIM);
    if (<i32>word == 0) break;
    if (take(word)) return count - <i32>word;
  }
  if (worker) report();
  return NONE;
}

/** Takes a piece if CLAIM still is `word`. */
// @ts-ignore: decorator
@inline
function take(word: i64): bool {
  if (atomic.cmpxchg<i64>(CLAIM, word, word - 1) != word) return false;
  taken++;
  return true;
}

/** Says how many pieces this worker has finished, which may end the job. */
function report(): void {
  atomic.add<i32>(DONE, taken);
  if (atomic.load<i32>(WAITING)) atomic.notify(DONE, 1);
}

/** For the host's thread: whether the job is over; waits for that, but not for ever, since a worker may have died. */
export function finish(): bool {
  if (!open) return true;
  const others = count - taken;
  for (let i = 0; i < END_SPINS; i++) if (atomic.load<i32>(DONE) == others) return true;
  atomic.store<i32>(WAITING, 1);
  let silent = false;
  while (true) {
    const done = atomic.load<i32>(DONE);
    if (done == others || silent || atomic.load<i32>(OVER)) {
      atomic.store<i32>(WAITING, 0);
      return done == others;
    }
    silent = atomic.wait<i32>(DONE, done, PATIENCE) == 2;
  }
}

/** For workers: waits for a job, takes a piece of it and returns the index of its kernel; -1 when there will be none. */
export function rest(thread: i32): i32 {
  worker = true;
  open = true;
  while (true) {
    for (let i = 0; i < IDLE_SPINS; i++) if (enter(thread)) return load<i32>(KERNEL);
    atomic.add<i32>(SLEEPING, 1);
    const job = atomic.load<i32>(JOB);
    const entered = enter(thread);
    // Returns at once if there has been another job meanwhile.
    if (!entered && !atomic.load<i32>(OVER)) atomic.wait<i32>(JOB, job, -1);
    atomic.sub<i32>(SLEEPING, 1);
    if (entered) return load<i32>(KERNEL);
    if (atomic.load<i32>(OVER)) return -1;
  }
}

/** Takes the first piece of the job at hand, if this thread may take part and one is left. */
function enter(thread: i32): bool {
  const word = atomic.load<i64>(CLAIM);
  if (<i32>word == 0 || thread >= load<i32>(THREADS)) return false;
  taken = 0;
  if (!take(word)) return false;
  count = load<i32>(PIECES);
  held = count - <i32>word;
  return true;
}
