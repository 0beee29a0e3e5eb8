import { type ExecFileException, execFile } from "node:child_process";
import { DeviceError } from "../tensor/error.ts";

/** Most bytes of an answer: a state of ten thousand tasks is a megabyte. */
const LIMIT = 64_000_000;

/**
 * Runs an engine's own program and gives what it printed. `missing` says what to do where there is no such program.
 * Throws DeviceError with the last line that the program complained with.
 */
export function call(
  program: string,
  words: readonly string[],
  { input = "", missing }: { input?: string | undefined; missing: string },
): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(program, words, { maxBuffer: LIMIT }, (error, out, err) => {
      if (!error) done(out);
      else fail(refusal(program, words, error, { said: err.trim() || out.trim(), missing }));
    });
    // A program that ends without reading what it is told is heard of by its exit.
    child.stdin!.on("error", () => {});
    child.stdin!.end(input);
  });
}

function refusal(
  program: string,
  words: readonly string[],
  error: ExecFileException,
  { said, missing }: { said: string; missing: string },
): DeviceError {
  // A number is an exit; a word is why there was none.
  if (typeof error.code === "string" && error.code !== "ERR_CHILD_PROCESS_STDIO_MAXBUFFER")
    return new DeviceError(
      `${program}: got ${error.code === "ENOENT" ? "no such program" : error.message}, expected to call it; ${missing}`,
      { cause: error },
    );
  const last = said.split("\n").at(-1) || (error.signal ?? `exit ${error.code}`);
  return new DeviceError(
    `${program}: got ${last}, expected it to do ${words[0] ?? "its work"}; nothing is lost: mend that and run the same command again`,
    { cause: error },
  );
}
