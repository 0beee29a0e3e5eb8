import type { Operand } from "../../device/gpu/launcher.ts";
import { placeOf } from "../../device/gpu/launcher.ts";
import { groupsFor, WORDS } from "../../device/gpu/shader.ts";
import type { WebgpuDevice } from "../../device/webgpu.ts";
import type { PackedFormat } from "../../tensor/packing.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { combineWebgpu, updateWebgpu } from "../add/webgpu.ts";
import { shaderOf } from "../attend/gpu/tile.wgsl.ts";
import { biasWebgpu } from "../bias/webgpu.ts";
import { stepsAlong } from "../einsum/few.wgsl.ts";
import { FEW, lanesFor } from "../einsum/launch.wgsl.ts";
import { lengthOf, loopsOf } from "../einsum/loops.wgsl.ts";
import { contractWebgpu, weightOf } from "../einsum/webgpu.ts";
import { gateWebgpu } from "../gate/webgpu.ts";
import { mapWebgpu } from "../map/webgpu.ts";
import { multiplyWebgpu } from "../multiply/webgpu.ts";
import { Normed } from "../norm/normed.ts";
import { apart } from "./apart.ts";
import { columnsOf, type FewClass, fewShader } from "./few.wgsl.ts";
import type { Contraction, Product, ProductsKernel } from "./index.ts";

const separate = apart(
  {
    bias: biasWebgpu,
    gate: gateWebgpu,
    update: updateWebgpu,
    map: mapWebgpu,
    multiply: multiplyWebgpu,
    combine: combineWebgpu,
  },
  (sums) => {
    for (const { plan, a, b, out, mode } of sums) contractWebgpu(plan, a, b, out, mode);
  },
);

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
  const down = column.column === 1 && column.b === 0 && along.column === 0;
  // Of rows that are no whole vectors long numbers are read one by one, which packed ones cannot be.
  if (!across && !(down && (columns % 4 === 0 || found.format === "F32"))) return undefined;
  const words = across ? column.b : along.b;
  return { weights: [{ ...found, way: across ? "across" : "down", words }], rows, columns, depth };
}

function readyOf(product: Product, out: Tensor, binding: number): Ready | undefined {
  const { x, of } = product;
  const [first, second] = of;
  const one = weightFor(first, x, binding);
  const other = second && weightFor(second, x, binding);
  if (!one || (second && one.weights[0]?.way !== other?.weights[0]?.way)) return undefined;
  // What becomes of halves of a gated product is nobody's to ask for.
  if (second && (first.after || second.after)) return undefined;
  return { ...one, product, out, weights: [...one.weights, ...(other?.weights ?? [])] };
}

/** Storage buffers of a launch, and words of its numbers. */
function needsOf(list: readonly Ready[]): { readonly buffers: number; readonly words: number } {
  const together = isTogether(list);
  let [buffers, words] = [together ? 1 : list.length, together ? 2 + list.length : 2];
  for (const x of inputsOf(list)) {
    buffers += isLater(x) ? 2 : 1;
    words += 2;
  }
  for (const { product, weights } of list) {
    const { after } = product.of[0];
    buffers += weights.length + product.of.filter((one) => one?.bias).length + (after?.rate ? 1 : 0);
    words += 2 + 3 * weights.length + (after ? 2 : 0);
  }
  return { buffers, words: words + buffers };
}

/** Whether all results lie in one block. */
const isTogether = (list: readonly Ready[]) =>
  list.length > 1 && list.every(({ out }) => out.block === list[0]!.out.block);

/** What the products are of, each once. */
const inputsOf = (list: readonly Ready[]) => [...new Set(list.map(({ product }) => product.x))];

export const productsWebgpu: ProductsKernel = (list, outs) => {
  const [one] = outs;
  if (!one) return;
  const device = one.device as WebgpuDevice;
  const { bindings, binding } = device.traits;
  let open: Ready[] = [];
  const close = () => {
    if (open.length) launch(device, open);
    open = [];
  };
  list.forEach((product, i) => {
    const out = outs[i]!;
    if (out.size === 0) return;
    const { x, of, by } = product;
    const ready = readyOf(product, out, binding);
    // What is alone, and read as it lies, has a kernel already.
    const plain = !isLater(x) && list.length === 1 && by === undefined && !of[1] && !of[0].bias && !of[0].after;
    if (!ready || plain || !isAligned(x, ready)) {
      separate([product], [out]);
      return;
    }
    const { buffers, words } = needsOf([...open, ready]);
    const [first = ready] = open;
    const alike = first.weights[0]!.way === ready.weights[0]!.way && first.rows === ready.rows;
    if (buffers > bindings || words > WORDS || !alike) close();
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

function launch(device: WebgpuDevice, list: readonly Ready[]): void {
  const inputs = inputsOf(list);
  const of = classOf(device, list, inputs);
  const shader = shaderFor(of);
  const each = columnsOf(of);
  const operands: Record<string, Operand | undefined> = {};
  const numbers: Record<string, number> = { rows: list[0]!.rows, by: 0 };
  inputs.forEach((x, i) => {
    const later = isLater(x) ? x : undefined;
    operands[`a${i}`] = later?.x ?? x;
    operands[`gain${i}`] = later?.gain;
    numbers[`depth${i}`] = x.shape.at(-1)!;
    numbers[`eps${i}`] = later?.eps ?? 0;
  });
  const [head, last] = [list[0]!.out, list.at(-1)!.out];
  if (of.together) operands.c = { block: head.block, start: head.start, size: last.start + last.size - head.start };
  let [end, weight] = [0, 0];
  list.forEach(({ product, out, weights, columns, depth }, i) => {
    const { after } = product.of[0];
    numbers[`depth${inputs.indexOf(product.x)}`] = depth;
    if (of.together) numbers[`to${i}`] = out.start - list[0]!.out.start;
    else operands[`c${i}`] = out;
    operands[`rate${i}`] = after?.rate;
    end += Math.ceil(columns / each);
    Object.assign(numbers, { [`end${i}`]: end, [`columns${i}`]: columns });
    Object.assign(numbers, { [`times${i}`]: after?.times ?? 1, [`per${i}`]: columns / (after?.rate?.size ?? 1) });
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

function classOf(device: WebgpuDevice, list: readonly Ready[], inputs: readonly Tensor[]): FewClass {
  const rows = 2 ** Math.ceil(Math.log2(list[0]!.rows));
  const steps = list.flatMap(({ weights, depth }) => weights.map(({ format }) => stepsAlong(format, depth)));
  const wide = rows <= 4 && list.every(({ columns, weights }) => columns >= 1024 && columns % 2 === 0 && !weights[1]);
  const { way } = list[0]!.weights[0]!;
  return {
    ...{ way, rows, normed: inputs.map(isLater), together: isTogether(list) },
    lanes: way === "down" ? 1 : lanesFor(Math.min(...steps), device.traits),
    each: way === "across" && wide ? 2 : 1,
    list: list.map(({ product, weights, columns }) => {
      const { after } = product.of[0];
      return {
        from: inputs.indexOf(product.x),
        ragged: way === "down" && columns % 4 > 0,
        formats: weights.map(({ format }): PackedFormat => format),
        biases: weights.map((_, w) => product.of[w]?.bias !== undefined),
        after: after && { by: after.by, rate: after.rate ? (after.inside ? "inside" : "outside") : "none" },
        added: product.by !== undefined,
      };
    }),
  };
}

const shaderFor = (of: FewClass) => shaderOf("products", JSON.stringify(of), () => fewShader(of));
