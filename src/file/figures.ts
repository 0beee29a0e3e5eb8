/** What `biform tune` measures, as it is kept: in a file, or by a page. */
import { z } from "zod";

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

/** Figures as they are kept, in a file or by a page. */
export function figuresText(figures: readonly Measured[]): string {
  return `${JSON.stringify({ format: FORMAT, entries: figures }, null, 2)}\n`;
}

/** The way back; undefined for what is no such text. */
export function readFigures(text: string): Measured[] | undefined {
  try {
    return file.parse(JSON.parse(text)).entries;
  } catch {
    return undefined;
  }
}

/** Figures with one more, which takes the place of older ones of its device. */
export function addFigures(figures: readonly Measured[], measured: Measured): Measured[] {
  const alike = ({ cpu, build, threads }: Measured) =>
    cpu === measured.cpu && build === measured.build && threads === measured.threads;
  return [...figures.filter((other) => !alike(other)), measured];
}
