import { formNames } from "../../attention/define.ts";
import type { Attention } from "../../attention/layer.ts";
import { variants } from "../../attention/variants.ts";
import type { Blueprint } from "../../cost/blueprint.ts";
import { commonMachine, type Machine } from "../../cost/crossover.ts";
import { WasmDevice } from "../../device/wasm.ts";
import { columns } from "../../draw/column.ts";
import { crossoverGrid, type GridPoint, gridSeconds } from "../../measure/grid.ts";
import { tune } from "../../measure/tune.ts";
import { rotation } from "../../ops/rope/index.ts";
import { ShapeError } from "../../tensor/error.ts";
import { patient } from "../progress.ts";

/** Steps over a cached prefix, as a decoding step, speculative ones and chunks of a prompt are. */
const grid = { contexts: [1024, 4096, 8192], steps: [1, 4, 16, 64, 256] } as const;

/** Seconds of learning the machine's rates. */
const TUNING = 9;

/** What a model's attention takes on this machine, measured and predicted by rates of the same minutes. */
export interface Measuring {
  readonly model: string;
  readonly threads: number;
  readonly machine: Machine;
  /** Seconds of one layer. */
  readonly points: readonly GridPoint[];
}

/** One layer of a model that Biform runs in two forms. Throws ShapeError where it has none. */
function layerOf({ name, layers }: Blueprint): Attention {
  for (const { attention } of layers) {
    const variant = variants.find((known) => known.name === attention.variant.name);
    if (variant && formNames(variant, attention.sizes).length > 1) {
      const { sizes, window } = attention;
      return { variant, sizes, rotation: rotation(sizes.r, 10000, "interleaved"), window };
    }
  }
  throw new ShapeError(
    `--measure: got ${name}, whose attention has one form, expected a model with two; name one with latents`,
  );
}

/** `biform plan MODEL --measure`: every form over a grid of contexts and steps. Throws ShapeError, DeviceError, and the signal's reason. */
export async function measureCrossover(blueprint: Blueprint, signal: AbortSignal): Promise<Measuring> {
  const attention = layerOf(blueprint);
  const device = await WasmDevice.open();
  // Until the machine is known, a common one says how much of the time tuning is.
  const tuned = TUNING / (TUNING + gridSeconds(attention, commonMachine, grid));
  const display = patient({ title: "measure", total: 1 });
  try {
    const watch = (from: number, to: number) => (done: number, total: number, label: string) =>
      display.update({ done: from + ((to - from) * done) / total, label });
    const machine = await tune(device, { seconds: TUNING, signal, watch: watch(0, tuned) });
    const points = await crossoverGrid(device, attention, machine, { ...grid, signal, watch: watch(tuned, 1) });
    await display.finish();
    return { model: blueprint.name, threads: device.threads, machine, points };
  } catch (error) {
    await display.finish(signal.aborted ? "measure: stopped" : undefined);
    throw error;
  } finally {
    device.close();
  }
}

/** The grid as a table: a row per step, times of one layer in each form, and how far off each prediction is. */
export function measuringTable({ model, threads, points }: Measuring): string {
  const name = ({ cached, form }: GridPoint) => (cached === "unfolded" ? `${form}, kept` : form);
  const names = [...new Set(points.map(name))];
  const rows = [...Map.groupBy(points, ({ s, t }) => `${s - t} ${t}`).values()].map((group) => {
    const { s, t } = group[0]!;
    const fastest = (by: "measured" | "predicted") => name(group.toSorted((a, b) => a[by] - b[by])[0]!);
    const cells = names.map((wanted) => {
      const point = group.find((candidate) => name(candidate) === wanted);
      if (!point) return "–";
      const error = Math.round(100 * (point.predicted / point.measured - 1));
      return `${(1000 * point.measured).toFixed(2)} ${`${error < 0 ? "" : "+"}${error} %`.padStart(6)}`;
    });
    const [seen, said] = [fastest("measured"), fastest("predicted")];
    return [s - t, t, ...cells, seen === said ? seen : `${seen} (said ${said})`];
  });
  const errors = points.map(({ measured, predicted }) => Math.abs(predicted / measured - 1)).toSorted((a, b) => a - b);
  const near = errors.filter((error) => error <= 0.15).length;
  return [
    `One attention layer of ${model} on this machine, ${threads} ${threads === 1 ? "thread" : "threads"}: ms measured, error of the prediction`,
    "",
    ...columns(["cached", "new", ...names, "fastest"], rows, [2 + names.length]),
    "",
    `kept: keys and values per head are the cache, rather than latents. ${near} of ${errors.length} within 15 %, half within ${(100 * errors[errors.length >> 1]!).toFixed(0)} %.`,
    "",
  ].join("\n");
}
