/** Packed weights against memory: bytes of the weight read per second, beside a plain sum over as many bytes. */
import { WasmDevice } from "../src/device/wasm.ts";
import { einsum } from "../src/ops/einsum/index.ts";
import { squares } from "../src/ops/optimise/index.ts";
import { pack } from "../src/ops/pack/index.ts";
import { type PackedFormat, rowBytes } from "../src/tensor/packing.ts";
import { packedTensor, scope, type Tensor, tensor } from "../src/tensor/tensor.ts";
import { interleave, median } from "./rounds.ts";
import { type Plan, ratio, type Table } from "./section.ts";

const formats: readonly PackedFormat[] = ["F16", "BF16", "F8_E4M3", "Q8_0", "Q4_0", "Q4_K", "Q6_K"];
/** What the project asks of a format, as a share of the plain sum's rate. */
const targets: Partial<Record<PackedFormat, number>> = { F16: 0.7, Q8_0: 0.7 };
/** Columns and bytes of each weight: far more than any cache holds. */
const [COLUMNS, BYTES] = [2048, 128 << 20];

/** GB/s per format, thread count and rows of activations. */
export async function packed({ rounds, seconds, threads }: Plan): Promise<Table[]> {
  const tables: Table[] = [];
  for (const t of threads) {
    const device = await WasmDevice.open({ threads: t });
    const plain = tensor(device, [BYTES / 4], new Float32Array(BYTES / 4));
    const sum = tensor(device, [1], [0]);
    const weights: [PackedFormat, Tensor][] = [];
    for (const format of formats) weights.push([format, await weight(device, format)]);
    for (const rows of [1, 4]) {
      const x = tensor(
        device,
        [rows, COLUMNS],
        Float32Array.from({ length: rows * COLUMNS }, (_, i) => Math.sin(i)),
      );
      const measured = [
        { name: "sum", bytes: BYTES, run: () => squares(plain, sum, 0) },
        ...weights.map(([format, w]) => ({
          name: format,
          bytes: rowBytes(format, COLUMNS) * w.shape[1]!,
          run: () => scope(device, () => void einsum("t d, d w -> t w", x, w)),
        })),
      ];
      const results = await interleave(
        rounds,
        measured.map(({ name, run }) => ({ name, turn: async () => times(run, seconds) })),
      );
      const lines = results.map((r, i) => {
        const rate = measured[i]!.bytes / 1e9;
        return { engine: r.name, median: rate / r.median, best: rate / r.best };
      });
      tables.push({
        title: `packed weights, ${rows} row${rows > 1 ? "s" : ""}, ${t}T, ${device.build}`,
        unit: "GB/s",
        lines: lines.map((line) =>
          line === lines[0] ? line : { ...line, ratios: ratio(line, lines[0], targets[line.engine as PackedFormat]) },
        ),
      });
    }
    device.close();
  }
  return tables;
}

/** Median and best seconds of a call, over `seconds` of calls after as long to warm up. */
function times(run: () => void, seconds: number): { median: number; best: number } {
  const warm = performance.now() + 500 * seconds;
  while (performance.now() < warm) run();
  const all: number[] = [];
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    const start = performance.now();
    run();
    all.push((performance.now() - start) / 1000);
  }
  return { median: median(all), best: Math.min(...all) };
}

/** A weight of BYTES bytes of no particular numbers. */
async function weight(device: WasmDevice, format: PackedFormat): Promise<Tensor> {
  const width = rowBytes(format, COLUMNS);
  const rows = Math.floor(BYTES / width / 128) * 128;
  const t = packedTensor(device, [COLUMNS, rows], { format, rows: [1], columns: [0] });
  const scales = new Float32Array((COLUMNS / 128) * (rows / 128)).fill(0.01);
  const at = Int32Array.from({ length: rows }, (_, i) => i);
  // No byte of 120 or more: as halves, scales and 8-bit floats, all are finite.
  const read = async (_: number, into: Uint8Array) => {
    for (let i = 0; i < into.length; i++) into[i] = (i * 7919) % 120;
  };
  await pack(t, { at, scales, read });
  return t;
}
