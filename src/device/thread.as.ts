// How the threads of one kernel meet: every kernel is NAME(args, thread, threads) and runs on all threads at once.
import {
  ARRIVED,
  FAILED,
  FINISHED,
  JOB,
  SCRATCH,
  SCRATCH_BYTES,
  SHARED,
  SLEEPING,
  TICKET,
  TURN,
} from "./layout";

// About 100 us: longer than the host needs between two kernels of a decoding step, shorter than a time slice lost to another process.
const SPINS: i32 = 1 << 18;

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

/** SHARED_BYTES that all threads of a kernel see. */
export function shared(): usize {
  return <usize>SHARED;
}

/** The next piece of the current phase; counts from 0 again after each barrier. Results must not depend on who gets which. */
export function ticket(): i32 {
  return atomic.add<i32>(TICKET, 1);
}

/** First of `n` pieces that belong to this thread; those of thread + 1 begin where they end. */
export function share(n: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>n * thread) / threads);
}

/** Returns once all threads have called it. Writes before it are visible to every thread after it. */
export function barrier(threads: i32): void {
  if (threads == 1) {
    store<i32>(TICKET, 0);
    return;
  }
  const turn = atomic.load<i32>(TURN);
  if (atomic.add<i32>(ARRIVED, 1) == threads - 1) {
    atomic.store<i32>(ARRIVED, 0);
    atomic.store<i32>(TICKET, 0);
    atomic.add<i32>(TURN, 1);
    atomic.notify(TURN, -1);
    return;
  }
  pause(TURN, turn);
}

/** Returns once `workers` workers have finished the job; for the host's thread. */
export function gather(workers: i32): void {
  let seen = atomic.load<i32>(FINISHED);
  while (seen != workers) {
    pause(FINISHED, seen);
    seen = atomic.load<i32>(FINISHED);
  }
}

/** Says that this worker has finished the job. */
export function finish(): void {
  atomic.add<i32>(FINISHED, 1);
  atomic.notify(FINISHED, -1);
}

/** Waits for a job other than `last` and returns its number; for workers. */
export function rest(last: i32): i32 {
  for (let i = 0; i < SPINS; i++) {
    const job = atomic.load<i32>(JOB);
    if (job != last) return job;
  }
  atomic.add<i32>(SLEEPING, 1);
  // Returns at once if the job has changed meanwhile.
  atomic.wait<i32>(JOB, last, -1);
  atomic.sub<i32>(SLEEPING, 1);
  return atomic.load<i32>(JOB);
}

/** Spins, then sleeps, until the word at `at` is no longer `old`. Traps if another thread has trapped. */
function pause(at: usize, old: i32): void {
  for (let i = 0; i < SPINS; i++) if (atomic.load<i32>(at) != old) return;
  while (atomic.load<i32>(at) == old) {
    if (atomic.load<i32>(FAILED)) unreachable();
    atomic.wait<i32>(at, old, 10000000);
  }
}
