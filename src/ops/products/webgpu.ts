import type { Operand } from "../../device/gpu/launcher.ts";
import { placeOf } from "../../device/gpu/launcher.ts";
import { groupsFor, type Shader } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { updateWebgpu } from "../add/webgpu.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { biasWebgpu } from "../bias/webgpu.ts";
import { stepsAlong } from "../einsum/few.wgsl.ts";
import { FEW, lanesFor } from "../einsum/launch.wgsl.ts";
import { lengthOf, loopsOf } from "../einsum/loops.wgsl.ts";
import { contractWebgpu, weightOf } from "../einsum/webgpu.ts";
import { gateWebgpu } from "../gate/webgpu.ts";
import { Normed } from "../norm/normed.ts";
import { apart } from "./apart.ts";
import { columnsOf, type FewClass, fewShader } from "./few.wgsl.ts";
import type { Contraction, Product, ProductsKernel } from "./index.ts";

const separate = apart({ contract: contractWebgpu, bias: biasWebgpu, gate: gateWebgpu, update: updateWebgpu });

/** How a weight is gone through, what it is, and the step from one of its rows to the next, in words. */
interface Weight extends ReturnType<typeof weightOf> {
  readonly way: FewClass["way"];
  readonly words: number;
}

/** A product that may share a launch. */
interface Ready {
  readonly product: Product;
  readonly out: Tensor;
  readonly weights: readonly Weight[];
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** The weight of a contraction of whole rows with one matrix, if it is one. */
function weightFor(
  { plan, weight, bias }: Contraction,
  x: Tensor,
  binding: number,
): Omit<Ready, "product" | "out"> | undefined {
  const { batch, m, n, k } = loopsOf(plan, x, weight);
  const [along, row, column] = [k[0], m[0], n[0]];
  if (batch.length || k.length !== 1 || m.length > 1 || n.length !== 1 || !along || !column) return undefined;
  const [rows, columns, depth] = [lengthOf(m), column.size, along.size];
  const whole = along.a === 1 && column.c === 1 && (!row || (row.a === depth && row.c === columns));
  if (!whole || rows > FEW || (bias && bias.size !== columns)) return undefined;
  const found = weightOf(weight);
  if (4 * found.b.size > binding) return undefined;
  const across = along.column === 1 && along.b === 0 && column.column === 0 && depth % 4 === 0;
  const down = column.column === 1 && column.b === 0 && along.column === 0 && columns % 4 === 0;
  if (!across && !down) return undefined;
  const words = across ? column.b : along.b;
  return { weights: [{ ...found, way: across ? "across" : "down", words }], rows, columns, depth };
}

function readyOf(product: Product, out: Tensor, x: Tensor, binding: number): Ready | undefined {
  const [first, second] = product.of;
  const one = weightFor(first, x, binding);
  const other = second && weightFor(second, x, binding);
  if (!one || (second && one.weights[0]?.way !== other?.weights[0]?.way)) return undefined;
  return { ...one, product, out, weights: [...one.weights, ...(other?.weights ?? [])] };
}

/** Storage buffers of a product, and of what all share. */
const buffersOf = ({ product, weights }: Ready) => weights.length + 1 + product.of.filter((one) => one?.bias).length;
const SHARED = 2;
/** Storage buffers of a launch at most: with more, its numbers are too many. */
const MOST = 16;

export const productsWebgpu: ProductsKernel = (x, list, outs) => {
  const device = x.device as WebgpuDevice;
  const { bindings, binding } = device.traits;
  let open: Ready[] = [];
  const close = () => {
    if (open.length) launch(device, x, open);
    open = [];
  };
  list.forEach((product, i) => {
    const out = outs[i]!;
    if (out.size === 0) return;
    const ready = readyOf(product, out, x, binding);
    // What is alone, and read as it lies, has a kernel already.
    const plain = !isLater(x) && list.length === 1 && product.by === undefined && !product.of[1] && !product.of[0].bias;
    if (!ready || plain || !isAligned(x, ready)) {
      separate(x, [product], [out]);
      return;
    }
    const buffers = [...open, ready].reduce((sum, one) => sum + buffersOf(one), SHARED);
    const [first = ready] = open;
    if (buffers > Math.min(bindings, MOST) || first.weights[0]!.way !== ready.weights[0]!.way) close();
    open.push(ready);
  });
  close();
};

/** Whether x is a norm that is yet to be worked out. */
const isLater = (x: Tensor): x is Normed => x instanceof Normed && !x.made;

/** Whether rows begin on whole vectors, where they are read so. */
function isAligned(x: Tensor, { weights }: Ready): boolean {
  if (weights[0]!.way === "down") return true;
  return (isLater(x) ? [x.x, x.gain] : [x]).every((t) => placeOf(t).at % 16 === 0);
}

function launch(device: WebgpuDevice, x: Tensor, list: readonly Ready[]): void {
  const later = isLater(x) ? x : undefined;
  const { rows, depth } = list[0]!;
  const of = classOf(list, later !== undefined);
  const shader = shaderFor(of);
  const each = columnsOf(of);
  const operands: Record<string, Operand | undefined> = { a: later?.x ?? x, gain: later?.gain };
  const numbers: Record<string, number> = { rows, depth, eps: later?.eps ?? 0, by: 0 };
  let [end, weight] = [0, 0];
  list.forEach(({ product, out, weights, columns }, i) => {
    operands[`c${i}`] = out;
    end += Math.ceil(columns / each);
    numbers[`end${i}`] = end;
    numbers[`columns${i}`] = columns;
    numbers.by = product.by ?? numbers.by!;
    weights.forEach(({ b, words, upper, scales }, w) => {
      operands[`b${weight}`] = b;
      operands[`bias${weight}`] = product.of[w]?.bias;
      Object.assign(numbers, { [`words${weight}`]: words, [`upper${weight}`]: upper, [`scales${weight}`]: scales });
      weight++;
    });
  });
  device.launch(shader, {}, operands, numbers, groupsFor(end));
}

function classOf(list: readonly Ready[], normed: boolean): FewClass {
  const rows = 2 ** Math.ceil(Math.log2(list[0]!.rows));
  const steps = list.flatMap(({ weights, depth }) => weights.map(({ format }) => stepsAlong(format, depth)));
  const wide = rows <= 4 && list.every(({ columns, weights }) => columns >= 1024 && columns % 2 === 0 && !weights[1]);
  const { way } = list[0]!.weights[0]!;
  return {
    ...{ way, rows, normed },
    lanes: way === "down" ? 1 : lanesFor(Math.min(...steps)),
    each: way === "across" && wide ? 2 : 1,
    list: list.map(({ product, weights }) => ({
      formats: weights.map(({ format }): PackedFormat => format),
      biases: weights.map((_, w) => product.of[w]?.bias !== undefined),
      added: product.by !== undefined,
    })),
  };
}

function shaderFor(of: FewClass): Shader {
  const { way, rows, lanes, each, normed, list } = of;
  const key = `${way} ${rows} ${lanes} ${each} ${normed} ${list.map(({ formats, biases, added }) => `${formats} ${biases} ${added}`).join(";")}`;
  return shaderOf("products", key, () => fewShader(of));
}
