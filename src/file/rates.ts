import { z } from "zod";
import { commonMachine, type Machine } from "../cost/crossover.ts";
import { cpus, dirname, homedir, join, mkdir, readFile } from "../tensor/node.ts";
import { writeAtomic } from "./atomic.ts";

const FORMAT = "biform machine 2";

/** Of each kernel: bytes read, FLOPs, and rows of a head begun, each per second. */
const rate = z.object({
  bytes: z.number().positive(),
  flops: z.number().positive(),
  rows: z.number().positive().optional(),
});
const entry = z.object({
  cpu: z.string(),
  build: z.string(),
  threads: z.int().positive(),
  /** When it was measured, ISO 8601. */
  date: z.string(),
  machine: z.object({
    contract: z.object({ few: rate, many: rate }),
    attend: z.object({ few: rate, many: rate, shared: rate }),
    few: z.int().nonnegative(),
    panel: z.int().nonnegative(),
    tile: z.int().nonnegative(),
    widen: z.number().positive().optional(),
    op: z.number().nonnegative(),
  }),
});
const file = z.object({ format: z.literal(FORMAT), entries: z.array(entry).max(1000) });

/** Figures of one CPU, build of the kernels and number of threads. */
export type Measured = z.infer<typeof entry>;

/** What figures belong to. */
export interface Runner {
  readonly build: string;
  readonly threads: number;
}

/** Name of this machine's CPU. */
export function cpuName(): string {
  return cpus()[0]?.model.trim() || "unknown";
}

/** Where `biform tune` keeps its figures: machine.json in the user's configuration folder (XDG Base Directory). */
export function machinePath(): string {
  const { XDG_CONFIG_HOME, APPDATA } = process.env;
  const folder = XDG_CONFIG_HOME || (process.platform === "win32" && APPDATA) || join(homedir(), ".config");
  return join(folder, "biform", "machine.json");
}

/** Where figures lie, and who hears of those that cannot be used. */
export interface RatesOptions {
  readonly path?: string | undefined;
  readonly warn?: ((line: string) => void) | undefined;
}

/**
 * The figures measured for a device like this one on this CPU, else common ones. A file that cannot be used, or that knows this
 * device from another CPU only, costs one line to `warn` and nothing else.
 */
export async function machineFor(
  runner: Runner,
  { path = machinePath(), warn = () => {} }: RatesOptions = {},
): Promise<Machine> {
  const common = { ...commonMachine, panel: runner.build === "wide" ? 16 : commonMachine.panel };
  const entries = await entriesOf(path, warn);
  const alike = entries.filter(({ build, threads }) => build === runner.build && threads === runner.threads);
  const own = alike.find(({ cpu }) => cpu === cpuName());
  if (own) return own.machine;
  if (entries.length)
    warn(
      alike.length
        ? `${path}: got figures of ${alike[0]!.cpu}, expected ${cpuName()}; using common ones, run biform tune`
        : `${path}: got no figures for ${runner.threads} threads of the ${runner.build} build; using common ones, run biform tune`,
    );
  return common;
}

/** All figures measured on this CPU, the latest first; a file that cannot be used costs one line to `warn`. */
export async function figuresHere({ path = machinePath(), warn = () => {} }: RatesOptions = {}): Promise<Measured[]> {
  const own = (await entriesOf(path, warn)).filter(({ cpu }) => cpu === cpuName());
  return own.toSorted((a, b) => b.date.localeCompare(a.date));
}

/** Writes figures beside those of other devices, in the place of older ones of this device. Throws DeviceError as `writeAtomic`. */
export async function keepMachine(measured: Measured, path = machinePath()): Promise<void> {
  const others = (await entriesOf(path, () => {})).filter(
    ({ cpu, build, threads }) => cpu !== measured.cpu || build !== measured.build || threads !== measured.threads,
  );
  const content = { format: FORMAT, entries: [...others, measured] };
  await mkdir(dirname(path), { recursive: true }).catch(() => {});
  await writeAtomic(path, [`${JSON.stringify(content, null, 2)}\n`]);
}

async function entriesOf(path: string, warn: (line: string) => void): Promise<Measured[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ENOTDIR")
      warn(`${path}: got ${code}, expected to read it; using common figures`);
    return [];
  }
  try {
    return file.parse(JSON.parse(text)).entries;
  } catch {
    warn(`${path}: got something else, expected a file that biform tune wrote; using common figures, run it again`);
    return [];
  }
}
