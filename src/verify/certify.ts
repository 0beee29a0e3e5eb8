import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheValues } from "../attention/define.ts";
import { readModel } from "../checkpoint/load.ts";
import { type Opened, openModel } from "../checkpoint/open.ts";
import { ReferenceDevice } from "../device/reference.ts";
import { WasmDevice } from "../device/wasm.ts";
import { columns } from "../draw/column.ts";
import { clip } from "../draw/text.ts";
import { Session } from "../generate/session.ts";
import { formsOf, modelSize } from "../model/model.ts";
import type { Device } from "../tensor/tensor.ts";
import { askLlama } from "./engine/llamacpp.ts";
import type { Answer, Silence } from "./engine/program.ts";
import { askTransformers, askVllm } from "./engine/python.ts";

/** One engine on one checkpoint. */
export interface CertificateRow {
  readonly engine: string;
  /** The checkpoint: the original's path, or one of those that were written. */
  readonly of: string;
  /** What the engine took it for. */
  readonly taken?: string | undefined;
  readonly numbers?: string | undefined;
  readonly form?: string | undefined;
  /** The largest difference of logits from those that all are held to, by the largest of these. */
  readonly difference?: number | undefined;
  /** Of how many tokens the most likely next one is theirs. */
  readonly greedy?: number | undefined;
  /** Bytes that a token leaves in the cache at 16 bits, as the engine says. */
  readonly cache?: number | undefined;
  /** Why there is nothing: an engine that is not here, or that refused. */
  readonly silent?: string | undefined;
}

/** Written checkpoints beside the model that they came from, in every engine at hand. */
export interface Certificate {
  readonly original: string;
  /** Whose logits in Biform, in float64 where that has room, all are held to: the original's, or those of the first that was written. */
  readonly beside: string;
  readonly tokens: number;
  readonly rows: readonly CertificateRow[];
}

/** Parameters from which on float64 takes more memory and time than a machine may have: then float32 is what all is held to. */
const LARGE = 4e8;

/**
 * Runs checkpoints in engines at hand, unpatched, on the same ids: Biform in float64 and float32 in every form, transformers on
 * folders, llama.cpp on GGUF files, and how vLLM reads a config. All are held to the original, or, of a conversion that is `lossy`, to
 * the first that was written: engines then compute just what was converted, and the original's row says how far that is from it. An
 * engine that is not here is named. Errors: as `loadModel`, of the original and of the first that was written.
 */
export async function certify(
  original: string,
  written: readonly string[],
  {
    tokens = 16,
    lossy = false,
    watch,
  }: { readonly tokens?: number | undefined; readonly lossy?: boolean | undefined; watch?(what: string): void } = {},
): Promise<Certificate> {
  const opened = await openModel(original);
  const most = Math.min(500, opened.model.vocabulary);
  const ids = Array.from({ length: tokens }, (_, i) => (i * 37 + 11) % most);
  const types = modelSize(opened.model) < LARGE ? (["float64", "float32"] as const) : (["float32"] as const);
  const rows: CertificateRow[] = [];
  watch?.(`${original} in Biform`);
  const [first] = await ownRuns(opened, ids, types[0], 1);
  const beside = lossy ? written[0]! : original;
  watch?.(`${beside} in Biform`);
  const whole = lossy ? await ownRuns(await openModel(beside), ids, types[0]) : undefined;
  const held = heldTo((whole?.[0] ?? first!).logits, tokens);
  const add = (engine: string, of: string, answer: Answer | Silence) => {
    if ("silent" in answer) return rows.push({ engine, of, silent: answer.silent });
    const { version, taken, cache, runs } = answer;
    const known = { engine: version, of, taken, cache: cache && 2 * cache };
    if (!runs.length) rows.push(known);
    for (const { numbers, form, logits } of runs) rows.push({ ...known, numbers, form, ...held(logits) });
    return rows.length;
  };
  add("Biform", original, { version: "Biform", taken: taken(opened), cache: numbersOf(opened), runs: [first!] });
  for (const path of written) {
    const made = await openModel(path);
    for (const numbers of types) {
      watch?.(`${path} in Biform, ${numbers}`);
      const there = path === beside && numbers === types[0] ? whole : undefined;
      const runs = there ?? (await ownRuns(made, ids, numbers));
      add("Biform", path, { version: "Biform", taken: taken(made), cache: numbersOf(made), runs });
    }
    if (made.gguf) {
      watch?.(`${path} in llama.cpp`);
      add("llama.cpp", path, await askLlama(path, ids));
      continue;
    }
    watch?.(`${path} in transformers`);
    add("transformers", path, await askTransformers(path, ids));
    watch?.(`${path} in vLLM`);
    add("vLLM", path, await askVllm(path));
  }
  return { original, beside, tokens, rows };
}

/** A folder for checkpoints that are written to be looked at, and its removal. */
export async function aside<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), "biform-certify-"));
  try {
    return await use(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const taken = ({ config, gguf }: Opened) => `${config.model_type}${gguf ? ", GGUF" : ""}`;

const numbersOf = ({ model }: Opened) =>
  model.layers.reduce((sum, { attention }) => sum + cacheValues(attention.variant, attention.sizes), 0);

/** A model's logits of all tokens in its forms. */
async function ownRuns(opened: Opened, ids: readonly number[], numbers: "float64" | "float32", most = 9) {
  const device: Device = numbers === "float64" ? new ReferenceDevice() : await WasmDevice.open({});
  try {
    const { model, weights } = await readModel(opened, device, { weights: "plain" });
    const runs: { numbers: string; form: string; logits: Float64Array }[] = [];
    for (const form of formsOf(model).slice(0, most)) {
      const session = new Session(model, weights, { context: ids.length });
      const logits = await session.append(Int32Array.from(ids), { form }).read();
      session.free();
      runs.push({ numbers, form, logits: Float64Array.from(logits) });
    }
    for (const t of weights.values()) t.free();
    return runs;
  } finally {
    device.close();
  }
}

/** How far logits are from the expected, and how often the most likely token is the same. */
function heldTo(expected: Float64Array, tokens: number) {
  const size = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const best = (of: Float64Array) => {
    const width = of.length / tokens;
    return Array.from({ length: tokens }, (_, t) => {
      const row = of.subarray(t * width, (t + 1) * width);
      return row.reduce((at, x, i) => (x > row[at]! ? i : at), 0);
    });
  };
  const wanted = best(expected);
  return (logits: Float64Array) => {
    if (logits.length !== expected.length)
      return { silent: `it gives ${logits.length} logits, not ${expected.length}` };
    let far = 0;
    for (let i = 0; i < logits.length; i++) far = Math.max(far, Math.abs(logits[i]! - expected[i]!));
    // Nothing orders what is no number.
    const difference = Number.isNaN(far) || logits.some(Number.isNaN) ? Number.NaN : far / size;
    return { difference, greedy: best(logits).filter((id, t) => id === wanted[t]).length };
  };
}

const heads = ["checkpoint", "engine", "run", "difference", "greedy", "B/token", "taken for"];
const nameOf = (path: string) => path.split("/").at(-1)!;

/** A line for each engine on each checkpoint, and a sentence for each that said nothing. */
function linesOf({ tokens, rows }: Certificate): { readonly cells: string[][]; readonly silences: string[] } {
  const cells = rows.map(({ engine, of, taken, numbers, form, difference, greedy, cache, silent }) => [
    nameOf(of),
    engine.split(",")[0]!,
    [numbers, form].filter(Boolean).join(" "),
    difference === undefined ? "" : difference.toExponential(1),
    greedy === undefined ? "" : `${greedy} of ${tokens}`,
    cache === undefined ? "" : `${cache}`,
    silent ? "" : (taken ?? ""),
  ]);
  const silences = rows.flatMap(({ engine, of, silent }) => (silent ? [`${engine} on ${nameOf(of)}: ${silent}`] : []));
  return { cells, silences };
}

const about = ({ original, beside, tokens }: Certificate) =>
  `Logits of ${tokens} tokens beside ${nameOf(beside)}'s in Biform, by its largest` +
  `${beside === original ? "" : `, since a smaller cache is another function: how far off ${nameOf(original)} is, its row says`}; cache at 16 bits:`;

/** Letters of a checkpoint's name in a terminal's table, so that the numbers beside it are whole. */
const NAME = 20;

/** A certificate as a terminal shows it. */
export function certificateTable(certificate: Certificate): string {
  const { cells: whole, silences } = linesOf(certificate);
  const cells = whole.map(([name, ...rest]) => [clip(name!, NAME), ...rest]);
  return [about(certificate), ...columns(heads, cells), ...silences].join("\n");
}

/** The same for a card, in Markdown: whole, whatever the length of names. */
export function certificateMarkdown(certificate: Certificate): string {
  const { cells, silences } = linesOf(certificate);
  const row = (of: readonly string[]) => `| ${of.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const table = [row(heads), row(heads.map(() => "---")), ...cells.map(row)].join("\n");
  return [about(certificate), table, ...silences.map((line) => `- ${line}`)].join("\n\n");
}
