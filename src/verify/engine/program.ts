import { execFile } from "node:child_process";

/** What an engine found of a checkpoint, beside its version. */
export interface Answer {
  readonly version: string;
  /** What it took the checkpoint for: a class, an architecture. */
  readonly taken: string;
  readonly runs: readonly {
    readonly numbers: string;
    readonly form?: string | undefined;
    readonly logits: Float64Array;
  }[];
  /** Numbers that a token leaves in its cache, all layers together, as far as it tells. */
  readonly cache?: number | undefined;
}

/** Why there is no answer: the engine is not here, or it ended without one. */
export interface Silence {
  readonly silent: string;
}

/** What a program says of itself at its end, as one line of JSON; logits are float32 in base64. */
interface Said {
  readonly version: string;
  readonly taken: string;
  readonly cache?: number | null;
  readonly runs?: readonly { readonly numbers: string; readonly logits: string }[];
}

/** The longest that an engine may take. */
const LIMIT_MS = 1_800_000;

/**
 * Runs a program of another engine in a process of its own, which may end as it likes. Its last line is what it found; where there is
 * none, the last of what it wrote on standard error says why.
 */
export async function askProgram(
  command: string,
  words: readonly string[],
  cwd: string | undefined,
): Promise<Answer | Silence> {
  const { out, err, code } = await run(command, words, cwd);
  const line = out.trimEnd().split("\n").at(-1) ?? "";
  if (code !== 0 || !line.startsWith("{")) {
    const lines = err.split("\n").filter((line) => line.trim() && !/^Node\.js v|^Loading weights/.test(line.trim()));
    const why = (lines.at(-1) ?? `it ended with ${code}`).trim();
    const missing = /No module named '(\w+)'/.exec(why)?.[1];
    return { silent: missing ? `${missing} is not installed for ${command}` : why.slice(0, 200) };
  }
  const said = parse(line);
  if (!said) return { silent: `its answer of ${line.length} letters was cut off` };
  const { version, taken, cache, runs = [] } = said;
  return {
    version,
    taken,
    cache: cache ?? undefined,
    runs: runs.map(({ numbers, logits }) => ({ numbers, logits: decode(logits) })),
  };
}

function parse(line: string): Said | undefined {
  try {
    return JSON.parse(line) as Said;
  } catch {
    return undefined;
  }
}

function decode(text: string): Float64Array {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return Float64Array.from(new Float32Array(bytes.buffer));
}

/** Logits of a checkpoint are megabytes of text. */
function run(command: string, words: readonly string[], cwd: string | undefined) {
  const options = { cwd, timeout: LIMIT_MS, killSignal: "SIGKILL", maxBuffer: Number.POSITIVE_INFINITY } as const;
  return new Promise<{ out: string; err: string; code: string | number }>((resolve) => {
    const child = execFile(command, words, options, (error, out, err) => {
      const begun = typeof error?.code !== "string";
      resolve({ out, err: begun ? err : err + error.message, code: error ? (error.code ?? error.signal ?? 1) : 0 });
    });
    child.stdin!.end();
  });
}
