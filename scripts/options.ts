// What the scripts of scripts/ and bench/ are told on their command lines.
import { readFileSync } from "node:fs";
import { type ParseArgsConfig, parseArgs } from "node:util";

/**
 * Options of the script that runs, as `parseArgs` reads them. `--help` prints the comment that the script begins with; an option that
 * there is not is told in a line beside it. Both end the process.
 */
export function readOptions<const T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  const asked = process.argv.includes("--help");
  try {
    if (!asked) return parseArgs(config);
  } catch (error) {
    console.error(`${(error as Error).message}\n`);
    process.exitCode = 2;
  }
  const about = readFileSync(process.argv[1]!, "utf8").split(/^import /m)[0]!;
  (asked ? console.log : console.error)(about.replace(/^(\/\*\*| \*\/|\/\/ ?| \* ?)/gm, "").trim());
  process.exit();
}
