import { commonMachine, type Machine } from "../cost/crossover.ts";
import { cpus, dirname, homedir, join, mkdir, readFile } from "../tensor/node.ts";
import { writeAtomic } from "./atomic.ts";
import { addFigures, figuresText, type Measured, readFigures } from "./figures.ts";

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
  const figures = addFigures(await entriesOf(path, () => {}), measured);
  await mkdir(dirname(path), { recursive: true }).catch(() => {});
  await writeAtomic(path, [figuresText(figures)]);
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
  const found = readFigures(text);
  if (!found)
    warn(`${path}: got something else, expected a file that biform tune wrote; using common figures, run it again`);
  return found ?? [];
}
