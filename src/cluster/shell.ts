import { spawn } from "node:child_process";
import { DeviceError } from "../tensor/error.ts";

/** Most bytes of an answer: a state of ten thousand tasks is a megabyte. */
const LIMIT = 64_000_000;

/**
 * Runs an engine's own program and gives what it printed. `missing` says what to do where there is no such program.
 * Throws DeviceError with the last line that the program complained with.
 */
export async function call(
  program: string,
  words: readonly string[],
  { input = "", missing }: { input?: string; missing: string },
): Promise<string> {
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    if (out.length > LIMIT) child.kill();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err = (err + text).slice(-4000);
  });
  // A program that ends without reading what it is told is heard of by its exit.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done, fail) => {
    child.on("error", (error) => fail(refusal(program, error, missing)));
    child.on("close", (...end) => done(end));
  });
  if (code === 0) return out;
  const said = (err.trim() || out.trim()).split("\n").at(-1) ?? "";
  throw new DeviceError(
    `${program}: got ${said || (signal ?? `exit ${code}`)}, expected it to do ${words[0] ?? "its work"}; nothing is lost: mend that and run the same command again`,
  );
}

function refusal(program: string, error: Error, missing: string): DeviceError {
  const absent = "code" in error && error.code === "ENOENT";
  return new DeviceError(
    `${program}: got ${absent ? "no such program" : error.message}, expected to call it; ${missing}`,
    { cause: error },
  );
}
