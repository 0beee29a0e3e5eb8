/** Lets waiting events through (signals, timers, output), which a promise that is done already does not. In pages as in Node. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve);
  });
}
