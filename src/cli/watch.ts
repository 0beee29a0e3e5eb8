import { interruptible } from "./interrupt.ts";
import { type Progress, progress, type Work } from "./progress.ts";

/**
 * Does work with its progress shown, and with the signal of Ctrl-C. Where it throws, the display ends with what it showed last and the
 * error goes on; where it does not, ending the display is its own, with the words that fit.
 */
export async function underWatch<T>(
  work: Work,
  act: (display: Progress, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interrupt = interruptible();
  const display = progress(work);
  try {
    return await act(display, interrupt.signal);
  } catch (error) {
    await display.finish("stopped");
    throw error;
  } finally {
    interrupt.end();
  }
}
