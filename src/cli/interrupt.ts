/** Ctrl-C as a signal: the first asks for a stop after the step at work, the second ends at once. */
export function interruptible(): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return {
    signal: controller.signal,
    end() {
      process.off("SIGINT", stop);
      process.off("SIGTERM", stop);
    },
  };
}

/** Ends a command whose model was still being loaded at Ctrl-C; throws any other error on. */
export function endInterrupted(signal: AbortSignal, error: unknown): void {
  if (!(signal.aborted && error === signal.reason)) throw error;
  process.stderr.write("interrupted while loading\n");
  process.exitCode = 130;
}
